#include "keyd/placed_parameters.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string_view>

#include "keyd/private_files.h"

namespace keyd::daemon {
namespace {

void empty(int directory) {
  const int copy = ::fcntl(directory, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(copy), ::closedir);
  if (listing == nullptr) {
    ::close(copy);
    return;
  }
  while (const dirent* const entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") ::unlinkat(directory, entry->d_name, 0);
  }
}

}  // namespace

Result<PlacedDirectory> PlacedDirectory::open(const std::string& runtime_directory) {
  auto directory = open_own_directory(runtime_directory + "/" + kName, 0755, false);
  if (!directory) return std::unexpected(directory.error());
  empty(directory->get());
  return PlacedDirectory(std::move(*directory));
}

Result<void> PlacedDirectory::place(const std::string& name, ByteView contents) const {
  const UniqueFd file(
      ::openat(directory_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid()) return fail_errno(Code::kBroken, "cannot place parameters");
  // Nobody knows the name before the request has left: half a file is seen by nobody.
  if (::write(file.get(), contents.data(), contents.size()) != static_cast<ssize_t>(contents.size()) ||
      ::fchmod(file.get(), 0644) != 0) {
    const auto failure = fail_errno(Code::kBroken, "cannot place parameters");
    remove(name);
    return failure;
  }
  return {};
}

void PlacedDirectory::remove(const std::string& name) const { ::unlinkat(directory_.get(), name.c_str(), 0); }

}  // namespace keyd::daemon
