// Hashes and keyed hashes against the vectors of their documents.
#include "core/crypto/digest.h"

#include <gtest/gtest.h>

#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

using test::hex;
using test::repeated;
using test::text;

std::string hash(Hash which, ByteView data) {
  Bytes out(size_of(which));
  digest(which, {data}, out);
  return to_hex(out);
}

std::string mac(Hash which, ByteView key, ByteView data) {
  Bytes out(size_of(which));
  hmac(which, key, {data}, out);
  return to_hex(out);
}

// RFC 1321 section A.5.
TEST(Md5, GivesTheVectorsOfRfc1321) {
  EXPECT_EQ(hash(Hash::kMd5, {}), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(hash(Hash::kMd5, text("a")), "0cc175b9c0f1b6a831c399e269772661");
  EXPECT_EQ(hash(Hash::kMd5, text("abc")), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(hash(Hash::kMd5, text("message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(hash(Hash::kMd5, text("abcdefghijklmnopqrstuvwxyz")), "c3fcd3d76192e4007dfb496cca67e13b");
  EXPECT_EQ(hash(Hash::kMd5, text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")),
            "d174ab98d277d9f5a5611c2c9f419d9f");
  EXPECT_EQ(hash(Hash::kMd5,
                 text("12345678901234567890123456789012345678901234567890123456789012345678901234567890")),
            "57edf4a22be3c955ac49da2e2107b67a");
}

// FIPS 180, and RFC 3174 section 7.3.
TEST(Sha1, GivesThePublishedVectors) {
  EXPECT_EQ(hash(Hash::kSha1, {}), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(hash(Hash::kSha1, text("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hash(Hash::kSha1, text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(hash(Hash::kSha1, repeated('a', 1'000'000)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(Sha256, GivesThePublishedVectors) {
  EXPECT_EQ(hash(Hash::kSha256, {}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash(Hash::kSha256, text("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash(Hash::kSha256, text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash(Hash::kSha256, repeated('a', 1'000'000)),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// RFC 2202 sections 2 and 3; RFC 4231 section 4.
TEST(Hmac, GivesTheVectorsOfRfc2202ForMd5) {
  EXPECT_EQ(mac(Hash::kMd5, repeated(0x0b, 16), text("Hi There")), "9294727a3638bb1c13f48ef8158bfc9d");
  EXPECT_EQ(mac(Hash::kMd5, text("Jefe"), text("what do ya want for nothing?")),
            "750c783e6ab0b503eaa86e310a5db738");
  EXPECT_EQ(mac(Hash::kMd5, repeated(0xaa, 16), repeated(0xdd, 50)), "56be34521d144c88dbb8c733f0e8b3f6");
  EXPECT_EQ(mac(Hash::kMd5, test::run(1, 25), repeated(0xcd, 50)), "697eaf0aca3a3aea3a75164746ffaa79");
  EXPECT_EQ(mac(Hash::kMd5, repeated(0x0c, 16), text("Test With Truncation")),
            "56461ef2342edc00f9bab995690efd4c");
  EXPECT_EQ(
      mac(Hash::kMd5, repeated(0xaa, 80), text("Test Using Larger Than Block-Size Key - Hash Key First")),
      "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
  EXPECT_EQ(mac(Hash::kMd5, repeated(0xaa, 80),
                text("Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data")),
            "6f630fad67cda0ee1fb1f562db3aa53e");
}

TEST(Hmac, GivesTheVectorsOfRfc2202ForSha1) {
  EXPECT_EQ(mac(Hash::kSha1, repeated(0x0b, 20), text("Hi There")),
            "b617318655057264e28bc0b6fb378c8ef146be00");
  EXPECT_EQ(mac(Hash::kSha1, text("Jefe"), text("what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
  EXPECT_EQ(mac(Hash::kSha1, repeated(0xaa, 20), repeated(0xdd, 50)),
            "125d7342b9ac11cd91a39af48aa17b4f63f175d3");
  EXPECT_EQ(mac(Hash::kSha1, test::run(1, 25), repeated(0xcd, 50)),
            "4c9007f4026250c6bc8414f9bf50c86c2d7235da");
  EXPECT_EQ(mac(Hash::kSha1, repeated(0x0c, 20), text("Test With Truncation")),
            "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04");
  EXPECT_EQ(
      mac(Hash::kSha1, repeated(0xaa, 80), text("Test Using Larger Than Block-Size Key - Hash Key First")),
      "aa4ae5e15272d00e95705637ce8a3b55ed402112");
  EXPECT_EQ(mac(Hash::kSha1, repeated(0xaa, 80),
                text("Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data")),
            "e8e99d0f45237d786d6bbaa7965c7808bbff1a91");
}

TEST(Hmac, GivesTheVectorsOfRfc4231ForSha256) {
  EXPECT_EQ(mac(Hash::kSha256, repeated(0x0b, 20), text("Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(mac(Hash::kSha256, text("Jefe"), text("what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(mac(Hash::kSha256, repeated(0xaa, 20), repeated(0xdd, 50)),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(mac(Hash::kSha256, test::run(1, 25), repeated(0xcd, 50)),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  EXPECT_EQ(
      mac(Hash::kSha256, repeated(0xaa, 131), text("Test Using Larger Than Block-Size Key - Hash Key First")),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(
      mac(Hash::kSha256, repeated(0xaa, 131),
          text("This is a test using a larger than block-size key and a larger than block-size data. The key "
               "needs to be hashed before being used by the HMAC algorithm.")),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(Hmac, HashesAKeyOnlyWhenItIsLongerThanABlock) {
  // RFC 2104 section 2: 64 octets are used as they are; 65 are hashed first.
  const Bytes key = test::run(0, 65);
  Bytes hashed(kMd5Size);
  digest(Hash::kMd5, {key}, hashed);
  EXPECT_EQ(mac(Hash::kMd5, key, text("x")), mac(Hash::kMd5, hashed, text("x")));
  const Bytes block = test::run(0, 64);
  digest(Hash::kMd5, {block}, hashed);
  EXPECT_NE(mac(Hash::kMd5, block, text("x")), mac(Hash::kMd5, hashed, text("x")));
}

TEST(Hmac, TakesAnEmptyKeyAndEmptyData) {
  EXPECT_EQ(mac(Hash::kMd5, {}, {}), "74e6f7298a9c2d168935f58c001bad88");
  EXPECT_EQ(mac(Hash::kSha256, {}, {}), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Hmac, MayWriteOverItsOwnInput) {
  // HKDF feeds T(i-1) in and gets T(i) out in the same place.
  Bytes block = test::run(3, kSha256Size);
  const std::string expected = mac(Hash::kSha256, text("k"), block);
  hmac(Hash::kSha256, text("k"), {block}, block);
  EXPECT_EQ(to_hex(block), expected);
}

TEST(Digest, IsOverThePartsConcatenation) {
  for (const Hash which : {Hash::kMd5, Hash::kSha1, Hash::kSha256}) {
    Bytes split(size_of(which)), keyed(size_of(which));
    digest(which, {text("ab"), {}, text("c")}, split);
    EXPECT_EQ(to_hex(split), hash(which, text("abc")));
    hmac(which, text("k"), {text("a"), text("bc"), {}}, keyed);
    EXPECT_EQ(to_hex(keyed), mac(which, text("k"), text("abc")));
  }
}

TEST(DigestDeathTest, AbortsOnAnOutputOfAnotherSize) {
  Bytes out(kMd5Size);
  EXPECT_DEATH(digest(Hash::kSha1, {}, out), "");
  EXPECT_DEATH(hmac(Hash::kSha256, {}, {}, out), "");
}

TEST(RunningSha256, GivesItsValueInBetweenAndGoesOn) {
  RunningSha256 running;
  EXPECT_EQ(to_hex(running.value()), hash(Hash::kSha256, {}));
  running.update(text("ab"));
  EXPECT_EQ(to_hex(running.value()), hash(Hash::kSha256, text("ab")));
  EXPECT_EQ(running.value(), running.value());
  running.update(text("c"));
  EXPECT_EQ(to_hex(running.value()), hash(Hash::kSha256, text("abc")));
}

TEST(RunningSha256, KeepsItsStateWhenMoved) {
  RunningSha256 first;
  first.update(text("ab"));
  RunningSha256 second(std::move(first));
  second.update(text("c"));
  EXPECT_EQ(to_hex(second.value()), hash(Hash::kSha256, text("abc")));
}

TEST(ConstantTimeEqual, TellsEveryDifferenceOfOneBit) {
  const Bytes a = test::run(0, 32);
  EXPECT_TRUE(constant_time_equal(a, Bytes(a)));
  for (std::size_t bit = 0; bit < 256; ++bit) {
    Bytes b = a;
    b[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    EXPECT_FALSE(constant_time_equal(a, b)) << bit;
  }
}

TEST(ConstantTimeEqual, TellsDifferentLengthsApart) {
  const Bytes a(32);
  EXPECT_FALSE(constant_time_equal(a, ByteView(a).first(31)));
  EXPECT_FALSE(constant_time_equal({}, a));
  EXPECT_TRUE(constant_time_equal({}, {}));
}

}  // namespace
}  // namespace keyd::crypto
