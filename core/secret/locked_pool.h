// The one place where secrets lie in memory: pages that are locked (never swapped), left out of core files
// and wiped in a forked child (which starts with an empty pool of its own: locks are not inherited). Bounded,
// shared by all threads of the process, so that what peers can make us hold is bounded too. Blocks come in
// power-of-two sizes from 64 octets to 128 KiB, are wiped when given back, and merge with their buddies, so
// that what small blocks have filled can serve a large one again.
//
// (The kernel-backed pages of memfd_secret(2) take this pool's place in one function, `commit`, when the
// kernel tier lands; nobody outside this file knows where the pages come from.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>

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

  LockedPool(const LockedPool&) = delete;
  LockedPool& operator=(const LockedPool&) = delete;

 private:
  static constexpr std::size_t kClasses = 12;  // 64 << 0 … 64 << 11
  // The links of a free block lie in the block itself.
  struct FreeBlock {
    FreeBlock *next, *previous;
  };

  LockedPool();
  void map_region();  // a fresh, empty region; throws PoolExhausted
  void commit();      // makes the next kLargestBlock octets usable, locked and free; throws PoolExhausted
  [[nodiscard]] bool owns(const void* block) const;
  static std::size_t class_of(std::size_t size);
  [[nodiscard]] std::size_t unit_of(const void* block) const;  // its place in free_class_
  void push(std::byte* block, std::size_t index);
  void remove(std::byte* block, std::size_t index);

  mutable std::mutex mutex_;
  std::byte* region_ = nullptr;
  std::size_t committed_ = 0, in_use_ = 0;
  std::array<FreeBlock*, kClasses> free_{};
  // For each smallest block of the region: 1 + the class of the free block that begins there, else 0.
  std::unique_ptr<std::uint8_t[]> free_class_;
};

// Overwrites `size` octets in a way that the compiler keeps, and what vector registers still hold of them or
// of anything else.
void wipe(void* data, std::size_t size) noexcept;

}  // namespace keyd::secret
