// A change of password by keypasswd, cut or killed at every message, on either side (docs/protocols/password-change.md,
// "Which password works when"): afterwards exactly one of the two passwords works, the one that keypasswd has named if
// it has named one. strace does the cutting. Every fourth point; with KEYD_SOAK all of them. (The store's calls are in
// store_sweep_test.cpp.)
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/library_client.h"
#include "tests/support/private_keyd.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tier_under_test.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOld = "old words 4 her use";
constexpr const char* kNew = "quite other 7 sentence";

struct Fault {
  const char* name;
  const char* call;
  const char* what;  // strace's injection
};

class PasswordChangeFaults : public ::testing::TestWithParam<Fault> {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer's own calls are among those that are swept";
    if (run({"/usr/bin/strace", "-o", "/dev/null", "/bin/true"}).exit_code != 0)
      GTEST_SKIP() << "needs strace and the right to trace";
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", kOld, {"--scheme", "srp"});
    keyd_.stop();
    fs::copy(keyd_.state_dir(), untouched(), fs::copy_options::recursive);
  }
  std::string untouched() { return keyd_.directory() + "/untouched"; }
  std::string trace() { return keyd_.directory() + "/trace"; }
  std::vector<std::string> under_strace(std::vector<std::string> options, int n) {
    const Fault& fault = GetParam();
    std::vector<std::string> command = {"/usr/bin/strace", "-qq", "-o", trace()};
    command.insert(command.end(), options.begin(), options.end());
    for (const std::string& each :
         {std::string("-e"), std::string("trace=") + fault.call, std::string("-e"),
          std::string("inject=") + fault.call + ":" + fault.what + ":when=" + std::to_string(n)})
      command.push_back(each);
    return command;
  }
  static int first() { return everything() ? 1 : 1 + static_cast<int>(::getpid() % 4); }
  static int next(int n) { return n + (everything() ? 1 : 4); }
  static bool everything() { return ::getenv("KEYD_SOAK") != nullptr; }

  void restore() {
    if (keyd_.pid() > 0) keyd_.stop();
    fs::remove_all(keyd_.state_dir());
    fs::copy(untouched(), keyd_.state_dir(), fs::copy_options::recursive);
    fs::remove(trace());
  }
  [[nodiscard]] bool keyd_is_gone() const {
    siginfo_t ended{};
    return ::waitid(P_PID, static_cast<id_t>(keyd_.pid()), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           ended.si_pid != 0;
  }
  // Runs keypasswd behind `prefix`; a keyd that dies meanwhile comes back, without strace. What keypasswd has said.
  std::string change(std::vector<std::string> prefix) {
    const std::string words = keyd_.directory() + "/words";
    std::ofstream(words) << kOld << "\n" << kNew << "\n";
    std::string command;
    for (const std::string& each : prefix) command += "'" + each + "' ";
    command += program("keypasswd") + " --runtime-dir " + keyd_.runtime_dir() +
               " --user alice --old-password-fd 0 --new-password-fd 0 <" + words + " 2>&1; echo \" exit $?\"";
    BackgroundProcess shell({"/bin/sh", "-c", command});
    EXPECT_TRUE(eventually(
        [&] {
          if (keyd_is_gone()) {
            was_hit_ = true;
            keyd_.kill();
            keyd_.start_under({});
            EXPECT_TRUE(keyd_.start()) << keyd_.log();
          }
          siginfo_t ended{};
          return ::waitid(P_PID, static_cast<id_t>(shell.pid()), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                 ended.si_pid != 0;
        },
        40))
        << "keypasswd does not end";
    std::string said = shell.read_line(), more = shell.read_line();
    return said + more;
  }
  bool works(const std::string& password) {
    Forked client([&](Forked::Child&) {
      LibraryClient library(keyd_.runtime_dir());
      return eventually([&] { return library.login("alice", password) != KEYCLIENT_BUSY; }) &&
                     library.echo("x") == KEYCLIENT_OK
                 ? 0
                 : 1;
    });
    return client.wait() == 0;
  }
  // After keypasswd has come to its end, however it did.
  void expect_one_password(const std::string& said, bool kills_keyd = false) {
    if (content_of(trace()).find("INJECTED") != std::string::npos) was_hit_ = true;
    // Of a keyd that is killed under strace the end is seen a moment later.
    if (kills_keyd && !was_hit_) was_hit_ = eventually([this] { return keyd_is_gone(); }, 1);
    if (keyd_.pid() > 0) keyd_.kill();  // what was not durable is lost now
    keyd_.start_under({});
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    const bool old_works = works(kOld), new_works = works(kNew);
    EXPECT_NE(old_works, new_works) << said;
    if (said.find("password changed") != std::string::npos) {
      EXPECT_TRUE(new_works) << said;
    }
    if (said.find("was not changed") != std::string::npos) {
      EXPECT_TRUE(old_works) << said;
    }
    ++(new_works ? changed_ : unchanged_);
    keyd_.stop();
  }
  // A client says 14 packets, and as many come back: the sweep was not over before it had begun.
  void expect_all_points() const {
    EXPECT_GE(changed_ + unchanged_, everything() ? 14 : 3);
    EXPECT_GE(unchanged_, 1);
    std::printf("%d points: the new password stood %d times, the old one %d times\n", changed_ + unchanged_,
                changed_, unchanged_);
  }

  PrivateKeyd keyd_{in_a_steady_tier() + "[noise]\nraw_sources = false\n" + kUnlimitedTries};
  bool was_hit_ = false;
  int changed_ = 0, unchanged_ = 0;
};

TEST_P(PasswordChangeFaults, AtEveryMessageOfTheClient) {
  for (int n = first();; n = next(n)) {
    SCOPED_TRACE(n);
    restore();
    was_hit_ = false;
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    const std::string said = change(under_strace({}, n));
    const bool killed = said.find("exit 137") != std::string::npos;
    expect_one_password(said);
    if (HasFatalFailure()) return;
    if (!was_hit_ && !killed) break;
  }
  expect_all_points();
}

TEST_P(PasswordChangeFaults, AtEveryMessageOfKeyd) {
  for (int n = first();; n = next(n)) {
    SCOPED_TRACE(n);
    restore();
    was_hit_ = false;
    keyd_.start_under(under_strace({"-D", "-f"}, n));
    if (!keyd_.start()) continue;  // hit before it served anybody
    const std::string said = change({});
    expect_one_password(said, std::string(GetParam().what) == "signal=KILL");
    if (HasFatalFailure()) return;
    if (!was_hit_) break;
  }
  expect_all_points();
}

INSTANTIATE_TEST_SUITE_P(Faults, PasswordChangeFaults,
                         ::testing::Values(Fault{"killed_at_sending", "sendmsg", "signal=KILL"},
                                           Fault{"killed_at_receiving", "recvmsg", "signal=KILL"},
                                           Fault{"cut_at_sending", "sendmsg", "error=EPIPE"},
                                           Fault{"cut_at_receiving", "recvmsg", "retval=0"}),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace keyd::testing
