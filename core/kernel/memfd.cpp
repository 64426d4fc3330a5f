#include "core/kernel/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3
#endif

namespace keyd::kernel {

Result<UniqueFd> make_memfd(const char* name, std::size_t size) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
  if (!fd.valid() && errno == EINVAL) fd.reset(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return fail_errno(Code::kExhausted, "memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(Code::kExhausted, "cannot size a memfd");
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    return fail_errno(Code::kBroken, "cannot seal a memfd's size");
  }
  return fd;
}

Result<void> seal_for_readers(int memfd) {
  if (::fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return fail_errno(Code::kUnsupported, "cannot seal a memfd against writers");
  }
  return {};
}

Result<UniqueFd> make_sealed_memfd(const char* name, ByteView content) {
  auto fd = make_memfd(name, content.size());
  if (!fd) return fd;
  for (std::size_t at = 0; at < content.size();) {
    const ssize_t written =
        ::pwrite(fd->get(), content.data() + at, content.size() - at, static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail_errno(Code::kExhausted, "cannot fill a memfd");
    at += static_cast<std::size_t>(written);
  }
  if (::fcntl(fd->get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    return fail_errno(Code::kBroken, "cannot seal a memfd");
  }
  return fd;
}

}  // namespace keyd::kernel
