#include "core/kernel/common_calls.h"

#include <linux/bpf.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace keyd::kernel {
namespace {

void append(SystemCalls& to, const SystemCalls& more) { to.insert(to.end(), more.begin(), more.end()); }

#ifdef KEYD_SANITIZED
// Their background threads and maps; the process of its own from which LeakSanitizer looks at this one, and
// the fork before the symbolizer (whose execve still kills that child alone: a report then has addresses).
SystemCalls sanitizer_calls() {
  return {{"clone", {has_not(0, CLONE_THREAD)}},
          {"fork"},
          {"ptrace"},
          {"wait4"},
          {"kill"},
          {"prctl"},
          {"getppid"},
          {"open"},
          {"openat"},
          {"readlink"},
          {"readlinkat"},
          {"stat"},
          {"lstat"},
          {"access"},
          {"getdents64"},
          {"mincore"},
          {"pipe"},
          {"pipe2"},
          {"dup"},
          {"dup2"},
          {"getrusage"},
          {"setrlimit"},
          {"unlink"}};
}
#else
SystemCalls sanitizer_calls() { return {}; }
#endif

}  // namespace

SystemCalls run_time_calls() {
  const auto self = static_cast<std::uint32_t>(::getpid());
  SystemCalls calls{
      {"exit"},
      {"exit_group"},
      {"brk"},
      {"mmap", {has_not(2, PROT_EXEC)}},
      {"mprotect", {has_not(2, PROT_EXEC)}},
      {"munmap"},
      {"mremap"},
      {"madvise"},
      {"mlock"},
      {"munlock"},
      {"memfd_secret"},
      {"ftruncate"},
      {"futex"},
      {"set_robust_list"},
      {"rseq"},
      {"membarrier"},
      {"sched_yield"},
      {"sched_getaffinity"},
      {"rt_sigaction"},
      {"rt_sigprocmask"},
      {"rt_sigreturn"},
      {"sigaltstack"},
      {"restart_syscall"},
      {"tgkill", {is(0, self)}},  // abort(3), raise(3)
      {"getpid"},
      {"gettid"},
      {"getuid"},
      {"geteuid"},
      {"getgid"},
      {"getegid"},
      {"uname"},
      {"prctl", {is(0, PR_SET_NAME)}},
      {"prlimit64", {is(0, 0), is_null(2)}},  // getrlimit(2) of itself
      {"clock_gettime"},
      {"clock_getres"},
      {"clock_nanosleep"},
      {"nanosleep"},
      {"gettimeofday"},
      {"time"},
      {"getrandom"},
      {"read"},
      {"readv"},
      {"write"},
      {"writev"},
      {"lseek"},
      {"close"},
      {"fcntl"},
      {"fstat"},
      {"newfstatat"},
      {"poll"},
      {"ppoll"},
  };
  append(calls, sanitizer_calls());
  return calls;
}

SystemCalls absent_calls() { return {{"clone3"}, {"openat2"}, {"statx"}, {"faccessat2"}, {"close_range"}}; }

SystemCalls deadly_calls() {
  SystemCalls calls{
      {"execve"},
      {"execveat"},
      {"vfork"},
      // into other processes
      {"process_vm_readv"},
      {"process_vm_writev"},
      {"process_madvise"},
      {"pidfd_getfd"},
      {"kcmp"},
      // other users, other powers
      {"setuid"},
      {"setgid"},
      {"setreuid"},
      {"setregid"},
      {"setresuid"},
      {"setresgid"},
      {"setfsuid"},
      {"setfsgid"},
      {"setgroups"},
      {"capset"},
      {"setns"},
      {"unshare"},
      {"personality"},
      // file systems
      {"mount"},
      {"umount2"},
      {"pivot_root"},
      {"chroot"},
      {"move_mount"},
      {"open_tree"},
      {"fsopen"},
      {"fsconfig"},
      {"fsmount"},
      {"fspick"},
      {"mount_setattr"},
      {"open_by_handle_at"},
      {"quotactl"},
      {"swapon"},
      {"swapoff"},
      {"acct"},
      // the kernel
      {"init_module"},
      {"finit_module"},
      {"delete_module"},
      {"kexec_load"},
      {"kexec_file_load"},
      {"reboot"},
      {"syslog"},
      {"iopl"},
      {"ioperm"},
      {"modify_ldt"},
      {"settimeofday"},
      {"clock_settime"},
      {"clock_adjtime"},
      {"adjtimex"},
      {"sethostname"},
      {"setdomainname"},
      // what has been a way into the kernel often, and what no filter sees into
      {"perf_event_open"},
      {"userfaultfd"},
      {"io_uring_setup"},
      {"io_uring_enter"},
      {"io_uring_register"},
      {"add_key"},
      {"request_key"},
      {"keyctl"},
  };
  for (const int family : {AF_INET, AF_INET6, AF_PACKET, AF_VSOCK, AF_ALG})
    calls.push_back({"socket", {is(0, static_cast<std::uint32_t>(family))}});
  // Making, finding and changing maps, programs and links. (To run one that it holds is keyd's to allow.)
  for (const std::uint32_t command :
       {BPF_MAP_CREATE, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_OBJ_GET,
        BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_GET_FD_BY_ID, BPF_MAP_GET_FD_BY_ID,
        BPF_RAW_TRACEPOINT_OPEN, BPF_BTF_LOAD, BPF_TASK_FD_QUERY, BPF_MAP_FREEZE, BPF_LINK_CREATE,
        BPF_LINK_UPDATE, BPF_LINK_GET_FD_BY_ID, BPF_LINK_DETACH, BPF_PROG_BIND_MAP}) {
    calls.push_back({"bpf", {is(0, command)}});
  }
#ifndef KEYD_SANITIZED
  append(calls, {{"fork"}, {"ptrace"}, {"clone", {has_not(0, CLONE_THREAD)}}});
#endif
  return calls;
}

std::vector<PathRule> instrumentation_paths() {
#ifdef KEYD_INSTRUMENTATION_FILES
  return {{KEYD_INSTRUMENTATION_FILES, kReadFiles | kListFiles | kWriteFiles | kMakeFiles},
          {"/proc", kReadFiles | kListFiles}};
#else
  return {};
#endif
}

}  // namespace keyd::kernel
