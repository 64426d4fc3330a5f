// The store on a file system of 4 MiB that is full, or has become read-only: changes are refused with one
// clear line and are not half there, authentication goes on, and all is well again when the disk is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "tests/faults/small_disk.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class StoreOnASmallDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(keyd_.state_dir());
    disk_ = std::make_unique<SmallDisk>(keyd_.state_dir());
    if (!disk_->mounted()) GTEST_SKIP() << disk_->obstacle();
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
    keyd_.set_credential("alice", "token", "before");
  }
  CommandResult set(const std::string& name, const std::string& value) {
    return keyd_.keyadm({"credential", "set", "alice", name, "--value-fd", "0"}, value);
  }
  void expect_refused(const CommandResult& result, const std::string& says) {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err, HasSubstr(says));
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  }
  // The value of alice's credential, as a client gets it that authenticates now.
  std::string token(const std::string& name = "token") {
    Forked client([&](Forked::Child& parent) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.start(RawClient::choice("alice")) || !raw.prove("right")) return 1;
      wire::SessionRequest request;
      request.mutable_credential()->set_name(name);
      std::string value;
      if (!raw.ask(request, &value)) return 1;
      parent.say(value);
      return 0;
    });
    return client.hear();
  }
  // Changes until there is no room for another. False when there always was.
  bool fill_with_changes() {
    for (int i = 0; i < 200; ++i) {
      const auto result = set("c" + std::to_string(i), std::string(30000, 'v'));
      if (result.exit_code == 0) continue;
      expect_refused(result, "the disk with the store is full");
      EXPECT_THAT(result.err, HasSubstr("nothing was changed"));
      return true;
    }
    return false;
  }
  PrivateKeyd keyd_{in_a_steady_tier()};
  std::unique_ptr<SmallDisk> disk_;
};

TEST_F(StoreOnASmallDisk, RefusesChangesAndGoesOnAuthenticatingWhenOthersFilledIt) {
  disk_->fill();
  ASSERT_TRUE(fill_with_changes());
  EXPECT_EQ(token(), "before");
  expect_refused(keyd_.keyadm({"user", "add", "bob", "--scheme", "challenge", "--password-fd", "0"},
                              std::string(1000, 'p') + "\n"),
                 "");
  disk_->free();
  EXPECT_EQ(set("token", "after").exit_code, 0) << "it must recover without a restart";
  EXPECT_EQ(token(), "after");
  EXPECT_EQ(
      keyd_.keyadm({"user", "add", "bob", "--scheme", "challenge", "--password-fd", "0"}, "p\n").exit_code,
      0);
  keyd_.kill();
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  EXPECT_EQ(token(), "after");
}

TEST_F(StoreOnASmallDisk, FilledByItsOwnUsersServesThemAndGoesOnWhenTheDiskIsLarger) {
  ASSERT_TRUE(fill_with_changes());
  EXPECT_EQ(token(), "before");
  EXPECT_EQ(token("c0"), std::string(30000, 'v'));
  ASSERT_TRUE(disk_->grow());
  EXPECT_EQ(set("token", "after").exit_code, 0);
  EXPECT_EQ(keyd_.keyadm({"credential", "remove", "alice", "c0"}).exit_code, 0);
  EXPECT_EQ(token(), "after");
}

TEST_F(StoreOnASmallDisk, IsNotFilledByTheLogOfManySmallChanges) {
  // 400 changes of 30 000 octets pass through the log: three times the disk.
  for (int i = 0; i < 400; ++i) ASSERT_EQ(set("token", std::string(30000, 'v')).exit_code, 0) << "at " << i;
  EXPECT_LT(fs::file_size(keyd_.state_dir() + "/keyd.db-wal"), 3u << 19);
}

TEST_F(StoreOnASmallDisk, StartsOnAFullDiskOrSaysWhyNot) {
  for (const bool killed : {false, true}) {
    killed ? keyd_.kill() : keyd_.stop();
    disk_->fill();
    if (keyd_.start()) {
      EXPECT_EQ(token(), "before");
    } else {
      EXPECT_EQ(keyd_.exit_code(), 1);
      EXPECT_THAT(keyd_.log(), HasSubstr("the disk with the store is full"));
    }
    disk_->free();
    if (keyd_.pid() < 0) {
      ASSERT_TRUE(keyd_.start()) << keyd_.log();
    }
    EXPECT_EQ(token(), "before");
  }
}

TEST_F(StoreOnASmallDisk, ThatIsReadOnlyIsRefusedAtTheStartAndLeftAsItIs) {
  keyd_.stop();
  ASSERT_TRUE(disk_->read_only(true));
  EXPECT_FALSE(keyd_.start());
  EXPECT_EQ(keyd_.exit_code(), 1);
  EXPECT_THAT(keyd_.log(), HasSubstr("keyd: store "));
  ASSERT_TRUE(disk_->read_only(false));
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  EXPECT_EQ(token(), "before");
}

}  // namespace
}  // namespace keyd::testing
