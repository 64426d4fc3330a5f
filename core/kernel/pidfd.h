// pidfds: a handle to one process, and what the kernel says of it. The pidfs inode of a pidfd (Linux 6.9)
// names its process for ever; it is never given to another one, and stays the same over execve.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::kernel {

// Every id a process has. Two processes' worth compare equal only if all eight are.
struct TaskIds {
  std::uint32_t ruid = 0, rgid = 0, euid = 0, egid = 0, suid = 0, sgid = 0, fsuid = 0, fsgid = 0;
  bool operator==(const TaskIds&) const = default;
};

struct PidfdInfo {
  std::uint32_t pid = 0;  // in the caller's pid namespace
  TaskIds ids;            // in the caller's user namespace
};

// Each outcome of asking a pidfd about its process. All but kAlive are refusals.
enum class PidfdOutcome {
  kAlive,
  kGone,            // exited (also while it waits to be reaped)
  kOtherNamespace,  // it lives where we cannot see its numbers (EREMOTE)
  kUnsupported,     // this kernel tells neither by PIDFD_GET_INFO (6.13) nor in fdinfo
  kFailed,
};

[[nodiscard]] Result<UniqueFd> open_pidfd(pid_t pid);

// The pidfs inode, or nothing where `pidfd` is not on pidfs: before Linux 6.9 all pidfds share one inode.
[[nodiscard]] std::optional<std::uint64_t> pidfs_inode(int pidfd);

// PIDFD_GET_INFO (before 6.13: /proc), then a poll: a zombie still has numbers but counts as gone.
[[nodiscard]] PidfdOutcome query_pidfd(int pidfd, PidfdInfo& out);

// The same without the poll: a zombie counts as alive. For those who know by other means that it has exited.
[[nodiscard]] PidfdOutcome query_ids(int pidfd, PidfdInfo& out);

// True once the process has exited, reaped or not. One poll(2).
[[nodiscard]] bool has_exited(int pidfd);

// True when this kernel has pidfs inodes (6.9) and tells a pidfd's ids: without them keyd cannot name a
// process.
[[nodiscard]] bool process_identity_supported();

}  // namespace keyd::kernel
