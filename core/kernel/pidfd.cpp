#include "core/kernel/pidfd.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>

#include "core/kernel/proc_file.h"

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

// Linux 6.9 to 6.12, which lack PIDFD_GET_INFO: the same facts from the pidfd's fdinfo and the process's
// status. The number is the process's own as long as the pidfd says afterwards that it has not exited.
PidfdOutcome query_by_proc(int pidfd, PidfdInfo& out) {
  const auto fdinfo = read_proc_file("/proc/self/fdinfo/" + std::to_string(pidfd));
  const auto pid = fdinfo ? proc_field(*fdinfo, "Pid:") : std::nullopt;
  std::array<std::int64_t, 1> number{};
  if (!pid || !parse_numbers(*pid, number)) return PidfdOutcome::kUnsupported;
  if (number[0] == -1) return PidfdOutcome::kGone;
  if (number[0] <= 0) return PidfdOutcome::kOtherNamespace;
  const auto status = read_proc_file("/proc/" + std::to_string(number[0]) + "/status");
  if (has_exited(pidfd)) return PidfdOutcome::kGone;
  const auto uid_line = status ? proc_field(*status, "Uid:") : std::nullopt;
  const auto gid_line = status ? proc_field(*status, "Gid:") : std::nullopt;
  std::array<std::int64_t, 4> u{}, g{};  // real, effective, saved, file system
  if (!uid_line || !gid_line || !parse_numbers(*uid_line, u) || !parse_numbers(*gid_line, g)) {
    return PidfdOutcome::kFailed;
  }
  const auto id = [](std::int64_t v) { return static_cast<std::uint32_t>(v); };
  out.pid = id(number[0]);
  out.ids = {id(u[0]), id(g[0]), id(u[1]), id(g[1]), id(u[2]), id(g[2]), id(u[3]), id(g[3])};
  return PidfdOutcome::kAlive;
}

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
    struct statfs fs{};
    return self && ::fstatfs(self->get(), &fs) == 0 && fs.f_type == kPidfsMagic;
  }();
  struct stat st{};
  if (!on_pidfs || ::fstat(pidfd, &st) != 0) return std::nullopt;
  return st.st_ino;
}

PidfdOutcome query_ids(int pidfd, PidfdInfo& out) {
  KernelPidfdInfo info{};
  info.mask = kInfoPid | kInfoCredentials;
  if (::ioctl(pidfd, kPidfdGetInfo, &info) != 0) {
    switch (errno) {
      case ESRCH: return PidfdOutcome::kGone;
      case EREMOTE: return PidfdOutcome::kOtherNamespace;
      case ENOTTY:
      case EINVAL: return query_by_proc(pidfd, out);
      default: return PidfdOutcome::kFailed;
    }
  }
  if ((info.mask & kInfoPid) == 0 || (info.mask & kInfoCredentials) == 0) return PidfdOutcome::kFailed;
  if (info.tgid == 0) return PidfdOutcome::kOtherNamespace;
  out.pid = info.tgid;
  out.ids = {info.ruid, info.rgid, info.euid, info.egid, info.suid, info.sgid, info.fsuid, info.fsgid};
  return PidfdOutcome::kAlive;
}

PidfdOutcome query_pidfd(int pidfd, PidfdInfo& out) {
  PidfdInfo found;
  if (const PidfdOutcome outcome = query_ids(pidfd, found); outcome != PidfdOutcome::kAlive) return outcome;
  if (has_exited(pidfd)) return PidfdOutcome::kGone;
  out = found;
  return PidfdOutcome::kAlive;
}

bool has_exited(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&entry, 1, 0);
  } while (ready < 0 && errno == EINTR);  // a signal of the caller's says nothing about the process
  return ready != 0;  // readable: exited; an error too is no sign of life
}

bool process_identity_supported() {
  const auto self = open_pidfd(::getpid());
  PidfdInfo info;
  return self && pidfs_inode(self->get()) && query_pidfd(self->get(), info) == PidfdOutcome::kAlive;
}

}  // namespace keyd::kernel
