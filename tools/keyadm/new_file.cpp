#include "tools/keyadm/new_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "core/base/untrusted_text.h"

namespace keyd::keyadm {
namespace {

// Also just made: with one name, so that nobody else has it under another, and nobody else has it open.
bool is_ours_and_empty(int file) {
  struct stat status{};
  return ::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0 &&
         status.st_nlink == 1 && status.st_uid == ::geteuid() && (status.st_mode & 077) == 0;
}

}  // namespace

Result<NewFile> NewFile::create(const std::string& path) {
  NewFile made;
  made.path_ = path;
  std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (directory.empty()) directory = ".";
  made.directory_ = UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!made.directory_.valid())
    return fail_errno(Code::kNotFound, "cannot open the directory of " + escape(path));
  // By the name alone, so that it is in this directory.
  const std::string name = std::filesystem::path(path).filename();
  made.file_ = UniqueFd(::openat(made.directory_.get(), name.c_str(),
                                 O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600));
  if (!made.file_.valid()) {
    return fail_errno(Code::kRefused,
                      errno == ELOOP ? escape(path) + " is a symbolic link" : "cannot make " + escape(path));
  }
  if (!is_ours_and_empty(made.file_.get()))
    return fail(Code::kRefused, "an export overwrites nothing: " + escape(path) + " is there already");
  if (::fchmod(made.file_.get(), 0600) != 0)
    return fail_errno(Code::kBroken, "cannot make " + escape(path) + " private");
  return made;
}

NewFile NewFile::standard_output() {
  NewFile out;
  out.path_ = "standard output";
  out.file_ = UniqueFd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  return out;
}

Result<void> NewFile::append(ByteView octets) {
  while (!octets.empty()) {
    const ssize_t written = ::write(file_.get(), octets.data(), octets.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail_errno(Code::kBroken, "cannot write " + escape(path_));
    octets = octets.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> NewFile::make_durable() {
  if (!directory_.valid()) {
    // A pipe knows nothing of it.
    if (::fsync(file_.get()) != 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
      return fail_errno(Code::kBroken, "cannot write standard output to the disk");
    return {};
  }
  if (::fsync(file_.get()) != 0 || ::fsync(directory_.get()) != 0)
    return fail_errno(Code::kBroken, "cannot write " + escape(path_) + " to the disk");
  return {};
}

void NewFile::empty() {
  if (directory_.valid()) (void)!::ftruncate(file_.get(), 0);
}

}  // namespace keyd::keyadm
