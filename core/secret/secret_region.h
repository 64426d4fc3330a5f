// Address space for secrets, and the pages in it. All pages are locked, left out of core files and not the
// child's after a fork. The best kind that there is: memfd_secret(2), which root's tools cannot read either;
// else ordinary pages with mlock(2), MADV_DONTDUMP and MADV_WIPEONFORK. Both count against RLIMIT_MEMLOCK.
//
//   mark | guard | size octets, inaccessible until committed ... | guard
//
// The mark is an octet that the kernel wipes in a child, whichever way the child was made: by it a child knows
// that the region is its parent's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace keyd::secret {

// From the weaker to the stronger.
enum class PageKind : std::uint8_t { kLocked, kMemfdSecret };
// "mlock", "memfd_secret".
[[nodiscard]] const char* name_of(PageKind kind);

// A place, not an owner: a region stays mapped until the process ends.
class SecretRegion {
 public:
  // No region. Contains nothing, is nobody's.
  SecretRegion() = default;
  // `size` octets of address space, a multiple of the page size; nothing when there is no room for them.
  [[nodiscard]] static std::optional<SecretRegion> reserve(std::size_t size);

  // Makes octets usable that are not: all of them, zero and of one kind, or none (no memory, or RLIMIT_MEMLOCK is
  // reached). memfd_secret pages get their memory at the first touch, the others now.
  [[nodiscard]] std::optional<PageKind> commit(std::size_t offset, std::size_t size);

  [[nodiscard]] std::byte* start() const { return start_; }
  [[nodiscard]] bool contains(const void* address) const;

  // Whether this process is a child of the one that made it. Then pages of memfd_secret are not there: what
  // touches them is ended by SIGSEGV, until put_zeros().
  [[nodiscard]] bool inherited() const;
  // In a child, before it has another thread: puts zeros where the parent's first `size` octets are, unlocked and
  // not dumped, so that what the parent's objects refer to can be read. Only system calls.
  void put_zeros(std::size_t size) const noexcept;

 private:
  std::byte* start_ = nullptr;
  std::size_t size_ = 0;
  volatile std::uint8_t* mark_ = nullptr;
};

}  // namespace keyd::secret
