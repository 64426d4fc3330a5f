// AES-256-GCM against the vectors of its authors, and against somebody who changes any bit of anything.
#include "core/crypto/aead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

using test::hex;

Bytes seal(ByteView key, ByteView nonce, ByteView aad, ByteView plaintext) {
  Bytes out(plaintext.size() + kAeadTagSize);
  aead_seal(key, nonce, aad, plaintext, out);
  return out;
}

bool opens(ByteView key, ByteView nonce, ByteView aad, ByteView sealed) {
  Bytes out(sealed.size() - kAeadTagSize);
  return aead_open(key, nonce, aad, sealed, out);
}

struct Vector {
  const char *key, *nonce, *aad, *plaintext, *sealed;
};

// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 13 to 16.
const Vector kVectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
};

TEST(Aead, GivesThePublishedVectors) {
  for (const Vector& v : kVectors) {
    EXPECT_EQ(to_hex(seal(hex(v.key), hex(v.nonce), hex(v.aad), hex(v.plaintext))), v.sealed);
  }
}

TEST(Aead, OpensThePublishedVectors) {
  for (const Vector& v : kVectors) {
    const Bytes sealed = hex(v.sealed);
    Bytes out(sealed.size() - kAeadTagSize);
    EXPECT_TRUE(aead_open(hex(v.key), hex(v.nonce), hex(v.aad), sealed, out));
    EXPECT_EQ(to_hex(out), v.plaintext);
  }
}

TEST(Aead, GivesThePublishedVectorsWithAnExpandedKeyToo) {
  for (const Vector& v : kVectors) {
    auto key = ExpandedKey::of(hex(v.key));
    ASSERT_TRUE(key);
    const Bytes sealed = hex(v.sealed);
    for (int again = 0; again < 3; ++again) {  // in both directions, record after record
      Bytes out(sealed.size()), opened(sealed.size() - kAeadTagSize), changed = sealed;
      key->seal(hex(v.nonce), hex(v.aad), hex(v.plaintext), out);
      EXPECT_EQ(to_hex(out), v.sealed);
      EXPECT_TRUE(key->open(hex(v.nonce), hex(v.aad), sealed, opened));
      EXPECT_EQ(to_hex(opened), v.plaintext);
      changed.back() ^= 1;
      EXPECT_FALSE(key->open(hex(v.nonce), hex(v.aad), changed, opened));
      EXPECT_EQ(opened, Bytes(opened.size(), 0));
    }
  }
}

TEST(Aead, KeepsSoManyExpandedKeysAndNoMore) {
  const Bytes key = test::run(1, kAeadKeySize);
  std::vector<ExpandedKey> held;
  while (auto expanded = ExpandedKey::of(key)) {
    held.push_back(std::move(*expanded));
    ASSERT_LE(held.size(), static_cast<std::size_t>(ExpandedKey::kMost));
  }
  EXPECT_EQ(held.size(), static_cast<std::size_t>(ExpandedKey::kMost));
  held.pop_back();
  EXPECT_TRUE(ExpandedKey::of(key)) << "one that went leaves its place";
  held.clear();
  EXPECT_TRUE(ExpandedKey::of(key));
}

class AeadUnderAttack : public testing::Test {
 protected:
  Bytes key_ = test::run(1, kAeadKeySize), nonce_ = test::run(100, kAeadNonceSize), aad_ = test::run(50, 13);
  Bytes plaintext_ = test::text("the quick brown fox jumps over it");
  Bytes sealed_ = seal(key_, nonce_, aad_, plaintext_);

