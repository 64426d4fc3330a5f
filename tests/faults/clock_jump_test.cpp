// The wall clock jumps by a day under a running keyd, forward and back: sessions, deadlines and lifetimes
// neither end early nor last longer. And a keyd in a time namespace, a day ahead of the machine, is as good
// as any for those who live there, and is not believed by those who do not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class ClockJump : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a preloaded library and a sanitizer's do not go together";
    keyd_.start_under({"/usr/bin/env", "LD_PRELOAD=" KEYD_SHIFTED_CLOCK, "KEYD_TEST_CLOCK=" + clock()});
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
  }
  // Where keyd may still read.
  std::string clock() { return keyd_.state_dir() + "/clock"; }
  void jump(const std::string& seconds) { std::ofstream(clock()) << seconds; }
  // When the store says that alice's password was changed: keyd's wall clock, to see that it really jumped.
  std::string day_of_change() {
    EXPECT_EQ(keyd_.keyadm({"user", "passwd", "alice", "--password-fd", "0"}, "right\n").exit_code, 0);
    return keyd_.keyadm({"user", "show", "alice"}).out;
  }
  PrivateKeyd keyd_{in_a_steady_tier() + "[session]\nlifetime = 60\npending_deadline = 3\n"};
};

TEST_P(ClockJump, ChangesNothingForSessionsAndDeadlines) {
  const std::string before = day_of_change();
  RawClient session(keyd_.runtime_dir());
  ASSERT_TRUE(session.start(RawClient::choice("alice")) && session.prove("right"));
  Forked pending([&](Forked::Child& parent) {
    RawClient raw(keyd_.runtime_dir());
    parent.say(raw.start(RawClient::choice("alice")) ? "pending" : "refused");
    (void)parent.hear();
    return raw.prove("right") ? 0 : 1;
  });
  ASSERT_EQ(pending.hear(), "pending");
  jump(GetParam());

  // The exchange that was under way is finished, the session goes on, new ones are made.
  pending.say("go on");
  EXPECT_EQ(pending.wait(), 0);
  wire::SessionRequest request;
  request.mutable_echo();
  EXPECT_TRUE(session.ask(request).has_value());
  EXPECT_TRUE(keyd_.wait_for_state(::getpid(), "COMPLETE"));

  // A deadline of three seconds comes after three seconds.
  Forked idle([&](Forked::Child&) {
    RawClient raw(keyd_.runtime_dir());
    return raw.start(RawClient::choice("alice")) && raw.closed_within(20) ? 0 : 1;
  });
  EXPECT_EQ(idle.wait(), 0);
  EXPECT_NE(day_of_change(), before) << "the clock did not jump";
}
INSTANTIATE_TEST_SUITE_P(ByADay, ClockJump, ::testing::Values("86400", "-86400"),
                         [](const auto& jump) { return jump.param[0] == '-' ? "Back" : "Forward"; });

TEST(ClockSinceBoot, ThatStandsADayLaterServesAsWell) {
  const std::vector<std::string> ahead{"/usr/bin/unshare", "-T",   "--boottime", "86400",
                                       "--monotonic",      "86400"};
  const auto inside = [&](std::vector<std::string> command) {
    command.insert(command.begin(), ahead.begin(), ahead.end());
    return run(command);
  };
  if (inside({"/bin/true"}).exit_code != 0) GTEST_SKIP() << "needs the right to make a time namespace";
  PrivateKeyd keyd(in_a_steady_tier());
  keyd.start_under(ahead);
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right");
  RawClient session(keyd.runtime_dir());
  ASSERT_TRUE(session.start(RawClient::choice("alice")) && session.prove("right"));
  const auto mine = [](const CommandResult& shown) -> std::string {
    const auto json = nlohmann::json::parse(shown.out, nullptr, false);
    return json.is_discarded() || json["tasks"].empty() ? "" : json["tasks"][0]["state"].get<std::string>();
  };
  const std::string pid = std::to_string(::getpid());
  const auto there = inside({program("keystat"), "--runtime-dir", keyd.runtime_dir(), pid, "-o", "json"});
  EXPECT_EQ(mine(there), "COMPLETE") << there.out << there.err;
}

}  // namespace
}  // namespace keyd::testing
