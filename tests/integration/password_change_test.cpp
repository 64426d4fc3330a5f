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

}  // namespace
}  // namespace keyd::testing
