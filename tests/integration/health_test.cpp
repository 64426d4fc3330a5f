// keyadm health: live and ready are two things, and a keyd whose store hangs says so at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/eventually.h"
#include "tests/support/held_thread.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;

TEST(Health, TellsAPersonAndAProgramWhatItFound) {
  PrivateKeyd keyd("[daemon]\ntier = \"pidfd\"\n");
  ASSERT_TRUE(keyd.start()) << keyd.log();
  CommandResult asked;
  EXPECT_TRUE(eventually([&] { return (asked = keyd.keyadm({"health", "-o", "json"})).exit_code == 0; }))
      << asked.out;
  const auto json = nlohmann::json::parse(asked.out);
  EXPECT_EQ(json["live"], true);
  EXPECT_EQ(json["ready"], true);
  EXPECT_TRUE(json["problems"].empty() && json["warnings"].empty());
  EXPECT_EQ(json["tier"], "pidfd");
  EXPECT_EQ(json["tier_configured"], "pidfd");
  EXPECT_EQ(json["connections"], 1);  // this one
  EXPECT_EQ(json["config"]["state"], "as-started");
  EXPECT_TRUE(json["config"]["when"].is_null());
  EXPECT_GT(json["store"]["write_us"], 0);
  std::string text;
  EXPECT_TRUE(eventually([&] {
    return (text = keyd.keyadm({"health"}).out).find("live, ready\n") != std::string::npos;
  })) << text;
  EXPECT_THAT(text, HasSubstr("durable write"));
  EXPECT_EQ(keyd.keyadm({"health", "--live"}).out, "live\n");
}

TEST(Health, OfAKeydThatIsNotThereIsNotLive) {
  PrivateKeyd keyd;
  const auto asked = keyd.keyadm({"health", "-o", "json"});
  EXPECT_EQ(asked.exit_code, 3);
  const auto json = nlohmann::json::parse(asked.out);
  EXPECT_EQ(json["live"], false);
  EXPECT_EQ(json["ready"], false);
  EXPECT_THAT(json["problem"].get<std::string>(), HasSubstr("is it running?"));
  EXPECT_EQ(keyd.keyadm({"health", "--live"}).exit_code, 3);
}

TEST(Health, OfAStoppedKeydIsNotLiveAfterSeconds) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  ::kill(keyd.pid(), SIGSTOP);
  const auto asked = keyd.keyadm({"health", "--live"});
  ::kill(keyd.pid(), SIGCONT);
  EXPECT_EQ(asked.exit_code, 3);
  EXPECT_THAT(asked.err, HasSubstr("did not answer"));
}

TEST(Health, OfAKeydWhoseStoreHangsIsLiveButNotReady) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  std::vector<pid_t> threads;  // it gives itself its name
  ASSERT_TRUE(eventually([&] { return (threads = threads_of(keyd.pid(), "keyd-store")).size() == 1; }));
  HeldThread store(threads[0]);
  if (!store.held()) GTEST_SKIP() << "needs the right to trace keyd: " << std::strerror(errno);
  for (int i = 0; i < 3; ++i) {
    const auto asked = keyd.keyadm({"health", "-o", "json"});
    EXPECT_EQ(asked.exit_code, 1) << asked.err;
    const auto json = nlohmann::json::parse(asked.out);
    EXPECT_EQ(json["live"], true);
    EXPECT_EQ(json["ready"], false);
    EXPECT_THAT(json["problem"].get<std::string>(), HasSubstr("the store does not answer"));
    EXPECT_TRUE(json["store"].is_null());
    EXPECT_EQ(keyd.keyadm({"health", "--live"}).exit_code, 0);
  }
  store.let_go();
  EXPECT_TRUE(keyd.is_healthy());
}

TEST(Health, OfAKeydWhoseDiskIsFullIsNotReadyUntilThereIsRoom) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  PrivateKeyd keyd;
  std::filesystem::create_directory(keyd.state_dir());
  if (::mount("tmpfs", keyd.state_dir().c_str(), "tmpfs", 0, "size=1m,mode=0700") != 0)
    GTEST_SKIP() << "cannot mount a small file system: " << std::strerror(errno);
  struct Unmount {
    std::string where;
    ~Unmount() { ::umount2(where.c_str(), MNT_DETACH); }
  } const unmount{keyd.state_dir()};
  ASSERT_TRUE(keyd.start()) << keyd.log();
  EXPECT_TRUE(keyd.is_healthy());
  const std::string filler = keyd.state_dir() + "/filler";
  {
    std::ofstream file(filler, std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), 4096).flush()) {
    }
  }
  // What the write-ahead log already has is used up first.
  CommandResult asked;
  for (int i = 0; i < 400 && (asked = keyd.keyadm({"health"})).exit_code == 0; ++i) {
  }
  EXPECT_EQ(asked.exit_code, 1);
  EXPECT_THAT(asked.out,
              HasSubstr("live, not ready\nproblem: cannot use the store: the disk with the store is full"));
  std::filesystem::remove(filler);
  EXPECT_TRUE(keyd.is_healthy());
  keyd.stop();
}

}  // namespace
}  // namespace keyd::testing
