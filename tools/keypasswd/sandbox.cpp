// The passwords of a person are here, and two libraries that parse files: both get as little as they can do with. The
// child in which a new password is judged (libkeyclient) is in the same sandbox.
#include "tools/keypasswd/sandbox.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <string_view>

#include "core/kernel/hardening.h"
#include "tools/console/tool_calls.h"

namespace keyd::keypasswd {
namespace {

kernel::LandlockRules files(const std::string& runtime_dir) {
  using kernel::kListFiles, kernel::kReadFiles, kernel::kWriteFiles;
  kernel::LandlockRules rules{.paths = {{"/dev/tty", kReadFiles | kWriteFiles},
                                        // salt and group of the new verifier, where keyd places them
                                        {runtime_dir + "/params", kReadFiles},
                                        // whose password it is
                                        {"/etc/passwd", kReadFiles},
                                        {"/etc/nsswitch.conf", kReadFiles},
                                        // what it is judged by; where dictionaries are
                                        {"/etc/security/pwquality.conf", kReadFiles},
                                        {"/etc/security/pwquality.conf.d", kReadFiles | kListFiles},
                                        {"/usr/share", kReadFiles},
                                        {"/usr/local/share", kReadFiles},
                                        {"/var/cache", kReadFiles},
                                        {"/var/lib", kReadFiles}},
                              .abstract_sockets = false};
  for (kernel::PathRule& each : kernel::instrumentation_paths()) rules.paths.push_back(std::move(each));
  return rules;
}

// What libkeyclient does beside talking, and its child.
kernel::SystemCalls allowed_calls() {
  using kernel::is;
  kernel::SystemCalls calls = console::tool_calls();
  constexpr std::uint32_t kForksFlags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
  const kernel::SystemCalls more{
      {"clone", {is(0, kForksFlags)}},
      {"socketpair", {is(0, AF_UNIX)}},
      {"pidfd_open"},
      {"pidfd_send_signal"},
      {"waitid"},
      {"fstatfs"},
      kernel::kPidfdGetInfo,
      {"prctl", {is(0, PR_SET_DUMPABLE), is(1, 0)}},
      {"prlimit64", {is(0, 0), is(1, RLIMIT_CORE)}},
      {"setitimer"},
      {"dup2"},
      {"close_range"},
      {"getdents64"},
      {"pread64"},
  };
  calls.insert(calls.end(), more.begin(), more.end());
  return calls;
}

kernel::SystemCalls without(kernel::SystemCalls calls, std::string_view name) {
  std::erase_if(calls, [&](const kernel::SystemCall& call) { return call.name == name; });
  return calls;
}

}  // namespace

Result<void> enter_sandbox(const std::string& runtime_dir) {
  if (auto hidden = kernel::forbid_inspection(); !hidden) return hidden;
  if (auto without_core = kernel::forbid_core_files(); !without_core) return without_core;
  if (auto forbidden = kernel::forbid_new_privileges(); !forbidden) return forbidden;
  if (const auto version = kernel::restrict_files(files(runtime_dir)); !version)
    return std::unexpected(version.error());
  return kernel::restrict_system_calls({allowed_calls(), without(kernel::absent_calls(), "close_range"),
                                        without(kernel::deadly_calls(), "clone")});
}

}  // namespace keyd::keypasswd
