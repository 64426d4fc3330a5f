// The lists were taken from keyd's code and from traces of all its tests; what libraries choose between (stat
// or newfstatat, open or openat) is there in all forms. A call that is missing here fails with EPERM and is in
// the kernel's audit log as SECCOMP.
#include "keyd/sandbox.h"

#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>

#include "core/base/log.h"
#include "core/kernel/capabilities.h"
#include "core/kernel/common_calls.h"
#include "core/kernel/hardening.h"
#include "keyd/placed_parameters.h"

namespace keyd::daemon {
namespace {

using namespace kernel;
namespace fs = std::filesystem;

const SystemCalls kServing{
    // sockets and the event loop
    {"socket", {is(0, AF_UNIX)}},
    {"accept"},
    {"accept4"},
    {"getsockopt"},
    {"setsockopt"},
    {"getsockname"},
    {"getpeername"},
    {"recvfrom"},
    {"recvmsg"},
    {"recvmmsg"},
    {"sendto"},
    {"sendmsg"},
    {"shutdown"},
    {"epoll_create1"},
    {"epoll_ctl"},
    {"epoll_wait"},
    {"epoll_pwait"},
    {"eventfd2"},
    {"timerfd_create"},
    {"timerfd_settime"},
    {"pipe"},  // for signals
    {"pipe2"},
    {"ioctl", {is(1, FIONBIO)}},
    {"ioctl", {is(1, SIOCOUTQ)}},
    {"ioctl", {is(1, TCGETS)}},  // isatty(3)
    // threads
    {"clone", {has(0, CLONE_THREAD)}},
    {"setpriority", {is(0, PRIO_PROCESS)}},
    // who is at the other end
    {"pidfd_open"},
    kPidfdGetInfo,
    // files, where Landlock lets it
    {"open"},
    {"openat"},
    {"stat"},
    {"lstat"},
    {"access"},
    {"faccessat"},
    {"readlink"},
    {"readlinkat"},
    {"getcwd"},
    {"getdents64"},
    {"statfs"},
    {"fstatfs"},
    {"pread64"},
    {"preadv"},
    {"pwrite64"},
    {"pwritev2"},
    {"fsync"},
    {"fdatasync"},
    {"fallocate"},
    {"fadvise64"},
    {"flock"},
    {"fchmod"},
    {"fchown"},  // SQLite as root: its log to the database's owner
    {"unlink"},
    {"unlinkat"},
    {"mkdir"},  // open_own_directory tries it first
    {"umask"},
    {"dup2"},
    {"dup3"},
};

SystemCalls allowed_calls(const SandboxNeeds& needs) {
  SystemCalls calls = run_time_calls();
  calls.insert(calls.end(), kServing.begin(), kServing.end());
  if (needs.process_connector) calls.push_back({"socket", {is(0, AF_NETLINK), is(2, NETLINK_CONNECTOR)}});
  if (needs.table_program) calls.push_back({"bpf", {is(0, BPF_PROG_TEST_RUN)}});
  return calls;
}

std::string directory_of(const fs::path& file) {
  const fs::path parent = file.parent_path();
  return parent.empty() ? "." : parent.string();
}

LandlockRules file_rules(const SandboxNeeds& needs) {
  LandlockRules rules;
  rules.paths = {
      {needs.state_directory, kReadFiles | kListFiles | kWriteFiles | kMakeFiles | kRemoveFiles},
      {needs.runtime_directory, kRemoveFiles},
      {needs.runtime_directory + "/" + PlacedDirectory::kName, kWriteFiles | kMakeFiles | kRemoveFiles},
      {directory_of(needs.config_file), kReadFiles | kListFiles},
      {"/proc", kReadFiles},  // a client's status; the directory cannot be listed
      {"/dev/urandom", kReadFiles},
      {"/sys/devices/system/cpu", kReadFiles},  // how many there are
  };
  // A configuration that is a link into another directory is read there.
  std::error_code ignored;
  if (const fs::path real = fs::canonical(needs.config_file, ignored); !real.empty())
    rules.paths.push_back({directory_of(real), kReadFiles | kListFiles});
  if (needs.background) rules.paths.push_back({"/dev/null", kReadFiles | kWriteFiles});
  if (needs.raw_noise) rules.paths.push_back({"/dev/hwrng", kReadFiles});
  if (!needs.audit_file.empty())
    rules.paths.push_back({directory_of(needs.audit_file), kWriteFiles | kMakeFiles});
  // A service manager in a container may listen at an abstract name.
  const char* const notify = ::getenv("NOTIFY_SOCKET");
  rules.abstract_sockets = notify != nullptr && *notify == '@';
  for (PathRule& each : instrumentation_paths()) rules.paths.push_back(std::move(each));
  return rules;
}

}  // namespace

Result<void> enter_sandbox(const SandboxNeeds& needs) {
  ::tzset();  // reads a file, once
  // First: nobody of our uid shall reach in between, and take what the tier has loaded.
  if (auto hidden = forbid_inspection(); !hidden) return hidden;
  if (auto dropped = drop_all_capabilities(); !dropped) return dropped;
  if (auto forbidden = forbid_new_privileges(); !forbidden) return forbidden;
  if (auto without = forbid_core_files(); !without) return without;
  const auto landlock = restrict_files(file_rules(needs));
  if (!landlock) return std::unexpected(landlock.error());
  if (*landlock == 0) {
    log::warn(
        "this kernel has no Landlock, or it is switched off: only keyd's account and its filter of "
        "system calls stand between it and other files");
  }
  return restrict_system_calls({allowed_calls(needs), absent_calls(), deadly_calls()});
}

}  // namespace keyd::daemon
