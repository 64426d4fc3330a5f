// keyd in tier `kernel`: what holds without keyd's doing, and that keyd stops when what it rests on ends.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "core/table/bpf_table.h"
#include "keyclient/keyclient.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

const std::string& why_not() {
  static const std::string reason = [] {
    const auto loaded = table::BpfTable::load({.capacity = 64, .watch_every_syscall = false});
    return loaded ? std::string() : loaded.error().message();
  }();
  return reason;
}

class KernelTier : public ::testing::Test {
 protected:
  ~KernelTier() override { keyclient_close(client_); }
  void SetUp() override {
    if (!why_not().empty()) GTEST_SKIP() << "the tier kernel cannot be reached here: " << why_not();
  }
  void start(const std::string& more = {}) {
    keyd_ = std::make_unique<PrivateKeyd>("[daemon]\ntier = \"kernel\"\n" + more);
    ASSERT_TRUE(keyd_->start()) << keyd_->log();
    keyd_->enrol("alice", "right");
    keyclient_options options{};
    options.size = sizeof options;
    runtime_dir_ = keyd_->runtime_dir();
    options.runtime_dir = runtime_dir_.c_str();
    options.timeout_ms = 2000;
    ASSERT_EQ(keyclient_open(&options, &client_), KEYCLIENT_OK);
    EXPECT_EQ(look_up(::getpid()), KEYCLIENT_NOT_AUTHENTICATED);  // fetches the table
  }
  // An authenticated process that says what `then` gives when it is told to go on, and waits.
  std::unique_ptr<Forked> authenticated(const std::function<std::string()>& then) {
    auto child = std::make_unique<Forked>([this, then](Forked::Child& talk) {
      RawClient client(runtime_dir_);
      if (!client.authenticate("alice", "right")) return 1;
      talk.say("in");
      while (!talk.hear().empty()) talk.say(then());
      return 0;
    });
    EXPECT_EQ(child->hear(), "in");
    return child;
  }
  keyclient_status look_up(pid_t pid) {
    seen_ = keyclient_identity{};
    seen_.size = sizeof seen_;
    return keyclient_lookup_pid(client_, static_cast<std::uint32_t>(pid), &seen_);
  }
  std::unique_ptr<PrivateKeyd> keyd_;
  std::string runtime_dir_;
  keyclient_t* client_ = nullptr;
  keyclient_identity seen_{};
};

std::string give_up_ids() {
  return ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0 ? "changed"
                                                                                        : "failed";
}

TEST_F(KernelTier, SaysHowStrongItIs) {
  start();
  const auto child = authenticated([] { return "here"; });
  ASSERT_EQ(look_up(child->pid()), KEYCLIENT_OK);
  EXPECT_STREQ(seen_.tier, "kernel");
  EXPECT_EQ(seen_.on_exec, KEYCLIENT_SYNCHRONOUS);
  EXPECT_EQ(seen_.on_exit, KEYCLIENT_SYNCHRONOUS);
  EXPECT_EQ(seen_.on_credentials, KEYCLIENT_ASYNCHRONOUS);
}

