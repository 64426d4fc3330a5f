// What keyd and its tools have given up: as the kernel tells it of the running programs, and as somebody
// inside finds out who tries.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/sanitizers.h"
#include "tests/support/terminal_session.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

bool has_landlock() { return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) > 0; }

// What /proc tells of each thread.
std::vector<std::string> statuses(pid_t process) {
  std::vector<std::string> all;
  for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/task", process)))
    all.push_back(content_of(entry.path().string() + "/status"));
  return all;
}

void expect_no_capability(const std::string& status) {
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
    EXPECT_THAT(status, HasSubstr(std::string(set) + ":\t0000000000000000\n"));
}

void expect_confined(const std::string& status) {
  EXPECT_THAT(status, HasSubstr("\nSeccomp:\t2\n"));
  EXPECT_THAT(status, HasSubstr("\nNoNewPrivs:\t1\n"));
}

void expect_no_core_file(pid_t process) {
  EXPECT_THAT(content_of(fmt::format("/proc/{}/limits", process)),
              ::testing::ContainsRegex("Max core file size +0 +0 "));
}

TEST(Sandbox, EveryThreadOfKeydIsInItWithoutAnyCapability) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, to have something to lose";
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  const auto all = statuses(keyd.pid());
  EXPECT_GE(all.size(), 3u);  // the event loop, the store's, a worker
  for (const std::string& status : all) {
    // ThreadSanitizer's thread keeps what it had: capabilities are a thread's own.
    if (!kHasOwnThread) expect_no_capability(status);
    expect_confined(status);
  }
}

TEST(Sandbox, AKeydOfAnAccountOfItsOwnHasNoCapabilityEither) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  PrivateKeyd keyd("[daemon]\nuser = \"nobody\"\n");
  ASSERT_TRUE(keyd.start()) << keyd.log();
  for (const std::string& status : statuses(keyd.pid())) {
    if (!kHasOwnThread) expect_no_capability(status);
    expect_confined(status);
    EXPECT_THAT(status, HasSubstr("Uid:\t65534\t65534\t65534\t65534\n"));
  }
}

TEST(Sandbox, AKeydOfAnAccountOfItsOwnReachesTheTierThatRootDoes) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  const auto tier_of = [](const char* config) {
    PrivateKeyd keyd(config);
    EXPECT_TRUE(keyd.start()) << keyd.log();
    EXPECT_TRUE(keyd.is_healthy());
    const std::string shown = keyd.keyadm({"health"}).out;
    const std::size_t at = shown.find("tier:");
    return at == std::string::npos ? shown : shown.substr(at, shown.find('\n', at) - at);
  };
  EXPECT_EQ(tier_of("[daemon]\nuser = \"nobody\"\n"), tier_of(""));
}

TEST(Sandbox, AKeydThatAnybodyStartsIsInItToo) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  PrivateKeyd place;
  ASSERT_EQ(::chown(place.directory().c_str(), 65534, 65534), 0);
  BackgroundProcess keyd({"/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                          program("keyd"), "-F", "--runtime-dir", place.runtime_dir(), "--state-dir",
                          place.state_dir()});
  ASSERT_EQ(keyd.read_line(), "keyd: ready");
  for (const std::string& status : statuses(keyd.pid())) expect_confined(status);
}

TEST(Sandbox, NobodyOfTheSameUserLooksIntoKeydAndItLeavesNoCoreFile) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  PrivateKeyd keyd("[daemon]\nuser = \"nobody\"\n");
  ASSERT_TRUE(keyd.start()) << keyd.log();
  expect_no_core_file(keyd.pid());
  Forked same_user([&](Forked::Child&) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return 10;
    const std::string proc = fmt::format("/proc/{}/", keyd.pid());
    for (const char* file : {"mem", "maps", "environ", "auxv"}) {
      if (::open((proc + file).c_str(), O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES) return 11;
    }
    if (::ptrace(PTRACE_SEIZE, keyd.pid(), nullptr, nullptr) == 0 || errno != EPERM) return 12;
    return 0;
  });
  EXPECT_EQ(same_user.wait(), 0);
}

