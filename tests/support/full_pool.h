// The end of a program's locked memory.
#pragma once

#include <cstddef>
#include <vector>

#include "core/secret/secret.h"

namespace keyd::testing {

// All that was left of the pool: until this goes, whoever wants room for a secret is refused.
class FullPool {
 public:
  FullPool() {
    using secret::LockedPool;
    for (std::size_t size = LockedPool::kLargestBlock; size >= LockedPool::kSmallestBlock; size /= 2) {
      try {
        for (;;) blocks_.emplace_back(size);
      } catch (const secret::PoolExhausted&) {
      }
    }
  }

 private:
  std::vector<secret::SecretBuffer> blocks_;
};

}  // namespace keyd::testing