TEST_F(KernelTier, AStoppedKeydKeepsNothingAlive) {
  start();
  const auto child = authenticated([] { return "here"; });
  const auto other = authenticated([]() -> std::string {
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    return "failed";
  });
  ::kill(keyd_->pid(), SIGSTOP);
  ::sleep(4);  // longer than a heartbeat of the other tiers is good for
  EXPECT_EQ(look_up(child->pid()), KEYCLIENT_OK);
  EXPECT_EQ(look_up(other->pid()), KEYCLIENT_OK);
  other->say("exec");
  EXPECT_EQ(other->hear(), "");
  EXPECT_EQ(look_up(other->pid()), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_STREQ(seen_.reason, "exec");
  child->kill();
  EXPECT_EQ(look_up(child->pid()), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_EQ(seen_.state, KEYCLIENT_STATE_NONE);
  ::kill(keyd_->pid(), SIGCONT);
  EXPECT_TRUE(keyd_->wait_for_log("process.exited"));
  EXPECT_TRUE(keyd_->wait_for_log("reason=\"exec\""));
}

TEST_F(KernelTier, AKilledKeydTakesItsTableAlongAtOnce) {
  start();
  const auto child = authenticated([] { return "here"; });
  ASSERT_EQ(look_up(child->pid()), KEYCLIENT_OK);
  keyd_->kill();
  ASSERT_EQ(look_up(child->pid()), KEYCLIENT_UNKNOWN);
  ASSERT_TRUE(keyd_->start()) << keyd_->log();
  // What is looked up next is the new one's table, sooner or later, and nobody is in it.
  ASSERT_TRUE(eventually([&] { return look_up(child->pid()) == KEYCLIENT_NOT_AUTHENTICATED; }));
}

TEST_F(KernelTier, AChangeOfIdsIsFoundWithinASecondOrSo) {
  start();
  const auto child = authenticated(give_up_ids);
  ASSERT_EQ(look_up(child->pid()), KEYCLIENT_OK);
  child->say("change");
  ASSERT_EQ(child->hear(), "changed");
  EXPECT_TRUE(eventually([&] { return look_up(child->pid()) == KEYCLIENT_NOT_AUTHENTICATED; }));
  EXPECT_STREQ(seen_.reason, "credentials-changed");
  EXPECT_TRUE(keyd_->wait_for_log("reason=\"credentials-changed\""));
}

TEST_F(KernelTier, AChangeOfIdsEndsTheRecordAtOnceWhereEverySystemCallIsWatched) {
  start("credentials = \"every-syscall\"\n");
  const auto child = authenticated(give_up_ids);
  ASSERT_EQ(look_up(child->pid()), KEYCLIENT_OK);
  EXPECT_EQ(seen_.on_credentials, KEYCLIENT_SYNCHRONOUS);
  ::kill(keyd_->pid(), SIGSTOP);
  child->say("change");
  ASSERT_EQ(child->hear(), "changed");
  EXPECT_EQ(look_up(child->pid()), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_STREQ(seen_.reason, "credentials-changed");
  ::kill(keyd_->pid(), SIGCONT);
  EXPECT_TRUE(keyd_->wait_for_log("reason=\"credentials-changed\""));
}

TEST_F(KernelTier, AWaiterIsWokenByWhatTheKernelDoes) {
  start();
  const auto child = authenticated([] { return "here"; });
  std::uint64_t seen = 0;
  ASSERT_EQ(keyclient_wait_for_change(client_, &seen, 1000), KEYCLIENT_OK);
  while (keyclient_wait_for_change(client_, &seen, 100) == KEYCLIENT_OK) continue;
  rusage before{}, after{};
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &before), 0);
  EXPECT_EQ(keyclient_wait_for_change(client_, &seen, 100), KEYCLIENT_DEADLINE);
  ASSERT_EQ(::getrusage(RUSAGE_THREAD, &after), 0);
  EXPECT_GT(after.ru_nvcsw, before.ru_nvcsw);  // it has slept
  ::kill(child->pid(), SIGKILL);
  EXPECT_EQ(keyclient_wait_for_change(client_, &seen, 5000), KEYCLIENT_OK);
  EXPECT_EQ(look_up(child->pid()), KEYCLIENT_NOT_AUTHENTICATED);
}

TEST_F(KernelTier, EverySystemCallIsWatchedInThisTierAlone) {
  for (const char* tier : {"watch", "pidfd"}) {
    PrivateKeyd keyd("[daemon]\ntier = \"" + std::string(tier) + "\"\ncredentials = \"every-syscall\"\n");
    EXPECT_FALSE(keyd.start());
    EXPECT_NE(keyd.log().find("every-syscall"), std::string::npos) << keyd.log();
  }
}

// On a machine that has all that the tier needs, the tests above are not to be skipped unseen.
TEST(TierOfThisMachine, IsTheKernelsWhereNothingIsMissing) {
#ifndef KEYD_HAS_KERNEL_TIER
  GTEST_SKIP() << "this build has left the tier kernel out";
#endif
  // A map of the table's kind, which takes the right to load programs and a bpf(2) that is not filtered.
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = 64;
  attributes.max_entries = 64;
  attributes.map_flags = BPF_F_MMAPABLE;
  const UniqueFd map(static_cast<int>(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes)));
  utsname kernel{};
  int major = 0, minor = 0;
  ::uname(&kernel);
  std::sscanf(kernel.release, "%d.%d", &major, &minor);
  std::ifstream programs_of_everybody("/proc/sys/kernel/unprivileged_bpf_disabled");
  if (::geteuid() != 0 || !map.valid() || major * 1000 + minor < 6010 || programs_of_everybody.get() == '0' ||
      ::access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    GTEST_SKIP() << "this machine or user cannot have the tier kernel";
  }
  EXPECT_EQ(why_not(), "");
}

// Who may load programs could write a frozen array with one.
class ProgramsOfEverybody : public KernelTier {
 protected:
  static constexpr const char* kSwitch = "/proc/sys/kernel/unprivileged_bpf_disabled";
  static char value() {
    std::ifstream file(kSwitch);
    return static_cast<char>(file.get());
  }
  static bool set(char value) {
    std::ofstream file(kSwitch);
    file << value << std::flush;
    return file.good();
  }
  void SetUp() override {
    KernelTier::SetUp();
    if (IsSkipped()) return;
    before_ = value();
    if (before_ == '1') GTEST_SKIP() << "kernel.unprivileged_bpf_disabled is 1 and cannot be changed";
    if (!set('0')) GTEST_SKIP() << "kernel.unprivileged_bpf_disabled cannot be written here";
    set(before_);
  }
  void TearDown() override {
    if (before_ == '2') set(before_);
  }
  char before_ = 0;
};

TEST_F(ProgramsOfEverybody, KeepKeydFromThisTier) {
  ASSERT_TRUE(set('0'));
  PrivateKeyd kernel("[daemon]\ntier = \"kernel\"\n");
  EXPECT_FALSE(kernel.start());
  EXPECT_NE(kernel.log().find("kernel.unprivileged_bpf_disabled"), std::string::npos) << kernel.log();
  PrivateKeyd best("[daemon]\ntier = \"auto\"\n");
  ASSERT_TRUE(best.start()) << best.log();
  EXPECT_EQ(best.log().find("tier kernel, exec"), std::string::npos) << best.log();
  EXPECT_NE(best.log().find("tier kernel cannot be reached"), std::string::npos) << best.log();
}

TEST_F(ProgramsOfEverybody, EndAKeydOfThisTier) {
  start();
  const auto child = authenticated([] { return "here"; });
  ASSERT_EQ(look_up(child->pid()), KEYCLIENT_OK);
  ASSERT_TRUE(set('0'));
  EXPECT_TRUE(eventually([&] { return look_up(child->pid()) == KEYCLIENT_UNKNOWN; }));
  EXPECT_TRUE(keyd_->wait_for_log("kernel.unprivileged_bpf_disabled"));
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(keyd_->pid()), &ended, WEXITED | WNOWAIT), 0);
  keyd_->stop();
  EXPECT_EQ(keyd_->exit_code(), 1);
}

}  // namespace
}  // namespace keyd::testing