TEST(Sandbox, KeydSaysWhenThereIsNoLandlock) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  EXPECT_EQ(keyd.log().find("has no Landlock") == std::string::npos, has_landlock());
}

// ---- from inside

struct Trial {
  friend void PrintTo(const Trial& trial, std::ostream* out) { *out << trial.thing; }
  const char* thing;
  const char* outcome;
  bool files = false;       // Landlock's to decide
  bool sanitizers = false;  // permitted in a build with sanitizers, which need it
};

const Trial kTrials[] = {
    {"execve", "SIGSYS"},
    {"execveat", "SIGSYS"},
    {"fork", "SIGSYS", false, true},
    {"posix_spawn", "SIGSYS", false, true},
    {"clone3", "ENOSYS"},
    {"ptrace of its parent", "SIGSYS", false, true},
    {"process_vm_readv", "SIGSYS"},
    {"pidfd_getfd", "SIGSYS"},
    {"a signal to its parent", "EPERM", false, true},
    {"a signal to its parent's thread", "EPERM"},
    {"a signal to itself", "done"},
    {"abort", "SIGABRT"},
    {"a thread", "done"},
    {"socket of AF_INET", "SIGSYS"},
    {"socket of AF_INET6", "SIGSYS"},
    {"socket of AF_PACKET", "SIGSYS"},
    {"socket of AF_NETLINK", "EPERM"},
    {"socket of AF_UNIX", "done"},
    {"socket of the connector", "done"},
    {"bpf to make a map", "SIGSYS"},
    {"bpf to load a program", "SIGSYS"},
    {"bpf to change a map", "SIGSYS"},
    {"bpf to read a map", "EPERM"},
    {"bpf to run a program", "EBADF"},  // the filter lets it, but there is none
    {"io_uring_setup", "SIGSYS"},
    {"userfaultfd", "SIGSYS"},
    {"perf_event_open", "SIGSYS"},
    {"keyctl", "SIGSYS"},
    {"init_module", "SIGSYS"},
    {"ioctl TIOCSTI", "EPERM"},
#ifdef __x86_64__
    {"getpid by its x32 number", "SIGSYS"},
#endif
    {"setuid", "SIGSYS"},
    {"setresgid", "SIGSYS"},
    {"setgroups", "SIGSYS"},
    {"capset", "SIGSYS"},
    {"unshare", "SIGSYS"},
    {"to be dumpable again", "EPERM", false, true},
    {"a higher limit", "EPERM"},
    {"its limits", "done"},
    {"memory to write", "done"},
    {"memory to execute", "EPERM"},
    {"to make memory executable", "EPERM"},
    {"mount", "SIGSYS"},
    {"chroot", "SIGSYS"},
    {"to read /etc/passwd", "EACCES", true},
    {"to read outside", "EACCES", true},
    {"to write outside", "EACCES", true},
    {"to make a file outside", "EACCES", true},
    {"to remove outside", "EACCES", true},
    {"to make a directory outside", "EACCES", true},
    {"to truncate outside", "EPERM"},
    {"to list outside", "EACCES", true},
    {"to rename", "EPERM"},
    {"to link", "EPERM"},
    {"to read its parent's environment", "EACCES", true},
    {"to write its own memory", "EACCES", true},
    {"to read its parent's status", "done"},
    {"to write the state", "done"},
    {"to remove from the state", "done"},
    {"to read the configuration", "done"},
    {"to write the configuration", "EACCES", true},
    {"to make the audit log", "done"},
    {"to read the audit log", "EACCES", true},
    {"to remove the audit log", "EACCES", true},
    {"to remove a socket", "done"},
    {"to make a file beside the sockets", "EACCES", true},
};

