#include "core/kernel/pidfd.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

namespace keyd::kernel {
namespace {

constexpr long kPidfsMagic = 0x50494446;  // "PIDF", linux/magic.h

// struct pidfd_info, version 0 (linux/pidfd.h of 6.13); Debian 12's headers lack it.
struct KernelPidfdInfo {
  std::uint64_t mask, cgroup_id;
  std::uint32_t pid, tgid, ppid;
  std::uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(KernelPidfdInfo) == 64);
constexpr std::uint64_t kInfoPid = 1, kInfoCredentials = 2;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, KernelPidfdInfo);

}  // namespace

Result<UniqueFd> open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u)));
  if (!fd.valid()) return fail_errno(errno == ESRCH ? Code::kNotFound : Code::kBroken, "pidfd_open");
  return fd;
}

std::optional<std::uint64_t> pidfs_inode(int pidfd) {
  // Which file system pidfds are on is a fact of the kernel, not of one descriptor: asked once.
  static const bool on_pidfs = [] {
    const auto self = open_pidfd(::getpid());
    struct statfs fs {};
    return self && ::fstatfs(self->get(), &fs) == 0 && fs.f_type == kPidfsMagic;
  }();
  struct stat st {};
  if (!on_pidfs || ::fstat(pidfd, &st) != 0) return std::nullopt;
  return st.st_ino;
}

PidfdOutcome query_pidfd(int pidfd, PidfdInfo& out) {
  KernelPidfdInfo info{};
  info.mask = kInfoPid | kInfoCredentials;
  if (::ioctl(pidfd, kPidfdGetInfo, &info) != 0) {
    switch (errno) {
      case ESRCH: return PidfdOutcome::kGone;
      case EREMOTE: return PidfdOutcome::kOtherNamespace;
      case ENOTTY:
      case EINVAL: return PidfdOutcome::kUnsupported;
      default: return PidfdOutcome::kFailed;
    }
  }
  if ((info.mask & kInfoPid) == 0 || (info.mask & kInfoCredentials) == 0) return PidfdOutcome::kFailed;
  if (info.tgid == 0) return PidfdOutcome::kOtherNamespace;
  if (has_exited(pidfd)) return PidfdOutcome::kGone;
  out.pid = info.tgid;
  out.ids = {info.ruid, info.rgid, info.euid, info.egid, info.suid, info.sgid, info.fsuid, info.fsgid};
  return PidfdOutcome::kAlive;
}

bool has_exited(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) != 0;  // readable: exited; an error too is no sign of life
}

bool process_identity_supported() {
  const auto self = open_pidfd(::getpid());
  PidfdInfo info;
  return self && pidfs_inode(self->get()) && query_pidfd(self->get(), info) == PidfdOutcome::kAlive;
}

}  // namespace keyd::kernel
