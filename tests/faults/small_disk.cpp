#include "tests/faults/small_disk.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/base/unique_fd.h"

namespace keyd::testing {
namespace {

// Once in a test program: its mounts are its own from then on.
const char* leave_mount_namespace() {
  static const bool left =
      ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return left ? nullptr : "needs the right to mount (root)";
}

}  // namespace

SmallDisk::SmallDisk(std::string directory) : path_(std::move(directory)) {
  if (const char* obstacle = leave_mount_namespace(); obstacle != nullptr) {
    obstacle_ = obstacle;
    return;
  }
  if (path_.empty()) {
    path_ = "/tmp/keyd-test.XXXXXX";
    own_directory_ = ::mkdtemp(path_.data()) != nullptr;
  }
  if (::mount("keyd-test", path_.c_str(), "tmpfs", 0, "size=4m,mode=0700") != 0)
    obstacle_ = "cannot mount a tmpfs: " + std::string(std::strerror(errno));
}

SmallDisk::~SmallDisk() {
  if (mounted()) ::umount2(path_.c_str(), MNT_DETACH);
  if (own_directory_) ::rmdir(path_.c_str());
}

void SmallDisk::fill() const {
  const UniqueFd file(::open((path_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  std::array<char, 4096> page{};
  while (::write(file.get(), page.data(), page.size()) > 0) continue;
}

void SmallDisk::free() const { ::unlink((path_ + "/filler").c_str()); }

bool SmallDisk::grow() const { return ::mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT, "size=8m") == 0; }

bool SmallDisk::read_only(bool on) const {
  return ::mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT | (on ? unsigned{MS_RDONLY} : 0U), nullptr) == 0;
}

}  // namespace keyd::testing