// A directory each time: some of what is tried succeeds.
class InTheSandbox : public ::testing::TestWithParam<Trial> {
 protected:
  void SetUp() override {
    for (const char* each : {"run", "state", "config", "audit", "outside"})
      fs::create_directory(place_.directory() + "/" + each);
    for (const char* file : {"run/file", "state/file", "config/keyd.toml", "audit/log", "outside/file"})
      std::ofstream(place_.directory() + "/" + file) << "content";
  }
  std::string outcome(const char* where) {
    const auto result = run({program("confined_probe"), place_.directory(), where, GetParam().thing});
    if (result.exit_code == 128 + SIGSYS) return "SIGSYS";
    if (result.exit_code == 128 + SIGABRT) return "SIGABRT";
    if (result.exit_code != 0) return fmt::format("exit code {}: {}", result.exit_code, result.out);
    return result.out.substr(0, result.out.find('\n'));
  }
  PrivateKeyd place_;
};

TEST_P(InTheSandbox, EndsAsItShould) {
  const Trial& trial = GetParam();
  if (trial.files && !has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
  if (trial.files && kSanitized) GTEST_SKIP() << "sanitizers write their reports to /tmp, where this is too";
  if (trial.sanitizers && kSanitized) GTEST_SKIP() << "sanitizers do this themselves";
  EXPECT_EQ(outcome("main"), trial.outcome) << trial.thing;
  SetUp();
  fs::remove(place_.directory() + "/state/new");
  EXPECT_EQ(outcome("thread"), trial.outcome) << trial.thing << ", in a thread";
}

std::string name_of(const ::testing::TestParamInfo<Trial>& info) {
  std::string name;
  for (const char c : std::string_view(info.param.thing)) name += ::isalnum(c) != 0 ? c : '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(Try, InTheSandbox, ::testing::ValuesIn(kTrials), name_of);

// ---- the tools

TEST(ToolSandbox, OfAWatchingKeystat) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  BackgroundProcess keystat({program("keystat"), "--runtime-dir", keyd.runtime_dir(), "--watch"});
  ASSERT_FALSE(keystat.read_line().empty());
  for (const std::string& status : statuses(keystat.pid())) expect_confined(status);
}

TEST(ToolSandbox, OfAKeyadmThatHasAPassword) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  BackgroundProcess keyadm(
      {program("keyadm"), "--runtime-dir", keyd.runtime_dir(), "user", "add", "alice", "--password-fd", "0"});
  keyadm.write("half a passwo");
  const auto status = [&] { return content_of(fmt::format("/proc/{}/status", keyadm.pid())); };
  ASSERT_TRUE(eventually([&] { return status().find("\nSeccomp:\t2\n") != std::string::npos; }));
  expect_confined(status());
  expect_no_core_file(keyadm.pid());
  struct stat st{};  // of a process that is not dumpable these belong to root, whoever runs it
  ASSERT_EQ(::stat(fmt::format("/proc/{}/mem", keyadm.pid()).c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 0u);
  keyadm.write("rd\n");
  EXPECT_EQ(keyadm.wait(), 0);
}

TEST(ToolSandbox, OfKeyrunLeavesNothingToItsCommand) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right");
  const auto command =
      run({program("keyrun"), "--runtime-dir", keyd.runtime_dir(), "--scheme", "challenge", "--user", "alice",
           "--password-fd", "0", "--", "/bin/cat", "/proc/self/status", "/proc/self/limits"},
          "right\n");
  ASSERT_EQ(command.exit_code, 0) << command.err;
  EXPECT_THAT(command.out, HasSubstr("\nSeccomp:\t0\n"));
  EXPECT_THAT(command.out, HasSubstr("\nNoNewPrivs:\t0\n"));
  rlimit core{};
  ASSERT_EQ(::getrlimit(RLIMIT_CORE, &core), 0);
  if (core.rlim_max == RLIM_INFINITY) {
    EXPECT_THAT(command.out, ::testing::ContainsRegex("Max core file size +[a-z0-9]+ +unlimited"));
  }
}

}  // namespace
}  // namespace keyd::testing
