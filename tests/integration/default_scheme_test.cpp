// Who names no scheme gets srp: keyadm at an enrolment, keyrun and the library at an authentication.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>

#include <nlohmann/json.hpp>

#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class DefaultScheme : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    const auto added = keyd_.keyadm({"user", "add", "alice", "--password-fd", "0"}, "right\n");
    ASSERT_EQ(added.exit_code, 0) << added.err;
  }
  [[nodiscard]] CommandResult keyrun(const std::string& password, std::vector<std::string> command) const {
    std::vector<std::string> line{program("keyrun"),
                                  "--runtime-dir",
                                  keyd_.runtime_dir(),
                                  "--user",
                                  "alice",
                                  "--password-fd",
                                  "0",
                                  "--"};
    line.insert(line.end(), command.begin(), command.end());
    return run(line, password + "\n");
  }
  PrivateKeyd keyd_;
};

TEST_F(DefaultScheme, AUserIsEnrolledForSrpAlone) {
  const auto shown = json::parse(keyd_.keyadm({"user", "show", "alice", "-o", "json"}).out);
  EXPECT_EQ(shown["schemes"], json::array({"srp"}));
}

TEST_F(DefaultScheme, KeyrunsCommandIsMarkedBySrp) {
  const auto asked = keyrun("right", {"/bin/sh", "-c", program("keystat") + " -o json $$"});
  ASSERT_EQ(asked.exit_code, 0) << asked.err;
  const auto task = json::parse(asked.out)["tasks"][0];
  EXPECT_EQ(task["state"], "COMPLETE");
  EXPECT_EQ(task["user"], "alice");
  EXPECT_EQ(task["scheme"], "srp");
  EXPECT_EQ(task["suite"], "modern");
}

TEST_F(DefaultScheme, KeyrunRefusesAWrongPassword) {
  const auto asked = keyrun("wrong", {"/bin/echo", "ran"});
  EXPECT_EQ(asked.exit_code, 1);
  EXPECT_EQ(asked.out, "");
  EXPECT_THAT(asked.err, HasSubstr("denied"));
}

TEST_F(DefaultScheme, ALoginOfTheLibraryThatNamesNoSchemeIsBySrp) {
  keyclient_options options{};
  options.size = sizeof options;
  const std::string directory = keyd_.runtime_dir();
  options.runtime_dir = directory.c_str();
  keyclient_t* client = nullptr;
  ASSERT_EQ(keyclient_open(&options, &client), KEYCLIENT_OK) << keyclient_error();
  keyclient_login login{};
  login.size = sizeof login;
  login.user = "alice";
  login.password = "right";
  login.password_size = 5;
  EXPECT_EQ(keyclient_authenticate(client, &login), KEYCLIENT_OK) << keyclient_error();
  keyclient_identity me{};
  me.size = sizeof me;
  EXPECT_EQ(keyclient_whoami(client, &me), KEYCLIENT_OK) << keyclient_error();
  EXPECT_STREQ(me.scheme, "srp");
  EXPECT_STREQ(me.suite, "modern");
  keyclient_close(client);
}

}  // namespace
}  // namespace keyd::testing
