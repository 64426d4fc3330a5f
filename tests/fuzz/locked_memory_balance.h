// Whatever an input does, the locked pool is as full afterwards as it was before.
#pragma once

#include "core/crypto/aead.h"
#include "core/crypto/random.h"
#include "core/secret/locked_pool.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {

class LockedMemoryBalance {
 public:
  LockedMemoryBalance() {
    warm_up();
    before_ = secret::LockedPool::instance().in_use();
  }
  LockedMemoryBalance(const LockedMemoryBalance&) = delete;
  LockedMemoryBalance& operator=(const LockedMemoryBalance&) = delete;
  ~LockedMemoryBalance() { must(secret::LockedPool::instance().in_use() == before_); }

  // A thread's cipher context and its random numbers drawn ahead are made at their first use, and stay.
  static void warm_up() {
    Bytes number(1);
    must(crypto::fill_random(number));
    const Bytes key(crypto::kAeadKeySize), nonce(crypto::kAeadNonceSize);
    Bytes sealed(crypto::kAeadTagSize);
    crypto::aead_seal(key, nonce, {}, {}, sealed);
  }

 private:
  std::size_t before_ = 0;
};

}  // namespace keyd::fuzz
