#include "core/secret/memfd_secret.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

namespace keyd::secret {
namespace {

constexpr auto kSecretmemMagic = 0x5345434d;  // SECRETMEM_MAGIC of <linux/magic.h>, since Linux 5.14

}  // namespace

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

bool is_memfd_secret(int fd, std::size_t size) {
  struct statfs file_system{};
  struct stat file{};
  return ::fstatfs(fd, &file_system) == 0 && file_system.f_type == kSecretmemMagic &&
         ::fstat(fd, &file) == 0 && file.st_size >= static_cast<off_t>(size);
}

}  // namespace keyd::secret
