#include "core/secret/secret_region.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "core/secret/memfd_secret.h"

namespace keyd::secret {
namespace {

// Pages of memfd_secret at `at`, where address space of ours is reserved. They are made elsewhere and moved:
// before Linux 6.12 an mmap(MAP_FIXED) that is refused (RLIMIT_MEMLOCK) leaves a hole, which another thread may
// fill. The descriptor, by which others could map them, is closed before they hold anything.
bool place_memfd_secret(std::byte* at, std::size_t size) {
  const auto fd = make_memfd_secret(size);
  if (!fd) return false;
  void* const made = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
  if (made == MAP_FAILED) return false;
  // They are shared memory: a child would have the secrets, and not as a copy.
  if (::madvise(made, size, MADV_DONTFORK) == 0 && ::madvise(made, size, MADV_DONTDUMP) == 0 &&
      ::mremap(made, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at) {
    return true;
  }
  ::munmap(made, size);
  return false;
}

// All of these or none: a page that may be swapped or dumped is no page for a secret.
bool lock_ordinary_pages(std::byte* at, std::size_t size) {
  if (::mprotect(at, size, PROT_READ | PROT_WRITE) == 0 && ::madvise(at, size, MADV_DONTDUMP) == 0 &&
      ::madvise(at, size, MADV_WIPEONFORK) == 0 && ::mlock(at, size) == 0) {
    return true;
  }
  ::mprotect(at, size, PROT_NONE);
  return false;
}

}  // namespace

const char* name_of(PageKind kind) { return kind == PageKind::kMemfdSecret ? "memfd_secret" : "mlock"; }

std::optional<SecretRegion> SecretRegion::reserve(std::size_t size) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t whole = size + 3 * page;
  void* const at = ::mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return std::nullopt;
  if (::mprotect(at, page, PROT_READ | PROT_WRITE) != 0 || ::madvise(at, page, MADV_WIPEONFORK) != 0) {
    ::munmap(at, whole);
    return std::nullopt;
  }
  SecretRegion region;
  region.mark_ = static_cast<std::uint8_t*>(at);
  region.start_ = static_cast<std::byte*>(at) + 2 * page;
  region.size_ = size;
  *region.mark_ = 1;
  return region;
}

std::optional<PageKind> SecretRegion::commit(std::size_t offset, std::size_t size) {
  if (place_memfd_secret(start_ + offset, size)) return PageKind::kMemfdSecret;
  if (lock_ordinary_pages(start_ + offset, size)) return PageKind::kLocked;
  return std::nullopt;
}

bool SecretRegion::contains(const void* address) const {
  const std::less<> before;
  return start_ != nullptr && !before(address, start_) && before(address, start_ + size_);
}

bool SecretRegion::inherited() const { return mark_ != nullptr && *mark_ == 0; }

void SecretRegion::put_zeros(std::size_t size) const noexcept {
  if (size == 0) return;
  const void* const zeros = ::mmap(start_, size, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  // A hole could be filled by anybody's memory, which the parent's objects would take for keys.
  if (zeros == MAP_FAILED) std::abort();
  ::madvise(start_, size, MADV_DONTDUMP);
  ::madvise(start_, size, MADV_WIPEONFORK);
}

}  // namespace keyd::secret
