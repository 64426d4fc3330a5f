// The store's files: what is wrong with them stops keyd with one line, and is left as it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/support/content.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Store : public ::testing::Test {
 protected:
  // A store with a user in it, and its keyd stopped.
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
    keyd_.stop();
  }
  std::string database() { return keyd_.state_dir() + "/keyd.db"; }
  std::string key() { return keyd_.state_dir() + "/store.key"; }
  void expect_refused(const std::string& says) {
    const std::string db = content_of(database()), k = content_of(key());
    EXPECT_FALSE(keyd_.start()) << "keyd took it";
    EXPECT_EQ(keyd_.exit_code(), 1);
    EXPECT_THAT(keyd_.log(), HasSubstr(says));
    EXPECT_TRUE(content_of(database()) == db) << "keyd wrote over what it refused";
    EXPECT_TRUE(content_of(key()) == k);
  }
  void expect_alice() {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    Forked client([&](Forked::Child&) {
      RawClient raw(keyd_.runtime_dir());
      return raw.authenticate("alice", "right") ? 0 : 1;
    });
    EXPECT_EQ(client.wait(), 0);
  }
  PrivateKeyd keyd_{in_a_steady_tier()};
};

TEST_F(Store, IsFoundAgainAfterARestart) { expect_alice(); }

TEST_F(Store, AStateThatKeydDoesNotKnowLetsNobodyIn) {
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  // At a start the file's constraints are checked; somebody who can write it need not mind them later.
  const auto written = run(
      {"/usr/bin/sqlite3", database(), "PRAGMA ignore_check_constraints = ON; UPDATE users SET state = 3"});
  ASSERT_EQ(written.exit_code, 0) << written.err;
  Forked client([&](Forked::Child&) {
    RawClient raw(keyd_.runtime_dir());
    return raw.start(RawClient::choice("alice")) && !raw.prove("right") && raw.last_packet.has_denied() ? 0
                                                                                                        : 1;
  });
  EXPECT_EQ(client.wait(), 0);
  EXPECT_TRUE(keyd_.wait_for_log("reason=\"user-disabled\""));
}

TEST_F(Store, AMissingDatabaseBesideItsKeyIsNotMadeAnew) {
  fs::remove(database());
  expect_refused("keyd.db is missing beside store.key");
  EXPECT_FALSE(fs::exists(database()));
}

TEST_F(Store, AMissingKeyBesideItsDatabaseIsNotMadeAnew) {
  fs::remove(key());
  expect_refused("store.key is missing beside keyd.db");
  EXPECT_FALSE(fs::exists(key()));
}

TEST_F(Store, AnotherStoresKeyIsRefused) {
  std::ofstream(key(), std::ios::binary) << std::string(32, 'k');
  expect_refused("does not belong to keyd.db");
}

TEST_F(Store, AKeyOfAnotherLengthIsRefused) {
  std::ofstream(key(), std::ios::binary) << std::string(31, 'k');
  expect_refused("shorter than 32 octets");
}

TEST_F(Store, FilesThatOthersMayReadAreRefused) {
  ASSERT_EQ(::chmod(key().c_str(), 0640), 0);
  expect_refused("store.key has mode 0640");
  ASSERT_EQ(::chmod(key().c_str(), 0600), 0);
  ASSERT_EQ(::chmod(database().c_str(), 0644), 0);
  expect_refused("keyd.db has mode 0644");
  ASSERT_EQ(::chmod(database().c_str(), 0600), 0);
  ASSERT_EQ(::chmod(keyd_.state_dir().c_str(), 0755), 0);
  expect_refused("has mode 0755");
}

TEST_F(Store, FilesOfSomebodyElseAreRefused) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  ASSERT_EQ(::chown(database().c_str(), 65534, 65534), 0);
  expect_refused("belongs to uid 65534");
}

TEST_F(Store, SymbolicAndHardLinksAreRefused) {
  fs::rename(database(), keyd_.directory() + "/moved.db");
  fs::create_symlink(keyd_.directory() + "/moved.db", database());
  expect_refused("symbolic link");
  fs::remove(database());
  fs::rename(keyd_.directory() + "/moved.db", database());
  fs::create_hard_link(database(), keyd_.directory() + "/second.db");
  expect_refused("second link");
}

TEST_F(Store, ALinkAsTheStateDirectoryIsRefused) {
  fs::rename(keyd_.state_dir(), keyd_.directory() + "/moved");
  fs::create_directory_symlink(keyd_.directory() + "/moved", keyd_.state_dir());
  expect_refused("is a link or no directory");
}

