// Starting and stopping: one keyd a directory, nothing planted there is followed, a clean end leaves nothing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/kernel/proc_connector.h"
#include "tests/support/content.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

TEST(Start, ASecondKeydOnTheSameDirectoryIsRefusedAndTheFirstGoesOn) {
  PrivateKeyd first;
  ASSERT_TRUE(first.start());
  const auto second = run({program("keyd"), "-F", "--config", first.config_file(), "--runtime-dir",
                           first.runtime_dir(), "--state-dir", first.directory() + "/other"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("another keyd runs on"));
  EXPECT_TRUE(first.is_healthy());
}

TEST(Start, SocketsOfAKilledKeydAreReplaced) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start());
  keyd.kill();
  EXPECT_TRUE(fs::exists(keyd.runtime_dir() + "/keyd.sock"));
  EXPECT_EQ(keyd.keystat({}).exit_code, 3);
  ASSERT_TRUE(keyd.start());
  EXPECT_EQ(keyd.keystat({}).exit_code, 0);
}

TEST(Start, ACleanEndRemovesTheSocketsAndExitsZero) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start());
  keyd.stop();
  EXPECT_EQ(keyd.exit_code(), 0);
  EXPECT_FALSE(fs::exists(keyd.runtime_dir() + "/keyd.sock"));
  EXPECT_FALSE(fs::exists(keyd.runtime_dir() + "/admin.sock"));
}

TEST(Start, ACleanEndWithClientsOfEveryKindConnectedExitsZeroToo) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start());
  keyd.enrol("alice", "right");
  RawClient idle(keyd.runtime_dir()), admin(keyd.runtime_dir(), "admin.sock"),
      established(keyd.runtime_dir());
  ASSERT_TRUE(established.start(RawClient::choice("alice")) && established.prove("right"));
  keyd.stop();
  EXPECT_EQ(keyd.exit_code(), 0);
}

// Each plants something, and says what keyd must complain about.
class Planted : public ::testing::Test {
 protected:
  void expect_refused(const std::string& says) {
    EXPECT_FALSE(keyd_.start());
    EXPECT_EQ(keyd_.exit_code(), 1);
    EXPECT_THAT(keyd_.log(), HasSubstr(says));
  }
  PrivateKeyd keyd_{in_a_steady_tier()};
};

TEST_F(Planted, ALinkAsTheRuntimeDirectoryIsNotFollowed) {
  fs::create_directory(keyd_.directory() + "/elsewhere");
  fs::create_symlink(keyd_.directory() + "/elsewhere", keyd_.runtime_dir());
  expect_refused("is a link or no directory");
  EXPECT_TRUE(fs::is_empty(keyd_.directory() + "/elsewhere"));
}

TEST_F(Planted, ARuntimeDirectoryThatOthersMayWriteIsRefused) {
  fs::create_directory(keyd_.runtime_dir());
  ASSERT_EQ(::chmod(keyd_.runtime_dir().c_str(), 0777), 0);
  expect_refused("mode 0777");
}

TEST_F(Planted, AForeignRuntimeDirectoryIsRefused) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to give a directory away";
  fs::create_directory(keyd_.runtime_dir());
  ASSERT_EQ(::chown(keyd_.runtime_dir().c_str(), 65534, 65534), 0);
  expect_refused("belongs to uid 65534");
}

