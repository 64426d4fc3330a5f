#include "core/crypto/des.h"

#include <gtest/gtest.h>
#include <openssl/provider.h>

#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

using test::hex;

std::string encrypted(DesMode mode, std::string_view key, std::string_view iv, std::string_view data) {
  const Bytes in = hex(data);
  Bytes out(in.size()), back(in.size());
  if (!des(mode, Direction::kEncrypt, hex(key), hex(iv), in, out)) return "refused";
  EXPECT_TRUE(des(mode, Direction::kDecrypt, hex(key), hex(iv), out, back));
  EXPECT_EQ(back, in);
  return to_hex(out);
}

TEST(Des, GivesTheTestVectors) {
  // FIPS 81, appendix B; the well-known worked example of DES; NIST SP 800-20, table A.2 (a variable key).
  EXPECT_EQ(encrypted(DesMode::kEcb, "0123456789abcdef", "", "4e6f772069732074"), "3fa40e8a984d4815");
  EXPECT_EQ(encrypted(DesMode::kEcb, "133457799bbcdff1", "", "0123456789abcdef"), "85e813540f0ab405");
  EXPECT_EQ(encrypted(DesMode::kEcb, "8001010101010101", "", "0000000000000000"), "95a8d72813daa94d");
  EXPECT_EQ(encrypted(DesMode::kCbc, "0123456789abcdef", "1234567890abcdef",
                      "4e6f77206973207468652074696d6520666f7220616c6c20"),
            "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6");
  // With equal parts 3DES is DES: that is what its middle is for.
  EXPECT_EQ(encrypted(DesMode::k3DesEcbEde2, "133457799bbcdff1133457799bbcdff1", "", "0123456789abcdef"),
            "85e813540f0ab405");
  EXPECT_EQ(encrypted(DesMode::k3DesEcbEde3, "133457799bbcdff1133457799bbcdff1133457799bbcdff1", "",
                      "0123456789abcdef"),
            "85e813540f0ab405");
  EXPECT_EQ(encrypted(DesMode::k3DesEcbEde3, "5bca455a60a19995210d549177e3c2f7ee5816267ee3c91c", "",
                      "ac0991922f0650557046a8d0620ecfa6"),
            "9ad7ec3f1dc5aa89fb5d8ce026c39646");
}

TEST(Des, LooksAtNoParity) {
  EXPECT_EQ(encrypted(DesMode::kEcb, "123556789abddef0", "", "0123456789abcdef"), "85e813540f0ab405");
}

TEST(Des, RefusesWrongSizes) {
  Bytes eight(8), nine(9), sixteen(16), none;
  EXPECT_FALSE(des(DesMode::kEcb, Direction::kEncrypt, nine, {}, eight, eight));
  EXPECT_FALSE(des(DesMode::kEcb, Direction::kEncrypt, none, {}, eight, eight));
  EXPECT_FALSE(des(DesMode::kEcb, Direction::kEncrypt, eight, eight, eight, eight));
  EXPECT_FALSE(des(DesMode::kCbc, Direction::kEncrypt, eight, {}, eight, eight));
  EXPECT_FALSE(des(DesMode::kEcb, Direction::kEncrypt, eight, {}, nine, nine));
  EXPECT_FALSE(des(DesMode::kEcb, Direction::kEncrypt, eight, {}, eight, sixteen));
  EXPECT_FALSE(des(DesMode::k3DesEcbEde2, Direction::kEncrypt, eight, {}, eight, eight));
  EXPECT_FALSE(des(DesMode::k3DesEcbEde3, Direction::kEncrypt, sixteen, {}, eight, eight));
}

TEST(Des, StaysOutOfTheRestOfTheProcess) {
  ASSERT_TRUE(load_legacy_ciphers());
  EXPECT_EQ(OSSL_PROVIDER_available(nullptr, "legacy"), 0);
}

// A weak key decrypts what it encrypted by encrypting again; of a pair of semi-weak keys one does it for the
// other. So the table is checked by the cipher itself.
TEST(Des, KnowsTheWeakKeysWhateverTheirParity) {
  const std::pair<const char*, const char*> pairs[] = {
      {"0101010101010101", "0101010101010101"}, {"fefefefefefefefe", "fefefefefefefefe"},
      {"e0e0e0e0f1f1f1f1", "e0e0e0e0f1f1f1f1"}, {"1f1f1f1f0e0e0e0e", "1f1f1f1f0e0e0e0e"},
      {"011f011f010e010e", "1f011f010e010e01"}, {"01e001e001f101f1", "e001e001f101f101"},
      {"01fe01fe01fe01fe", "fe01fe01fe01fe01"}, {"1fe01fe00ef10ef1", "e01fe01ff10ef10e"},
      {"1ffe1ffe0efe0efe", "fe1ffe1ffe0efe0e"}, {"e0fee0fef1fef1fe", "fee0fee0fef1fef1"},
  };
  const Bytes data = hex("0123456789abcdef");
  for (const auto& [one, other] : pairs) {
    Bytes once(8), twice(8);
    ASSERT_TRUE(des(DesMode::kEcb, Direction::kEncrypt, hex(one), {}, data, once));
    ASSERT_TRUE(des(DesMode::kEcb, Direction::kEncrypt, hex(other), {}, once, twice));
    EXPECT_EQ(twice, data) << one;
    for (const char* const key : {one, other}) {
      EXPECT_TRUE(is_weak_des_key(hex(key))) << key;
      for (std::size_t octet = 0; octet < 8; ++octet) {
        Bytes changed = hex(key);
        changed[octet] ^= 1;
        EXPECT_TRUE(is_weak_des_key(changed)) << "parity of octet " << octet;
        for (unsigned bit = 1; bit < 8; ++bit) {
          changed = hex(key);
          changed[octet] ^= static_cast<std::uint8_t>(1u << bit);
          EXPECT_FALSE(is_weak_des_key(changed)) << key << " octet " << octet << " bit " << bit;
        }
      }
    }
  }
  EXPECT_FALSE(is_weak_des_key(hex("133457799bbcdff1")));
  EXPECT_FALSE(is_weak_des_key(hex("01010101010101")));
}

}  // namespace
}  // namespace keyd::crypto
