// A real keyd under strace, which kills it at, or fails, the Nth of each system call that its store makes:
// SQLite's own, and those that make the key file. What holds is what holds for the sweep of the store itself;
// here nothing stands between keyd and the kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/content.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// The calls by which a store's files are made and changed.
constexpr const char* kChanging[] = {"pwrite64",  "write",    "fdatasync", "fsync",
                                     "ftruncate", "renameat", "unlink",    "unlinkat"};
constexpr const char* kLooking[] = {"openat", "pread64", "fcntl", "mkdir", "newfstatat"};

class SyscallSweep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer's own calls are among those that are swept";
    if (!fs::exists("/usr/bin/strace")) GTEST_SKIP() << "needs strace";
    if (run({"/usr/bin/strace", "-o", "/dev/null", "/bin/true"}).exit_code != 0)
      GTEST_SKIP() << "needs the right to trace";
  }
  // Calls of keyd's threads that touch the state directory, or are given no path at all.
  void inject(const std::string& call, const std::string& what) {
    keyd_.start_under({"/usr/bin/strace",
                       "-D",
                       "-f",
                       "-qq",
                       "-o",
                       trace(),
                       "-P",
                       keyd_.state_dir(),
                       "-P",
                       file("keyd.db"),
                       "-P",
                       file("keyd.db-wal"),
                       "-P",
                       file("keyd.db-shm"),
                       "-P",
                       file("store.key"),
                       "-P",
                       file("store.key.new"),
                       "-e",
                       "trace=" + call,
                       "-e",
                       "inject=" + call + ":" + what});
  }
  void inject_nothing() { keyd_.start_under({}); }
  std::string trace() { return keyd_.directory() + "/trace"; }
  std::string file(const std::string& name) { return keyd_.state_dir() + "/" + name; }
  // Whether the last run came to the call that was to go wrong.
  bool was_hit() {
    return keyd_.exit_code() == 128 + SIGKILL || content_of(trace()).find("INJECTED") != std::string::npos;
  }
  bool authenticates(const std::string& password) {
    Forked client([&](Forked::Child&) {
      RawClient raw(keyd_.runtime_dir());
      return raw.authenticate("alice", password) ? 0 : 1;
    });
    return client.wait() == 0;
  }
  // Ends keyd, if it still runs; the calls of its end are swept too.
  void end() {
    if (keyd_.pid() > 0) keyd_.stop();
  }
  // strace is slow: without KEYD_SOAK every third point.
  static int next(int n) { return n + (::getenv("KEYD_SOAK") != nullptr ? 1 : 3); }
  PrivateKeyd keyd_{in_a_steady_tier() + "[noise]\nraw_sources = false\n"};
};

TEST_F(SyscallSweep, AFirstStartKilledAtAnyCallIsCompletedByTheNext) {
  int points = 0;
  for (const char* const call : kChanging) {
    for (int n = 1;; n = next(n)) {
      SCOPED_TRACE(std::string(call) + " " + std::to_string(n));
      fs::remove_all(keyd_.state_dir());
      inject(call, "signal=KILL:when=" + std::to_string(n));
      (void)keyd_.start();
      end();
      if (!was_hit()) break;
      ++points;
      inject_nothing();
      ASSERT_TRUE(keyd_.start()) << keyd_.log();
      keyd_.enrol("alice", "right");
      EXPECT_TRUE(authenticates("right"));
      keyd_.stop();
      ASSERT_TRUE(keyd_.start()) << keyd_.log();
      EXPECT_TRUE(authenticates("right"));
      keyd_.stop();
    }
  }
  RecordProperty("points", points);
  std::printf("%d points of a first start\n", points);
  EXPECT_GT(points, 10);
}

TEST_F(SyscallSweep, AFirstStartThatADiskRefusesSaysSoInOneLineAndTheNextCompletesIt) {
  int points = 0;
  std::vector<const char*> calls(std::begin(kChanging), std::end(kChanging));
  calls.insert(calls.end(), std::begin(kLooking), std::end(kLooking));
  for (const char* const call : calls) {
    const bool changing = std::ranges::find(kChanging, std::string(call)) != std::end(kChanging);
    for (const std::string error : {"ENOSPC", "EIO"}) {
      if (error == "ENOSPC" && !changing) continue;
      for (int n = 1;; n = next(n)) {
        SCOPED_TRACE(std::string(call) + " " + std::to_string(n) + " " + error);
        fs::remove_all(keyd_.state_dir());
        fs::remove(keyd_.directory() + "/log");
        inject(call, "error=" + error + ":when=" + std::to_string(n));
        const bool started = keyd_.start();
        end();
        if (!was_hit()) break;
        ++points;
        EXPECT_EQ(keyd_.exit_code(), started ? 0 : 1);
        if (!started) {
          EXPECT_THAT(keyd_.log(), HasSubstr("keyd: "));
        }
        inject_nothing();
        ASSERT_TRUE(keyd_.start()) << keyd_.log();
        keyd_.stop();
      }
    }
  }
  RecordProperty("points", points);
  std::printf("%d points of a first start\n", points);
  EXPECT_GT(points, 10);
}

TEST_F(SyscallSweep, AChangeOfAPasswordAtAnyCallHasTheOldOrTheNewOneAndTheNewOneWhenItWasAcknowledged) {
  ASSERT_TRUE(keyd_.start());
  keyd_.enrol("alice", "password 0");
  keyd_.stop();
  int points = 0, serial = 0;
  std::string current = "password 0";
  for (const char* const call : kChanging) {
    for (const std::string what : {"signal=KILL", "error=ENOSPC", "error=EIO"}) {
      for (int n = 1;; n = next(n)) {
        SCOPED_TRACE(std::string(call) + " " + std::to_string(n) + " " + what);
        inject(call, what + ":when=" + std::to_string(n));
        const bool started = keyd_.start();
        const std::string wanted = "password " + std::to_string(++serial);
        CommandResult changed;
        if (started) changed = keyd_.keyadm({"user", "passwd", "alice", "--password-fd", "0"}, wanted + "\n");
        end();
        const bool hit = was_hit();
        points += hit ? 1 : 0;
        inject_nothing();
        ASSERT_TRUE(keyd_.start()) << keyd_.log();
        const bool has_new = authenticates(wanted);
        if (changed.exit_code == 0) {
          EXPECT_TRUE(has_new) << "acknowledged, and lost";
        }
        if (changed.exit_code == 1) {
          EXPECT_THAT(changed.err, HasSubstr(has_new ? "next start" : "changed"));
        }
        if (has_new) current = wanted;
        EXPECT_TRUE(authenticates(current)) << "neither the old nor the new password";
        keyd_.stop();
        if (!hit) break;
      }
    }
  }
  RecordProperty("points", points);
  std::printf("%d points of a start and a change\n", points);
  EXPECT_GT(points, 10);
}

}  // namespace
}  // namespace keyd::testing
