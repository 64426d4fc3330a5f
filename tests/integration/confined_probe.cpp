// A program in keyd's sandbox, from where it tries one thing: in its first thread, or in one made afterwards.
// Prints "done" or the error's name. Usage: confined_probe DIRECTORY main|thread THING; in DIRECTORY are run,
// state, config, audit and outside.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <spawn.h>
#include <string.h>  // strerrorname_np
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "keyd/sandbox.h"

namespace {

using Attempt = std::function<long()>;  // negative: it failed, errno says why

std::string directory;
const pid_t parent = ::getppid();
std::string at(const char* path) { return directory + path; }
long opens(const std::string& path, int flags) { return ::open(path.c_str(), flags | O_CLOEXEC, 0600); }
long bpf(int command) {
  bpf_attr nothing{};
  nothing.test.prog_fd = ~0U;
  return ::syscall(SYS_bpf, command, &nothing, sizeof nothing);
}
long maps(int protection) {
  return ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}
long makes_executable() {
  void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return ::mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
long spawns() {
  char name[] = "true";
  char* const arguments[] = {name, nullptr};
  pid_t child = 0;
  errno = ::posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, environ);
  return errno == 0 ? 0 : -1;
}
long reads_another_process() {
  char octet = 0;
  const iovec mine{&octet, 1}, theirs{&octet, 1};
  return ::process_vm_readv(parent, &mine, 1, &theirs, 1, 0);
}
long makes_a_thread() {
  std::thread([] {}).join();
  return 0;
}

// By number, so that the C library refuses or rewrites nothing.
const std::map<std::string, Attempt> kAttempts{
    // other programs and processes
    {"execve", [] { return ::syscall(SYS_execve, "/bin/true", nullptr, nullptr); }},
    {"execveat", [] { return ::syscall(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0); }},
    {"fork", [] { return long{::fork()}; }},
    {"posix_spawn", spawns},
    {"clone3", [] { return ::syscall(SYS_clone3, nullptr, 0); }},
    {"ptrace of its parent", [] { return ::ptrace(PTRACE_SEIZE, parent, nullptr, nullptr); }},
    {"process_vm_readv", reads_another_process},
    {"pidfd_getfd", [] { return ::syscall(SYS_pidfd_getfd, -1, 0, 0); }},
    {"a signal to its parent", [] { return long{::kill(parent, SIGURG)}; }},
    {"a signal to its parent's thread", [] { return ::syscall(SYS_tgkill, parent, parent, SIGURG); }},
    {"a signal to itself", [] { return long{::raise(SIGURG)}; }},
    {"abort", []() -> long { ::abort(); }},
    {"a thread", makes_a_thread},
    // networks
    {"socket of AF_INET", [] { return long{::socket(AF_INET, SOCK_STREAM, 0)}; }},
    {"socket of AF_INET6", [] { return long{::socket(AF_INET6, SOCK_DGRAM, 0)}; }},
    {"socket of AF_PACKET", [] { return long{::socket(AF_PACKET, SOCK_RAW, 0)}; }},
    {"socket of AF_NETLINK", [] { return long{::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)}; }},
    {"socket of AF_UNIX", [] { return long{::socket(AF_UNIX, SOCK_SEQPACKET, 0)}; }},
    {"socket of the connector", [] { return long{::socket(AF_NETLINK, SOCK_DGRAM, NETLINK_CONNECTOR)}; }},
    // the kernel
    {"bpf to make a map", [] { return bpf(BPF_MAP_CREATE); }},
    {"bpf to load a program", [] { return bpf(BPF_PROG_LOAD); }},
    {"bpf to change a map", [] { return bpf(BPF_MAP_UPDATE_ELEM); }},
    {"bpf to read a map", [] { return bpf(BPF_MAP_LOOKUP_ELEM); }},
    {"bpf to run a program", [] { return bpf(BPF_PROG_TEST_RUN); }},
    {"io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); }},
    {"perf_event_open", [] { return ::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
    {"keyctl", [] { return ::syscall(SYS_keyctl, 0, 0); }},
    {"init_module", [] { return ::syscall(SYS_init_module, nullptr, 0, ""); }},
    {"ioctl TIOCSTI", [] { return long{::ioctl(0, TIOCSTI, "x")}; }},
#ifdef __x86_64__
    {"getpid by its x32 number", [] { return ::syscall(0x40000000L + SYS_getpid); }},
#endif
    // other users and powers
    {"setuid", [] { return ::syscall(SYS_setuid, ::getuid()); }},
    {"setresgid", [] { return ::syscall(SYS_setresgid, -1, -1, -1); }},
    {"setgroups", [] { return ::syscall(SYS_setgroups, 0, nullptr); }},
    {"capset",
     [] {
       __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
       return ::syscall(SYS_capset, &header, nullptr);
     }},
    {"unshare", [] { return long{::unshare(CLONE_NEWUSER)}; }},
    {"to be dumpable again", [] { return long{::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)}; }},
    {"a higher limit",
     [] {
       const rlimit none{0, 0};
       return long{::setrlimit(RLIMIT_CORE, &none)};
     }},
    {"its limits",
     [] {
       rlimit limit{};
       return ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 ? 0L : -1L;
     }},
    // memory
    {"memory to write", [] { return maps(PROT_READ | PROT_WRITE); }},
    {"memory to execute", [] { return maps(PROT_READ | PROT_WRITE | PROT_EXEC); }},
    {"to make memory executable", makes_executable},
    // file systems
    {"mount", [] { return long{::mount("none", at("/state").c_str(), "tmpfs", 0, nullptr)}; }},
    {"chroot", [] { return long{::chroot(at("/state").c_str())}; }},
    {"to read /etc/passwd", [] { return opens("/etc/passwd", O_RDONLY); }},
    {"to read outside", [] { return opens(at("/outside/file"), O_RDONLY); }},
    {"to write outside", [] { return opens(at("/outside/file"), O_WRONLY); }},
    {"to make a file outside", [] { return opens(at("/outside/new"), O_WRONLY | O_CREAT | O_EXCL); }},
    {"to remove outside", [] { return long{::unlink(at("/outside/file").c_str())}; }},
    {"to make a directory outside", [] { return long{::mkdir(at("/outside/new").c_str(), 0700)}; }},
    {"to truncate outside", [] { return long{::truncate(at("/outside/file").c_str(), 0)}; }},
    {"to list outside", [] { return opens(at("/outside"), O_RDONLY | O_DIRECTORY); }},
    {"to rename", [] { return long{::rename(at("/state/file").c_str(), at("/outside/file").c_str())}; }},
    {"to link", [] { return long{::link(at("/outside/file").c_str(), at("/state/link").c_str())}; }},
    {"to read its parent's environment",
     [] { return opens("/proc/" + std::to_string(parent) + "/environ", O_RDONLY); }},
    {"to write its own memory", [] { return opens("/proc/self/mem", O_RDWR); }},
    {"to read its parent's status",
     [] { return opens("/proc/" + std::to_string(parent) + "/status", O_RDONLY); }},
    {"to write the state", [] { return opens(at("/state/new"), O_RDWR | O_CREAT | O_TRUNC); }},
    {"to remove from the state", [] { return long{::unlink(at("/state/file").c_str())}; }},
    {"to read the configuration", [] { return opens(at("/config/keyd.toml"), O_RDONLY); }},
    {"to write the configuration", [] { return opens(at("/config/keyd.toml"), O_WRONLY); }},
    {"to make the audit log", [] { return opens(at("/audit/new"), O_WRONLY | O_APPEND | O_CREAT); }},
    {"to read the audit log", [] { return opens(at("/audit/log"), O_RDONLY); }},
    {"to remove the audit log", [] { return long{::unlink(at("/audit/log").c_str())}; }},
    {"to remove a socket", [] { return long{::unlink(at("/run/file").c_str())}; }},
    {"to make a file beside the sockets", [] { return opens(at("/run/new"), O_WRONLY | O_CREAT); }},
};

int say(const Attempt& attempt) {
  errno = 0;
  const long result = attempt();
  std::puts(result >= 0 ? "done" : ::strerrorname_np(errno));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  directory = argv[1];
  const auto attempt = kAttempts.find(argv[3]);
  if (attempt == kAttempts.end()) return 2;
  if (const auto entered = keyd::daemon::enter_sandbox({.config_file = at("/config/keyd.toml"),
                                                        .runtime_directory = at("/run"),
                                                        .state_directory = at("/state"),
                                                        .audit_file = at("/audit/log"),
                                                        .background = false,
                                                        .raw_noise = false,
                                                        .process_connector = true,
                                                        .table_program = true});
      !entered) {
    std::puts(entered.error().message().c_str());
    return 3;
  }
  if (std::string_view(argv[2]) == "main") return say(attempt->second);
  std::thread([&] { say(attempt->second); }).join();
  return 0;
}
