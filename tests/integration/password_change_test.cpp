// The remote change of a password (seed 002) by a real keyd and the library: from the reason to the new keys, beside
// traffic that goes on.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/eventually.h"
#include "tests/support/library_client.h"
#include "tests/support/private_keyd.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr const char* kOld = "old words 4 alice";
constexpr const char* kNew = "quite other 7 sentence";

class PasswordChange : public ::testing::Test {
 protected:
  explicit PasswordChange(const std::string& config = {})
      : keyd_("[historic]\nenabled = true\n" + config + std::string(kUnlimitedTries)) {}
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", kOld, {"--scheme", "srp"});
  }
  bool logs_in(const std::string& user, const std::string& password, const char* suite = "modern") {
    LibraryClient client(keyd_.runtime_dir());
    client.suite = suite;
    return eventually([&] { return client.login(user, password) == KEYCLIENT_OK; });
  }
  bool is_denied(const std::string& user, const std::string& password) {
    LibraryClient client(keyd_.runtime_dir());
    return eventually([&] { return client.login(user, password) == KEYCLIENT_DENIED; });
  }
  [[nodiscard]] Json task() const {
    return Json::parse(keyd_.keystat({std::to_string(::getpid()), "-o", "json"}).out)["tasks"][0];
  }
  PrivateKeyd keyd_;
};

TEST_F(PasswordChange, ByTheUsersOwnWish) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(keyclient_change_requested(client.handle()), 0);
  EXPECT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_NOT_FOUND);
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  EXPECT_TRUE(client.changed);
  EXPECT_EQ(client.echo("still there"), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_TRUE(is_denied("alice", kOld));
  EXPECT_TRUE(logs_in("alice", kNew)) << keyclient_error();
}

// Claims 1, 12: while a client streams records, none is lost, late or refused; then it has new keys.
TEST_F(PasswordChange, NoRecordIsLostWhileTheAdministratorHasThePasswordChanged) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  const Json before = task();
  std::atomic<bool> stop = false;
  std::atomic<int> sent = 0, failed = 0;
  std::thread stream([&] {
    while (!stop) {
      if (client.echo("record " + std::to_string(sent)) != KEYCLIENT_OK) ++failed;
      ++sent;
    }
  });
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  EXPECT_TRUE(eventually([&] { return keyclient_change_requested(client.handle()) != 0; }));
  EXPECT_EQ(task()["flags"], Json::array({"CHANGE_DUE"}));
  client.at_question = [&](keyclient_question, const std::string&) {
    const int now = sent;
    std::this_thread::sleep_for(100ms);
    EXPECT_GT(sent, now) << "the stream stands while the user types";
  };
  ASSERT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_OK) << keyclient_error();
  const int at_change = sent;
  EXPECT_TRUE(eventually([&] { return sent > at_change + 100; }));
  stop = true;
  stream.join();
  EXPECT_EQ(failed, 0);
  const Json after = task();
  EXPECT_EQ(after["state"], "COMPLETE");
  EXPECT_EQ(after["flags"], Json::array());
  EXPECT_NE(after["session"], before["session"]) << "the keys are those of another exchange";
  client.close();
  EXPECT_TRUE(is_denied("alice", kOld));
  EXPECT_TRUE(logs_in("alice", kNew));
  for (const char* event : {"password.change-due", "password.asked", "password.question-received",
                            "password.old-proved", "password.changed", "exchange.renewed"})
    EXPECT_NE(keyd_.log().find(event), std::string::npos) << event;
}

}  // namespace
}  // namespace keyd::testing
