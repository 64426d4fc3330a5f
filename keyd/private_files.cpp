#include "keyd/private_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/untrusted_text.h"

namespace keyd::daemon {

Result<UniqueFd> open_own_directory(const std::string& path, mode_t mode, bool exclusive) {
  const std::string shown = escape(path);
  const bool made = ::mkdir(path.c_str(), mode) == 0;
  if (!made && errno != EEXIST) return fail_errno(Code::kBroken, "cannot make directory " + shown);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ELOOP || errno == ENOTDIR)
      return fail(Code::kRefused, shown + " is a link or no directory; give keyd a directory of its own");
    return fail_errno(Code::kBroken, "cannot open directory " + shown);
  }
  if (made && ::fchmod(fd.get(), mode) != 0)
    return fail_errno(Code::kBroken, "cannot set the mode of " + shown);
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno(Code::kBroken, "cannot examine " + shown);
  if (st.st_uid != ::geteuid()) {
    return fail(Code::kRefused,
                fmt::format("{} belongs to uid {}, not to keyd's uid {}", shown, st.st_uid, ::geteuid()));
  }
  const mode_t forbidden = exclusive ? 077 : 022;
  if ((st.st_mode & forbidden) != 0) {
    return fail(Code::kRefused, fmt::format("{} has mode {:04o}; it must be {:04o} (chmod it)", shown,
                                            st.st_mode & 07777, (st.st_mode & 07777) & ~forbidden));
  }
  return fd;
}

Result<UniqueFd> open_own_file(int directory, const std::string& name, int flags) {
  UniqueFd fd(::openat(directory, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!fd.valid()) {
    if (errno == ENOENT) return fail(Code::kNotFound, name + " is missing");
    if (errno == ELOOP) return fail(Code::kRefused, name + " is a symbolic link; keyd follows none");
    return fail_errno(Code::kBroken, "cannot open " + name);
  }
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return fail_errno(Code::kBroken, "cannot examine " + name);
  if (!S_ISREG(st.st_mode)) return fail(Code::kRefused, name + " is not a regular file");
  if (st.st_nlink != 1) return fail(Code::kRefused, name + " has a second link");
  if (st.st_uid != ::geteuid()) {
    return fail(Code::kRefused,
                fmt::format("{} belongs to uid {}, not to keyd's uid {}", name, st.st_uid, ::geteuid()));
  }
  if ((st.st_mode & 077) != 0) {
    return fail(Code::kRefused,
                fmt::format("{} has mode {:04o}; it must be 0600 (chmod it, and ask who read it)", name,
                            st.st_mode & 07777));
  }
  return fd;
}

Result<void> check_own_file(int directory, const std::string& name) {
  auto fd = open_own_file(directory, name, O_RDONLY);
  if (!fd) return std::unexpected(fd.error());
  return {};
}

}  // namespace keyd::daemon