TEST_F(Planted, AFileInTheWayOfASocketIsNotRemoved) {
  fs::create_directory(keyd_.runtime_dir());
  std::ofstream(keyd_.runtime_dir() + "/keyd.sock") << "precious";
  expect_refused("is in the way");
  std::ifstream file(keyd_.runtime_dir() + "/keyd.sock");
  std::string content;
  file >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(Planted, ALinkInTheWayOfASocketIsNotFollowed) {
  fs::create_directory(keyd_.runtime_dir());
  std::ofstream(keyd_.directory() + "/target") << "precious";
  fs::create_symlink(keyd_.directory() + "/target", keyd_.runtime_dir() + "/admin.sock");
  expect_refused("is in the way");
}

TEST_F(Planted, AFifoInPlaceOfTheLockDoesNotHangIt) {
  fs::create_directory(keyd_.runtime_dir());
  ASSERT_EQ(::mkfifo((keyd_.runtime_dir() + "/keyd.lock").c_str(), 0600), 0);
  expect_refused("not a regular file");
}

TEST_F(Planted, ALinkInPlaceOfTheLockIsNotFollowed) {
  fs::create_directory(keyd_.runtime_dir());
  fs::create_symlink(keyd_.directory() + "/victim", keyd_.runtime_dir() + "/keyd.lock");
  expect_refused("symbolic link");
  EXPECT_FALSE(fs::exists(keyd_.directory() + "/victim"));
}

TEST(Start, ARuntimeDirectoryTooLongForASocketIsToldSo) {
  PrivateKeyd keyd;
  const auto result = run({program("keyd"), "-F", "--config", keyd.config_file(), "--runtime-dir",
                           keyd.directory() + "/" + std::string(100, 'x'), "--state-dir", keyd.state_dir()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("longer than a socket's name"));
}

TEST(Start, BadOptionsAreUsageErrors) {
  EXPECT_EQ(run({program("keyd"), "--frobnicate"}).exit_code, 2);
  EXPECT_EQ(run({program("keyd"), "--help"}).exit_code, 0);
  EXPECT_THAT(run({program("keyd"), "--version"}).out, HasSubstr("keyd 0."));
}

TEST(Start, GoesToTheBackgroundWhenNotToldOtherwise) {
  PrivateKeyd keyd;
  const auto result = run({program("keyd"), "--config", keyd.config_file(), "--runtime-dir",
                           keyd.runtime_dir(), "--state-dir", keyd.state_dir()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "keyd: ready\n");
  EXPECT_TRUE(keyd.is_healthy());
  const auto pids = run({"/usr/bin/pgrep", "-f", keyd.runtime_dir()});
  ASSERT_FALSE(pids.out.empty());
  EXPECT_EQ(::kill(std::stoi(pids.out), SIGTERM), 0);
}

TEST(Start, SaysTheTierItReachedAndNeverTakesAWeakerOneThanAskedFor) {
  PrivateKeyd keyd("[daemon]\ntier = \"watch\"\n");
  if (kernel::ProcConnector::open()) {
    ASSERT_TRUE(keyd.start()) << keyd.log();
    EXPECT_THAT(keyd.log(), HasSubstr("tier watch"));
    EXPECT_THAT(keyd.keystat({"-o", "json"}).out, HasSubstr("\"tier\": \"watch\""));
  } else {
    ASSERT_FALSE(keyd.start());
    EXPECT_THAT(keyd.log(), HasSubstr("tier watch cannot be reached"));
  }
}

TEST(Start, AnUnprivilegedKeydRunsInADirectoryOfItsOwnAtATierThatHoldsForOthersProcessesToo) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  PrivateKeyd place;
  ASSERT_EQ(::chown(place.directory().c_str(), 65534, 65534), 0);
  BackgroundProcess keyd({"/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                          program("keyd"), "-F", "--runtime-dir", place.runtime_dir(), "--state-dir",
                          place.state_dir()});
  EXPECT_EQ(keyd.read_line(), "keyd: ready");
  const bool watch = place.keystat({"-o", "json"}).out.find("\"tier\": \"watch\"") != std::string::npos;
  // Linux 6.6 and later give process events to everybody. If it says "watch", an exec of another uid's
  // process must be seen even when that process keeps its connection.
  const auto added = run({"/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                          program("keyadm"), "--runtime-dir", place.runtime_dir(), "user", "add", "alice",
                          "--scheme", "challenge", "--password-fd", "0"},
                         "right\n");
  ASSERT_EQ(added.exit_code, 0) << added.err;
  Forked client([&](Forked::Child& child) {
    RawClient raw(place.runtime_dir());
    child.say(raw.authenticate("alice", "right") ? "in" : "out");
    child.hear();
    if (watch) ::fcntl(raw.descriptor(), F_SETFD, 0);
    ::execl("/bin/sleep", "sleep", "30", static_cast<char*>(nullptr));
    return 1;
  });
  ASSERT_EQ(client.hear(), "in");
  EXPECT_EQ(place.state_of(client.pid()), "COMPLETE");
  client.say("exec");
  EXPECT_TRUE(place.wait_for_state(client.pid(), "REVOKED"));
}

TEST(Start, RunsAsTheAccountOfItsConfigurationAndGivesTheAdminSocketToItsGroup) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  PrivateKeyd keyd("[daemon]\nuser = \"nobody\"\nadmin_group = \"adm\"\n");
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right");
  struct stat st{};
  ASSERT_EQ(::stat((keyd.runtime_dir() + "/admin.sock").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 65534u);
  EXPECT_EQ(st.st_mode & 0777, 0660u);
  Forked stranger([&](Forked::Child&) {
    if (::setresgid(65533, 65533, 65533) != 0 || ::setresuid(65533, 65533, 65533) != 0) return 1;
    RawClient raw(keyd.runtime_dir());
    return raw.authenticate("alice", "right") ? 0 : 2;
  });
  EXPECT_EQ(stranger.wait(), 0);
}

TEST(Start, ADirectoryThatHoldsSomethingIsNotHandedToTheAccount) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to hand a directory over";
  PrivateKeyd keyd("[daemon]\nuser = \"nobody\"\n");
  fs::create_directory(keyd.runtime_dir());
  std::ofstream(keyd.runtime_dir() + "/precious") << "root's";
  EXPECT_FALSE(keyd.start());
  struct stat st{};
  ASSERT_EQ(::stat(keyd.runtime_dir().c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 0u);
}

TEST(Start, HoldsNoCapabilityAndCannotBeInspected) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start());
  const std::string text = content_of("/proc/" + std::to_string(keyd.pid()) + "/status");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapAmb"})
    EXPECT_THAT(text, HasSubstr(std::string(set) + ":\t0000000000000000\n"));
  EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1"));
}

}  // namespace
}  // namespace keyd::testing
