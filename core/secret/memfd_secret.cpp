#include "core/secret/memfd_secret.h"

#include <fcntl.h>
#include <sys/syscall.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

namespace keyd::secret {

Result<UniqueFd> make_memfd_secret(std::size_t size) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_memfd_secret, O_CLOEXEC)));
  if (!fd.valid()) {
    const bool full = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    return full ? fail_errno(Code::kExhausted, "cannot make a memfd_secret")
                : fail_errno(Code::kUnsupported, "no memfd_secret on this kernel");
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(Code::kExhausted, "cannot size a memfd_secret");
  return fd;
}

}  // namespace keyd::secret
