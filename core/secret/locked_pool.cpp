// Invariant: every octet of the region that is not inside a block handed out is zero, save the free lists' links.
#include "core/secret/locked_pool.h"

#include <pthread.h>
#include <string.h>  // explicit_bzero
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <functional>

namespace keyd::secret {

void wipe(void* data, std::size_t size) noexcept { ::explicit_bzero(data, size); }

LockedPool& LockedPool::instance() {
  static LockedPool* const pool = new LockedPool;
  return *pool;
}

LockedPool::LockedPool() {
  map_region();
  // A child has the parent's addresses but none of its page locks, and zeros where the secrets were: it gets a new
  // region. Blocks of the old one that its inherited objects still own are ignored when they come back.
  ::pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     instance().region_ = nullptr;
                     instance().mutex_.unlock();
                   });
}

void LockedPool::map_region() {
  void* region = ::mmap(nullptr, kCapacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw PoolExhausted();
  region_ = static_cast<std::byte*>(region);
  committed_ = carved_ = in_use_ = 0;
  free_.fill(nullptr);
}

bool LockedPool::owns(const void* block) const {
  const std::less<> before;
  return region_ != nullptr && !before(block, region_) && before(block, region_ + kCapacity);
}

std::size_t LockedPool::class_of(std::size_t size) {
  const std::size_t rounded = std::bit_ceil(std::max(size, kSmallestBlock));
  return static_cast<std::size_t>(std::countr_zero(rounded) - std::countr_zero(kSmallestBlock));
}

void LockedPool::commit(std::size_t until) {
  while (committed_ < until) {
    if (committed_ + kCommitStep > kCapacity) throw PoolExhausted();
    std::byte* const start = region_ + committed_;
    // All of these or none: a page that may be swapped or dumped is no page for a secret.
    const bool ready = ::mprotect(start, kCommitStep, PROT_READ | PROT_WRITE) == 0 &&
                       ::madvise(start, kCommitStep, MADV_DONTDUMP) == 0 &&
                       ::madvise(start, kCommitStep, MADV_WIPEONFORK) == 0 && ::mlock(start, kCommitStep) == 0;
    if (!ready) {
      ::mprotect(start, kCommitStep, PROT_NONE);
      throw PoolExhausted();
    }
    committed_ += kCommitStep;
  }
}

void* LockedPool::allocate(std::size_t size) {
  if (size > kLargestBlock) throw PoolExhausted();
  const std::size_t index = class_of(size), block = kSmallestBlock << index;
  const std::lock_guard lock(mutex_);
  if (region_ == nullptr) map_region();
  void* result = free_[index];
  if (result != nullptr) {
    free_[index] = free_[index]->next;
    wipe(result, sizeof(FreeBlock));
  } else {
    commit(carved_ + block);
    result = region_ + carved_;
    carved_ += block;
  }
  in_use_ += block;
  return result;
}

void LockedPool::release(void* block, std::size_t size) noexcept {
  if (block == nullptr) return;
  const std::size_t index = class_of(size);
  const std::lock_guard lock(mutex_);
  if (!owns(block)) return;  // made before a fork, wiped by it
  wipe(block, kSmallestBlock << index);
  auto* const freed = static_cast<FreeBlock*>(block);
  freed->next = free_[index];
  free_[index] = freed;
  in_use_ -= kSmallestBlock << index;
}

std::size_t LockedPool::in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

}  // namespace keyd::secret
