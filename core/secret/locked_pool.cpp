// Invariant: every octet of the region that is not inside a block handed out is zero, save the free lists'
// links.
#include "core/secret/locked_pool.h"

#include <pthread.h>
#include <string.h>  // explicit_bzero
#include <sys/resource.h>

#include <algorithm>
#include <bit>

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
  begin_anew();
  // Blocks of the parent's region that inherited objects still own are ignored when they come back. vfork() and
  // posix_spawn() run no handler, and need none: their child runs in the parent's memory.
  ::pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     LockedPool& pool = instance();
                     pool.region_.put_zeros(pool.ready_);
                     pool.leave_parents_region();
                     pool.mutex_.unlock();
                   });
}

void LockedPool::begin_anew() {
  const auto region = SecretRegion::reserve(kCapacity);
  if (!region) throw PoolExhausted();
  free_class_ = std::make_unique<std::uint8_t[]>(kCapacity / kSmallestBlock);
  free_.fill(nullptr);
  region_ = *region;
}

void LockedPool::leave_parents_region() {
  region_ = SecretRegion();
  committed_ = in_use_ = ready_ = 0;
  complete_ = false;
  kind_ = PageKind::kMemfdSecret;
}

void LockedPool::need_region() {
  if (region_.inherited()) leave_parents_region();  // by a clone(2) that ran no handler
  if (region_.start() == nullptr) begin_anew();
}

std::size_t LockedPool::class_of(std::size_t size) {
  const std::size_t rounded = std::bit_ceil(std::max(size, kSmallestBlock));
  return static_cast<std::size_t>(std::countr_zero(rounded) - std::countr_zero(kSmallestBlock));
}

std::size_t LockedPool::unit_of(const void* block) const {
  return static_cast<std::size_t>(static_cast<const std::byte*>(block) - region_.start()) / kSmallestBlock;
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

void LockedPool::make_ready(std::size_t size) {
  if (complete_ || ready_ + size > kCapacity) throw PoolExhausted();
  const auto kind = region_.commit(ready_, size);
  if (!kind) throw PoolExhausted();
  ready_ += size;
  kind_ = std::min(kind_, *kind);
}

void LockedPool::commit() {
  if (committed_ == ready_) make_ready(kLargestBlock);
  push(region_.start() + committed_, kClasses - 1);
  committed_ += kLargestBlock;
}

void LockedPool::reserve() {
  const std::lock_guard lock(mutex_);
  need_region();
  const std::size_t whole = std::max(lockable() / kLargestBlock, std::size_t{1}) * kLargestBlock;
  if (ready_ < whole) make_ready(whole - ready_);
  complete_ = true;
}

PageKind LockedPool::kind() {
  const std::lock_guard lock(mutex_);
  need_region();
  if (ready_ == 0) make_ready(kLargestBlock);
  return kind_;
}

bool LockedPool::holds(const void* block) const {
  const std::lock_guard lock(mutex_);
  return !region_.inherited() && region_.contains(block);
}

void* LockedPool::allocate(std::size_t size) {
  if (size > kLargestBlock) throw PoolExhausted();
  const std::size_t wanted = class_of(size);
  const std::lock_guard lock(mutex_);
  need_region();
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
  if (region_.inherited() || !region_.contains(given)) return;  // made before a fork, not in this process
  auto* block = static_cast<std::byte*>(given);
  wipe(block, kSmallestBlock << index);
  in_use_ -= kSmallestBlock << index;
  for (; index < kClasses - 1; ++index) {
    const std::size_t offset = static_cast<std::size_t>(block - region_.start()),
                      buddy = offset ^ (kSmallestBlock << index);
    if (free_class_[buddy / kSmallestBlock] != index + 1) break;
    remove(region_.start() + buddy, index);
    block = region_.start() + std::min(offset, buddy);
  }
  push(block, index);
}

std::size_t LockedPool::in_use() const {
  const std::lock_guard lock(mutex_);
  return region_.inherited() ? 0 : in_use_;
}

}  // namespace keyd::secret
