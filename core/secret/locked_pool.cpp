// Invariant: every octet of the region that is not inside a block handed out is zero, save the free lists'
// links.
#include "core/secret/locked_pool.h"

#include <pthread.h>
#include <string.h>  // explicit_bzero
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <functional>

namespace keyd::secret {

namespace {

// memcpy and the hash functions leave what they have moved in vector registers, and whoever saves those next
// puts it on the stack for good: the dynamic linker at the first call of a function, a signal.
void forget_vector_registers() noexcept {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx")) {
    asm volatile("vzeroall" ::
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  } else {
    asm volatile(
        "xorps %%xmm0, %%xmm0; xorps %%xmm1, %%xmm1; xorps %%xmm2, %%xmm2; xorps %%xmm3, %%xmm3;"
        "xorps %%xmm4, %%xmm4; xorps %%xmm5, %%xmm5; xorps %%xmm6, %%xmm6; xorps %%xmm7, %%xmm7;"
        "xorps %%xmm8, %%xmm8; xorps %%xmm9, %%xmm9; xorps %%xmm10, %%xmm10; xorps %%xmm11, %%xmm11;"
        "xorps %%xmm12, %%xmm12; xorps %%xmm13, %%xmm13; xorps %%xmm14, %%xmm14; xorps %%xmm15, %%xmm15" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
              "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  }
  if (__builtin_cpu_supports("avx512f")) {  // the compiler uses none of these
    asm volatile(
        "vpxorq %zmm16, %zmm16, %zmm16; vpxorq %zmm17, %zmm17, %zmm17; vpxorq %zmm18, %zmm18, %zmm18;"
        "vpxorq %zmm19, %zmm19, %zmm19; vpxorq %zmm20, %zmm20, %zmm20; vpxorq %zmm21, %zmm21, %zmm21;"
        "vpxorq %zmm22, %zmm22, %zmm22; vpxorq %zmm23, %zmm23, %zmm23; vpxorq %zmm24, %zmm24, %zmm24;"
        "vpxorq %zmm25, %zmm25, %zmm25; vpxorq %zmm26, %zmm26, %zmm26; vpxorq %zmm27, %zmm27, %zmm27;"
        "vpxorq %zmm28, %zmm28, %zmm28; vpxorq %zmm29, %zmm29, %zmm29; vpxorq %zmm30, %zmm30, %zmm30;"
        "vpxorq %zmm31, %zmm31, %zmm31");
  }
#endif
}

}  // namespace

void wipe(void* data, std::size_t size) noexcept {
  if (size != 0) ::explicit_bzero(data, size);  // a view of nothing has no address
  forget_vector_registers();
}

std::size_t LockedPool::lockable() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
  return static_cast<std::size_t>(std::min<rlim_t>(limit.rlim_cur, kCapacity));
}

LockedPool& LockedPool::instance() {
  static LockedPool* const pool = new LockedPool;
  return *pool;
}

LockedPool::LockedPool() {
  map_region();
  // A child has the parent's addresses but none of its page locks, and zeros where the secrets were: it gets
  // a new region. Blocks of the old one that its inherited objects still own are ignored when they come back.
  ::pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     instance().region_ = nullptr;
                     instance().in_use_ = 0;
                     instance().mutex_.unlock();
                   });
}

void LockedPool::map_region() {
  void* region = ::mmap(nullptr, kCapacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) throw PoolExhausted();
  region_ = static_cast<std::byte*>(region);
  committed_ = in_use_ = 0;
  free_.fill(nullptr);
  free_class_ = std::make_unique<std::uint8_t[]>(kCapacity / kSmallestBlock);
}

bool LockedPool::owns(const void* block) const {
  const std::less<> before;
  return region_ != nullptr && !before(block, region_) && before(block, region_ + kCapacity);
}

std::size_t LockedPool::class_of(std::size_t size) {
  const std::size_t rounded = std::bit_ceil(std::max(size, kSmallestBlock));
  return static_cast<std::size_t>(std::countr_zero(rounded) - std::countr_zero(kSmallestBlock));
}

std::size_t LockedPool::unit_of(const void* block) const {
  return static_cast<std::size_t>(static_cast<const std::byte*>(block) - region_) / kSmallestBlock;
}

void LockedPool::push(std::byte* block, std::size_t index) {
  auto* const links = reinterpret_cast<FreeBlock*>(block);
  *links = {free_[index], nullptr};
  if (links->next != nullptr) links->next->previous = links;
  free_[index] = links;
  free_class_[unit_of(block)] = static_cast<std::uint8_t>(index + 1);
}

void LockedPool::remove(std::byte* block, std::size_t index) {
  auto* const links = reinterpret_cast<FreeBlock*>(block);
  (links->previous != nullptr ? links->previous->next : free_[index]) = links->next;
  if (links->next != nullptr) links->next->previous = links->previous;
  free_class_[unit_of(block)] = 0;
  wipe(links, sizeof *links);
}

void LockedPool::commit() {
  if (committed_ + kLargestBlock > kCapacity) throw PoolExhausted();
  std::byte* const start = region_ + committed_;
  // All of these or none: a page that may be swapped or dumped is no page for a secret.
  const bool ready = ::mprotect(start, kLargestBlock, PROT_READ | PROT_WRITE) == 0 &&
                     ::madvise(start, kLargestBlock, MADV_DONTDUMP) == 0 &&
                     ::madvise(start, kLargestBlock, MADV_WIPEONFORK) == 0 &&
                     ::mlock(start, kLargestBlock) == 0;
  if (!ready) {
    ::mprotect(start, kLargestBlock, PROT_NONE);
    throw PoolExhausted();
  }
  committed_ += kLargestBlock;
  push(start, kClasses - 1);
}

void* LockedPool::allocate(std::size_t size) {
  if (size > kLargestBlock) throw PoolExhausted();
  const std::size_t wanted = class_of(size);
  const std::lock_guard lock(mutex_);
  if (region_ == nullptr) map_region();
  std::size_t index = wanted;
  while (index < kClasses && free_[index] == nullptr) ++index;
  if (index == kClasses) {
    commit();
    index = kClasses - 1;
  }
  auto* const block = reinterpret_cast<std::byte*>(free_[index]);
  remove(block, index);
  while (index > wanted) {  // its upper half, quarter … stay free
    --index;
    push(block + (kSmallestBlock << index), index);
  }
  in_use_ += kSmallestBlock << wanted;
  return block;
}

void LockedPool::release(void* given, std::size_t size) noexcept {
  if (given == nullptr) return;
  std::size_t index = class_of(size);
  const std::lock_guard lock(mutex_);
  if (!owns(given)) return;  // made before a fork, wiped by it
  auto* block = static_cast<std::byte*>(given);
  wipe(block, kSmallestBlock << index);
  in_use_ -= kSmallestBlock << index;
  for (; index < kClasses - 1; ++index) {
    const std::size_t offset = static_cast<std::size_t>(block - region_),
                      buddy = offset ^ (kSmallestBlock << index);
    if (free_class_[buddy / kSmallestBlock] != index + 1) break;
    remove(region_ + buddy, index);
    block = region_ + std::min(offset, buddy);
  }
  push(block, index);
}

std::size_t LockedPool::in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

}  // namespace keyd::secret