TEST_F(Store, ADamagedDatabaseIsRefused) {
  std::fstream file(database(), std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(4096);
  file << std::string(8192, '\xa5');
  file.close();
  expect_refused("damaged");
}

TEST_F(Store, ATruncatedDatabaseIsRefused) {
  fs::resize_file(database(), fs::file_size(database()) / 2 + 100);
  expect_refused("damaged");
}

TEST_F(Store, AnEmptiedDatabaseBesideItsKeyIsNoNewStore) {
  fs::resize_file(database(), 0);
  expect_refused("keyd.db is empty beside store.key");
}

TEST_F(Store, SomethingThatIsNoDatabaseIsRefused) {
  std::ofstream(database(), std::ios::binary | std::ios::trunc) << std::string(5000, 'x');
  expect_refused("keyd.db");
}

TEST_F(Store, AnotherProgramsDatabaseIsRefused) {
  fs::remove(database());
  ASSERT_EQ(run({"/usr/bin/sqlite3", database(), "CREATE TABLE t (x)"}).exit_code, 0);
  ASSERT_EQ(::chmod(database().c_str(), 0600), 0);
  expect_refused("not keyd's");
}

TEST_F(Store, ASecretMovedToAnotherUserDoesNotOpen) {
  ASSERT_TRUE(keyd_.start());
  keyd_.enrol("mallory", "known");
  keyd_.stop();
  // Mallory, who can write the file, gives alice the password that he knows.
  ASSERT_EQ(run({"/usr/bin/sqlite3", database(),
                 "UPDATE users SET sealed_password = (SELECT sealed_password FROM users WHERE name = "
                 "'mallory') WHERE name = 'alice'"})
                .exit_code,
            0);
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  EXPECT_FALSE(raw.prove("known"));
  EXPECT_EQ(raw.last_packet.refused().code(), wire::REFUSAL_INTERNAL);
  EXPECT_THAT(keyd_.log(), HasSubstr("user \"alice\": a sealed value in the store does not open"));
}

TEST_F(Store, AFirstStartInterruptedAnywhereIsCompletedByTheNext) {
  const auto fresh = [&](const std::function<void()>& interrupt) {
    fs::remove_all(keyd_.state_dir());
    fs::create_directory(keyd_.state_dir());
    ASSERT_EQ(::chmod(keyd_.state_dir().c_str(), 0700), 0);
    ::umask(077);
    interrupt();
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("bob", "right");
    keyd_.stop();
  };
  fresh([&] {
    std::ofstream(keyd_.state_dir() + "/store.key.new") << "ten octets";
  });  // died while writing the key
  fresh([&] { std::ofstream(keyd_.state_dir() + "/store.key.new") << std::string(32, 'k'); });
  fresh([&] {  // died between the key and the schema
    std::ofstream(keyd_.state_dir() + "/store.key.new") << std::string(32, 'k');
    std::ofstream(keyd_.state_dir() + "/keyd.db");
  });
  fresh([&] {  // died when the database had its mode, but not its schema
    std::ofstream(keyd_.state_dir() + "/store.key.new") << std::string(32, 'k');
    ASSERT_EQ(run({"/usr/bin/sqlite3", database(), "PRAGMA journal_mode = WAL"}).exit_code, 0);
  });
  // Died between the schema and the key's last step: the users are there.
  fs::rename(key(), keyd_.state_dir() + "/store.key.new");
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  EXPECT_EQ(keyd_.keyadm({"user", "show", "bob"}).exit_code, 0);
  EXPECT_TRUE(fs::exists(key()));
}

TEST(StoreOnAFullDisk, RefusesTheChangeKeepsTheRestAndRecoversWithoutARestart) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  PrivateKeyd keyd(in_a_steady_tier());
  fs::create_directory(keyd.state_dir());
  ASSERT_EQ(::mount("tmpfs", keyd.state_dir().c_str(), "tmpfs", 0, "size=1m,mode=0700"), 0);
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right");
  std::ofstream(keyd.state_dir() + "/filler") << std::string(2 << 20, 'x');
  bool full = false;
  for (int i = 0; i < 50 && !full; ++i) {
    const auto result = keyd.keyadm(
        {"credential", "set", "alice", "c" + std::to_string(i), "--value-fd", "0"}, std::string(30000, 'v'));
    full = result.exit_code == 1;
    if (full) {
      EXPECT_THAT(result.err, HasSubstr("full"));
    }
  }
  EXPECT_TRUE(full) << "the disk never filled";
  EXPECT_EQ(keyd.keyadm({"user", "show", "alice"}).exit_code, 0);
  fs::remove(keyd.state_dir() + "/filler");
  EXPECT_EQ(keyd.keyadm({"credential", "set", "alice", "after", "--value-fd", "0"}, "value").exit_code, 0);
  keyd.stop();
  ASSERT_TRUE(keyd.start()) << keyd.log();
  EXPECT_EQ(keyd.keyadm({"user", "show", "alice"}).exit_code, 0);
  keyd.stop();
  ::umount2(keyd.state_dir().c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace keyd::testing
