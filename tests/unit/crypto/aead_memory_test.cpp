// Where a key is while it works, and after it: in the locked pool, and nowhere. The process reads its own
// memory, as whoever has its core file or its swap would. What is looked for is held inverted, so that the
// search does not find itself.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/crypto/aead.h"
#include "core/exchange/secure_channel.h"
#include "core/secret/secret.h"
#include "tests/support/sanitizers.h"
#include "tests/unit/support/child.h"
#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

struct TestKeyTag;
using Key = secret::Secret<kAeadKeySize, TestKeyTag>;

// FIPS 197 section 5.1.1: the S-box, by its definition.
std::uint8_t substituted(std::uint8_t in) {
  const auto times = [](unsigned a, unsigned b) {
    unsigned product = 0;
    for (; b != 0; b >>= 1, a = (a << 1) ^ ((a & 0x80) != 0 ? 0x11b : 0)) product ^= (b & 1) != 0 ? a : 0;
    return product;
  };
  unsigned inverse = in == 0 ? 0 : 1;
  for (int i = 0; in != 0 && i < 254; ++i) inverse = times(inverse, in);
  unsigned out = 0x63;
  for (unsigned turn = 0; turn < 5; ++turn) out ^= inverse << turn | inverse >> (8 - turn);
  return static_cast<std::uint8_t>(out);
}

using Needle = std::array<std::uint8_t, 16>;  // inverted

// FIPS 197 section 5.2: the round keys 2 and 3 of AES-256, the first that are not the key itself, as octets
// (AES-NI) and as words of this machine (portable code).
std::vector<Needle> needles_of(const Key& key) {
  secret::SecretBuffer schedule(64);
  const MutableByteView w = schedule.reveal();
  std::ranges::copy(key.reveal(), w.begin());
  for (std::size_t i = 8; i < 16; ++i) {
    std::array<std::uint8_t, 4> word{};
    std::copy_n(w.begin() + static_cast<std::ptrdiff_t>(4 * (i - 1)), 4, word.begin());
    if (i == 8) {
      std::ranges::rotate(word, word.begin() + 1);
      for (auto& octet : word) octet = substituted(octet);
      word[0] ^= 1;
    } else if (i == 12) {
      for (auto& octet : word) octet = substituted(octet);
    }
    for (std::size_t n = 0; n < 4; ++n) w[4 * i + n] = w[4 * (i - 8) + n] ^ word[n];
  }
  std::vector<Needle> needles;
  for (std::size_t at = 0; at < 64; at += 16) {
    Needle octets{}, words{};
    for (std::size_t n = 0; n < 16; ++n) {
      octets[n] = static_cast<std::uint8_t>(~w[at + n]);
      words[n] = static_cast<std::uint8_t>(~w[at + (n ^ 3)]);
    }
    needles.push_back(octets);
    needles.push_back(words);
  }
  return needles;
}

struct Found {
  int guarded = 0;  // in pages that are locked and left out of core files
  int open = 0;     // anywhere else
};

int occurrences(ByteView memory, const std::vector<Needle>& needles) {
  int count = 0;
  for (const Needle& needle : needles) {
    const auto first = static_cast<std::uint8_t>(~needle[0]);
    for (std::size_t at = 0; at + needle.size() <= memory.size(); ++at) {
      if (memory[at] != first) continue;
      std::size_t same = 1;
      while (same < needle.size() && static_cast<std::uint8_t>(~needle[same]) == memory[at + same]) ++same;
      count += same == needle.size() ? 1 : 0;
    }
  }
  return count;
}

// Takes out of what was read at `from` the buffer that it was read into.
void forget_itself(MutableByteView window, std::uintptr_t from) {
  const auto here = reinterpret_cast<std::uintptr_t>(window.data());
  const std::uintptr_t begin = std::max(from, here), end = std::min(from, here) + window.size();
  if (begin < end) std::ranges::fill(window.subspan(begin - from, end - begin), std::uint8_t{0});
}