  // Every bit of `part`, flipped in turn and put back.
  template <typename Try>
  static void with_every_bit_flipped(Bytes& part, Try attempt) {
    for (std::size_t bit = 0; bit < part.size() * 8; ++bit) {
      part[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      EXPECT_FALSE(attempt()) << "bit " << bit;
      part[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    }
    EXPECT_TRUE(attempt());
  }
};

TEST_F(AeadUnderAttack, NoticesEveryBitOfTheSealedOctets) {
  with_every_bit_flipped(sealed_, [&] { return opens(key_, nonce_, aad_, sealed_); });
}
TEST_F(AeadUnderAttack, NoticesEveryBitOfTheAdditionalData) {
  with_every_bit_flipped(aad_, [&] { return opens(key_, nonce_, aad_, sealed_); });
}
TEST_F(AeadUnderAttack, NoticesEveryBitOfTheNonce) {
  with_every_bit_flipped(nonce_, [&] { return opens(key_, nonce_, aad_, sealed_); });
}
TEST_F(AeadUnderAttack, NoticesEveryBitOfTheKey) {
  with_every_bit_flipped(key_, [&] { return opens(key_, nonce_, aad_, sealed_); });
}

TEST_F(AeadUnderAttack, NoticesEveryCut) {
  for (std::size_t size = kAeadTagSize; size < sealed_.size(); ++size) {
    EXPECT_FALSE(opens(key_, nonce_, aad_, ByteView(sealed_).first(size))) << size;
    EXPECT_FALSE(opens(key_, nonce_, aad_, ByteView(sealed_).last(size))) << size;
  }
}

TEST_F(AeadUnderAttack, RefusesLessThanATag) {
  for (std::size_t size = 0; size < kAeadTagSize; ++size) {
    EXPECT_FALSE(aead_open(key_, nonce_, aad_, ByteView(sealed_).first(size), {})) << size;
  }
}

TEST_F(AeadUnderAttack, LeavesNoPlaintextBehindWhenItRefuses) {
  sealed_.back() ^= 1;
  Bytes out(plaintext_.size(), 0xdd);
  EXPECT_FALSE(aead_open(key_, nonce_, aad_, sealed_, out));
  EXPECT_EQ(out, Bytes(plaintext_.size(), 0));
}

TEST_F(AeadUnderAttack, DoesNotMoveOctetsBetweenDataAndText) {
  // aad | plaintext cut at another place is another message.
  const Bytes shorter(aad_.begin(), aad_.end() - 1);
  EXPECT_FALSE(opens(key_, nonce_, shorter, sealed_));
  EXPECT_FALSE(opens(key_, nonce_, {}, sealed_));
}

TEST_F(AeadUnderAttack, WorksAfterARefusal) {
  Bytes changed = sealed_;
  changed[0] ^= 0x80;
  EXPECT_FALSE(opens(key_, nonce_, aad_, changed));
  EXPECT_TRUE(opens(key_, nonce_, aad_, sealed_));
  EXPECT_EQ(seal(key_, nonce_, aad_, plaintext_), sealed_);
}

TEST(Aead, SealsInPlace) {
  const Bytes key = test::run(1, kAeadKeySize), nonce = test::run(2, kAeadNonceSize),
              text = test::run(3, 1000);
  Bytes buffer = text;
  buffer.resize(text.size() + kAeadTagSize);
  aead_seal(key, nonce, {}, MutableByteView(buffer).first(text.size()), buffer);
  EXPECT_EQ(buffer, seal(key, nonce, {}, text));
}

TEST(Aead, RoundTripsEverySizeAroundABlock) {
  const Bytes key = test::run(1, kAeadKeySize), nonce = test::run(2, kAeadNonceSize);
  for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 31u, 32u, 33u, 4095u, 4096u, 65536u}) {
    const Bytes text = test::run(9, size);
    const Bytes sealed = seal(key, nonce, test::run(1, size % 40), text);
    Bytes out(size);
    EXPECT_TRUE(aead_open(key, nonce, test::run(1, size % 40), sealed, out)) << size;
    EXPECT_EQ(out, text);
  }
}

TEST(Aead, ServesThreadsAtTheSameTime) {
  std::vector<std::jthread> threads;
  std::atomic<int> wrong{0};
  for (std::uint8_t t = 0; t < 4; ++t) {
    threads.emplace_back([t, &wrong] {
      const Bytes key = test::repeated(t, kAeadKeySize), nonce = test::repeated(t, kAeadNonceSize);
      const Bytes text = test::repeated(t, 200), first = seal(key, nonce, {}, text);
      for (int i = 0; i < 500; ++i) {
        if (seal(key, nonce, {}, text) != first || !opens(key, nonce, {}, first)) ++wrong;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

TEST(AeadDeathTest, AbortsOnAKeyOrNonceOfAnotherSize) {
  const Bytes key = test::run(1, 31), nonce = test::run(1, kAeadNonceSize);
  Bytes out(kAeadTagSize);
  EXPECT_DEATH(aead_seal(key, nonce, {}, {}, out), "");
  EXPECT_DEATH(aead_seal(test::run(1, 32), test::run(1, 11), {}, {}, out), "");
}

TEST(AeadDeathTest, AbortsOnAnOutputOfAnotherSize) {
  const Bytes key = test::run(1, 32), nonce = test::run(1, kAeadNonceSize);
  Bytes out(kAeadTagSize + 1);
  EXPECT_DEATH(aead_seal(key, nonce, {}, {}, out), "");
}

}  // namespace
}  // namespace keyd::crypto
