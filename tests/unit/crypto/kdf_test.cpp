// HKDF-SHA256 against RFC 5869 appendix A, and its edges.
#include "core/crypto/kdf.h"

#include <gtest/gtest.h>

#include "core/crypto/digest.h"
#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

std::string hkdf(ByteView secret, ByteView salt, ByteView info, std::size_t size) {
  Bytes out(size);
  hkdf_sha256(secret, salt, info, out);
  return to_hex(out);
}

TEST(Hkdf, GivesTheBasicVectorOfRfc5869A1) {
  EXPECT_EQ(hkdf(test::repeated(0x0b, 22), test::run(0, 13), test::run(0xf0, 10), 42),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST(Hkdf, GivesTheLongVectorOfRfc5869A2) {
  EXPECT_EQ(hkdf(test::run(0, 80), test::run(0x60, 80), test::run(0xb0, 80), 82),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
}

TEST(Hkdf, GivesTheVectorWithoutSaltAndInfoOfRfc5869A3) {
  EXPECT_EQ(hkdf(test::repeated(0x0b, 22), {}, {}, 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(Hkdf, TakesAnEmptySaltForThirtyTwoZeroOctets) {
  const Bytes secret = test::run(1, 32), info = test::text("info");
  EXPECT_EQ(hkdf(secret, {}, info, 32), hkdf(secret, test::repeated(0, 32), info, 32));
}

TEST(Hkdf, GivesAPrefixWhenAskedForLess) {
  const Bytes secret = test::run(1, 32), salt = test::run(5, 32), info = test::text("info");
  const std::string longest = hkdf(secret, salt, info, 200);
  for (const std::size_t size : {1u, 31u, 32u, 33u, 64u, 65u, 199u}) {
    EXPECT_EQ(hkdf(secret, salt, info, size), longest.substr(0, 2 * size)) << size;
  }
}

TEST(Hkdf, FillsTheMostThatRfc5869Allows) {
  const std::string whole = hkdf(test::run(1, 32), {}, {}, kMaxHkdfOutput);
  EXPECT_EQ(whole.size(), 2 * kMaxHkdfOutput);
  // The last block is T(255) = HMAC(PRK, T(254) | 0xff).
  Bytes prk(kSha256Size), last(kSha256Size), previous;
  hmac(Hash::kSha256, test::repeated(0, 32), {test::run(1, 32)}, prk);
  ASSERT_TRUE(from_hex(std::string_view(whole).substr(2 * 253 * 32, 64), previous));
  hmac(Hash::kSha256, prk, {previous, test::repeated(0xff, 1)}, last);
  EXPECT_EQ(whole.substr(2 * 254 * 32), to_hex(last));
}

TEST(Hkdf, KeepsInfoSaltAndSecretApart) {
  const Bytes a = test::text("a"), b = test::text("b");
  EXPECT_NE(hkdf(a, b, {}, 32), hkdf(b, a, {}, 32));
  EXPECT_NE(hkdf(a, {}, b, 32), hkdf(a, b, {}, 32));
}

TEST(HkdfDeathTest, AbortsWhenAskedForMoreThanThat) {
  Bytes out(kMaxHkdfOutput + 1);
  EXPECT_DEATH(hkdf_sha256({}, {}, {}, out), "");
}

}  // namespace
}  // namespace keyd::crypto