// All of this process's writable memory. It is read into a block of the pool itself. Pages of memfd_secret(2)
// cannot be read through /proc: those it reads as they lie there, which only the process itself can.
Found search(const std::vector<Needle>& needles) {
  Found found;
  secret::SecretBuffer window(64 << 10);
  const UniqueFd memory(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  std::ifstream smaps("/proc/self/smaps");
  std::uintptr_t from = 0, to = 0;
  bool writable = false, secretmem = false;
  for (std::string line; std::getline(smaps, line);) {
    char access[8] = {};
    unsigned long begins = 0, ends = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %7s", &begins, &ends, access) == 3) {
      from = begins;
      to = ends;
      writable = access[1] == 'w';
      secretmem = line.find("/secretmem") != std::string::npos;
    }
    if (!writable || !line.starts_with("VmFlags:")) continue;
    const bool guarded = line.find(" dd") != std::string::npos;
    for (std::uintptr_t at = from; at < to;) {
      // Windows overlap by a needle, so that none is cut in two.
      const std::size_t want = std::min(window.size(), to - at);
      ssize_t got = ::pread(memory.get(), window.reveal().data(), want, static_cast<off_t>(at));
      if (got < 0 && secretmem) {
        std::memmove(window.reveal().data(), reinterpret_cast<const void*>(at), want);
        got = static_cast<ssize_t>(want);
      }
      if (got <= 0) break;
      const ByteView read = window.reveal().first(static_cast<std::size_t>(got));
      forget_itself(window.reveal(), at);
      (guarded ? found.guarded : found.open) += occurrences(read, needles);
      if (at + want >= to) break;
      at += want - sizeof(Needle);
    }
  }
  return found;
}

class AeadMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::kMlockWorks) GTEST_SKIP() << "a sanitizer keeps copies of its own";
    // Once without the key: the first call of a function of a library that is bound lazily goes through the dynamic
    // linker, which lays the vector registers on the stack, and with them what this test itself has just moved.
    (void)search(needles_of(key_));
    for (std::size_t i = 0; i < kAeadKeySize; ++i) key_.reveal()[i] = static_cast<std::uint8_t>(i * 37 + 11);
    needles_ = needles_of(key_);
  }
  Key key_;
  std::vector<Needle> needles_;
  Bytes nonce_ = test::run(1, kAeadNonceSize), text_ = test::run(5, 1000), out_ = Bytes(1000 + kAeadTagSize);
};

TEST_F(AeadMemory, TheSearchFindsAKeyThatLiesInTheHeap) {
  const std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> plain(EVP_CIPHER_CTX_new(),
                                                                         EVP_CIPHER_CTX_free);
  EVP_EncryptInit_ex(plain.get(), EVP_aes_256_gcm(), nullptr, key_.reveal().data(), nonce_.data());
  EXPECT_GT(search(needles_).open, 0);
}

TEST_F(AeadMemory, AKeyUsedForOneRecordIsNowhereAfterIt) {
  Bytes back(text_.size());
  aead_seal(key_.reveal(), nonce_, {}, text_, out_);
  ASSERT_TRUE(aead_open(key_.reveal(), nonce_, {}, out_, back));
  out_.back() ^= 1;
  ASSERT_FALSE(aead_open(key_.reveal(), nonce_, {}, out_, back));
  const int key_itself = search({needles_[0], needles_[2]}).guarded;
  EXPECT_EQ(search(needles_).open, 0);
  EXPECT_EQ(search(needles_).guarded, key_itself) << "its expansion outlived the call";
}

TEST_F(AeadMemory, AnExpandedKeyIsInLockedMemoryAloneAndWipedWhenItGoes) {
  const Found before = search(needles_);
  {
    auto expanded = ExpandedKey::of(key_.reveal());
    ASSERT_TRUE(expanded);
    Bytes back(text_.size());
    expanded->seal(nonce_, {}, text_, out_);
    ASSERT_TRUE(expanded->open(nonce_, {}, out_, back));
    const Found during = search(needles_);
    EXPECT_EQ(during.open, 0);
    EXPECT_GT(during.guarded, before.guarded) << "the search does not see it at all";
  }
  const Found after = search(needles_);
  EXPECT_EQ(after.open, 0);
  EXPECT_EQ(after.guarded, before.guarded);
}

TEST_F(AeadMemory, AForkedChildDoesNotSeeAnExpandedKey) {
  const auto expanded = ExpandedKey::of(key_.reveal());
  ASSERT_TRUE(expanded && expanded->usable());
  aead_seal(key_.reveal(), nonce_, {}, text_, out_);
  test::Child child([&] {
    if (expanded->usable()) return 10;
    if (search(needles_).guarded + search(needles_).open != 0) return 11;
    // One record under a key of its own still is no matter.
    Bytes sealed(out_.size()), back(text_.size());
    const Bytes other = test::run(77, kAeadKeySize);
    aead_seal(other, nonce_, {}, text_, sealed);
    return aead_open(other, nonce_, {}, sealed, back) && back == text_ ? 0 : 12;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace keyd::crypto
