// Whatever an input does, the locked pool is as full afterwards as it was before.
#pragma once

#include "core/secret/locked_pool.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {

class LockedMemoryBalance {
 public:
  LockedMemoryBalance() : before_(secret::LockedPool::instance().in_use()) {}
  LockedMemoryBalance(const LockedMemoryBalance&) = delete;
  LockedMemoryBalance& operator=(const LockedMemoryBalance&) = delete;
  ~LockedMemoryBalance() { must(secret::LockedPool::instance().in_use() == before_); }

 private:
  std::size_t before_;
};

}  // namespace keyd::fuzz
