// The one place where secrets lie in memory: pages that are locked (never swapped), left out of core files,
// unreadable for others where the kernel has memfd_secret(2) (secret_region.h), and not a forked child's, which
// starts with an empty pool of its own. Bounded, shared by all threads of the process, so that what peers can
// make us hold is bounded too. Blocks come in power-of-two sizes from 64 octets to 128 KiB, are wiped when given
// back, and merge with their buddies, so that what small blocks have filled can serve a large one again.
//
// It grows by kLargestBlock, by the system calls memfd_secret, ftruncate, mmap, madvise, mremap, munmap, close
// (and mprotect, mlock where there is no memfd_secret), unless reserve() has made all of it at the start.
//
// After fork() a child sees zeros where its parent's secrets were. A child that clone(2) or _Fork() made without
// the handlers of pthread_atfork(3) has nothing there: it may release what it inherited, not look at it (holds()).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>

#include "core/secret/secret_region.h"

namespace keyd::secret {

// No room for another secret: the pool's bound or RLIMIT_MEMLOCK is reached. The request that needed it is
// refused.
class PoolExhausted : public std::bad_alloc {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "out of locked memory for secrets"; }
};

class LockedPool {
 public:
  static constexpr std::size_t kCapacity = 6u << 20;  // octets of address space, committed as needed
  // Octets that this process may lock for it: kCapacity, or less by RLIMIT_MEMLOCK.
  [[nodiscard]] static std::size_t lockable();
  static constexpr std::size_t kSmallestBlock = 64;        // octets
  static constexpr std::size_t kLargestBlock = 128 << 10;  // octets

  // The process's pool; made on first use, never destroyed.
  static LockedPool& instance();

  // A block of at least `size` octets, all zero. Throws PoolExhausted. `size` <= kLargestBlock.
  [[nodiscard]] void* allocate(std::size_t size);
  // Wipes the block and takes it back. `size` is what was asked for.
  void release(void* block, std::size_t size) noexcept;

  [[nodiscard]] std::size_t in_use() const;  // octets in blocks handed out

  // Makes all of lockable() ready, and at least one block of the largest size. From then on the pool needs no
  // system call, and does not grow. Throws PoolExhausted.
  void reserve();
  // The weakest kind of pages that it has; makes the first where it has none. Throws PoolExhausted.
  [[nodiscard]] PageKind kind();
  // Whether a block is this process's own. One from before a fork is not: a child must not trust what is in it.
  [[nodiscard]] bool holds(const void* block) const;

  LockedPool(const LockedPool&) = delete;
  LockedPool& operator=(const LockedPool&) = delete;

 private:
  static constexpr std::size_t kClasses = 12;  // 64 << 0 … 64 << 11
  // The links of a free block lie in the block itself.
  struct FreeBlock {
    FreeBlock *next, *previous;
  };

  LockedPool();
  void begin_anew();            // a fresh, empty region; throws PoolExhausted
  void leave_parents_region();  // in a child: that is no longer ours
  void need_region();
  void make_ready(std::size_t size);  // the next `size` octets of the region get pages; throws PoolExhausted
  void commit();                      // makes the next kLargestBlock octets free; throws PoolExhausted
  static std::size_t class_of(std::size_t size);
  [[nodiscard]] std::size_t unit_of(const void* block) const;  // its place in free_class_
  void push(std::byte* block, std::size_t index);
  void remove(std::byte* block, std::size_t index);

  mutable std::mutex mutex_;
  SecretRegion region_;
  std::size_t committed_ = 0, in_use_ = 0;
  std::size_t ready_ = 0;                   // octets of the region with pages, committed or not
  bool complete_ = false;                   // nothing is made ready any more
  PageKind kind_ = PageKind::kMemfdSecret;  // of all that is ready
  std::array<FreeBlock*, kClasses> free_{};
  // For each smallest block of the region: 1 + the class of the free block that begins there, else 0.
  std::unique_ptr<std::uint8_t[]> free_class_;
};

// Overwrites `size` octets in a way that the compiler keeps, and what vector registers still hold of them or
// of anything else.
void wipe(void* data, std::size_t size) noexcept;

}  // namespace keyd::secret
