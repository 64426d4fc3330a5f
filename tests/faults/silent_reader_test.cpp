// Somebody holds the reading end of keyd's logs and does not read; or the disk under them is full. Nobody
// waits for that, and what was lost is told.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/unique_fd.h"
#include "tests/faults/small_disk.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;

bool authenticates(const PrivateKeyd& keyd, const std::string& user, const std::string& password) {
  Forked client([&](Forked::Child&) {
    RawClient raw(keyd.runtime_dir());
    return raw.authenticate(user, password) ? 0 : 1;
  });
  return client.wait() == 0;
}

class SilentReader : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = keyd_.directory() + "/stderr";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    pipe_ = UniqueFd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ASSERT_GT(::fcntl(pipe_.get(), F_SETPIPE_SZ, 16384), 0);
    keyd_.start_under({"/bin/sh", "-c", "exec \"$@\" 2>" + path, "sh"});
    ASSERT_TRUE(keyd_.start());
    for (const char* user : {"alice", "bob", "mallory"}) keyd_.enrol(user, "right");
    // A password that does not open under the key: each try is a line in the diagnostic log.
    ASSERT_EQ(run({"/usr/bin/sqlite3", keyd_.state_dir() + "/keyd.db",
                   "UPDATE users SET sealed_password = (SELECT sealed_password FROM users WHERE name = "
                   "'mallory') WHERE name = 'alice'"})
                  .exit_code,
              0);
  }
  // More lines of both logs than the pipe holds.
  void fill_the_pipe() {
    for (int i = 0; i < 100; ++i) {
      ASSERT_FALSE(authenticates(keyd_, "alice", "right"));
      ASSERT_TRUE(authenticates(keyd_, "bob", "right")) << "keyd waits for the reader of its log";
    }
  }
  std::string drain() {
    std::string text;
    std::array<char, 8192> buffer;
    for (ssize_t got; (got = ::read(pipe_.get(), buffer.data(), buffer.size())) > 0;)
      text.append(buffer.data(), static_cast<std::size_t>(got));
    return text;
  }
  PrivateKeyd keyd_{in_a_steady_tier() + "[session]\nlinger = 1\n"};
  UniqueFd pipe_;
};

TEST_F(SilentReader, HoldsUpNobodyAndLearnsHowMuchItMissed) {
  fill_the_pipe();
  EXPECT_THAT(drain(), HasSubstr("keyd"));
  EXPECT_FALSE(authenticates(keyd_, "alice", "right"));
  EXPECT_TRUE(authenticates(keyd_, "bob", "right"));
  const std::string after = drain();
  EXPECT_THAT(after, HasSubstr("lines of this log found no room"));
  EXPECT_THAT(after, HasSubstr("audit.lost"));
}

TEST_F(SilentReader, DoesNotKeepKeydFromStopping) {
  fill_the_pipe();
  keyd_.stop();
  EXPECT_EQ(keyd_.exit_code(), 0);
}

TEST_F(SilentReader, ThatGoesAwayDoesNotStopKeydEither) {
  pipe_.reset();
  EXPECT_FALSE(authenticates(keyd_, "alice", "right"));
  EXPECT_TRUE(authenticates(keyd_, "bob", "right"));
}

TEST(AuditOnAFullDisk, HoldsUpNobodyAndGoesOnInWholeLinesWhenThereIsRoomAgain) {
  SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << disk.obstacle();
  PrivateKeyd keyd(in_a_steady_tier() + "[audit]\nformat = \"json\"\nfile = \"" + disk.path() + "/audit\"\n");
  ASSERT_TRUE(keyd.start());
  keyd.enrol("alice", "right");
  disk.fill();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(authenticates(keyd, "alice", "right"));
  disk.free();
  ASSERT_TRUE(authenticates(keyd, "alice", "right"));
  std::ifstream file(disk.path() + "/audit");
  int broken = 0, lost = 0, completed = 0;
  for (std::string line; std::getline(file, line);) {
    const auto event = nlohmann::json::parse(line, nullptr, false);
    if (event.is_discarded()) {
      ++broken;
      continue;
    }
    lost += event["event"] == "audit.lost";
    completed += event["event"] == "exchange.complete";
  }
  EXPECT_LE(broken, 1) << "the one that the disk took half of";
  EXPECT_EQ(lost, 1);
  EXPECT_GE(completed, 1);
}

}  // namespace
}  // namespace keyd::testing
