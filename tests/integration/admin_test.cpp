// keyadm: what administrators do, what they are told, and who is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;

class Admin : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(keyd_.start()) << keyd_.log(); }
  // A refusal: this exit code, nothing on standard output, one line on standard error.
  void refused(const CommandResult& result, int code, const std::string& says) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr(says));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  PrivateKeyd keyd_;
};

TEST_F(Admin, ManagesAUserFromEnrolmentToRemoval) {
  keyd_.enrol("alice", "right");
  auto shown = nlohmann::json::parse(keyd_.keyadm({"user", "show", "alice", "-o", "json"}).out);
  EXPECT_EQ(shown["state"], "active");
  EXPECT_EQ(shown["schemes"], nlohmann::json::array({"challenge"}));
  EXPECT_EQ(keyd_.keyadm({"user", "disable", "alice"}).exit_code, 0);
  shown = nlohmann::json::parse(keyd_.keyadm({"user", "show", "alice", "-o", "json"}).out);
  EXPECT_EQ(shown["state"], "disabled");
  refused(keyd_.keyadm({"user", "unlock", "alice"}), 1, "disabled");
  EXPECT_EQ(keyd_.keyadm({"user", "enable", "alice"}).exit_code, 0);
  EXPECT_EQ(keyd_.keyadm({"user", "unlock", "alice"}).exit_code, 0);
  EXPECT_EQ(keyd_.keyadm({"user", "remove", "alice"}).exit_code, 0);
  for (const char* verb : {"show", "disable", "enable", "unlock", "remove"}) {
    refused(keyd_.keyadm({"user", verb, "alice"}), 1, "no user \"alice\"");
  }
}

TEST_F(Admin, AsksUsersOfSrpToChangeTheirPassword) {
  keyd_.enrol("alice", "right", {"--scheme", "srp"});
  keyd_.enrol("bob", "right");
  const auto shown = [&](const char* user) {
    return nlohmann::json::parse(keyd_.keyadm({"user", "show", user, "-o", "json"}).out);
  };
  EXPECT_TRUE(shown("alice")["change_due"].is_null());
  EXPECT_TRUE(shown("alice")["change_since"].is_null());
  EXPECT_EQ(keyd_.keyadm({"user", "show", "alice"}).out.find("change due"), std::string::npos);
  const auto asked = keyd_.keyadm({"change-due", "alice"});
  EXPECT_EQ(asked.exit_code, 0) << asked.err;
  EXPECT_EQ(asked.out, "user \"alice\" is to change the password\n");
  const auto due = shown("alice");
  EXPECT_EQ(due["change_due"], "administrator");
  EXPECT_TRUE(due["change_since"].is_string());
  EXPECT_EQ(due["change_failures"], 0);
  EXPECT_EQ(due["carried_octets"], 0);
  EXPECT_EQ(due["carried_records"], 0);
  EXPECT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0) << "said again";
  EXPECT_THAT(keyd_.log(), HasSubstr("admin.change-due user=\"alice\""));
  keyd_.kill();
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  EXPECT_EQ(shown("alice")["change_since"], due["change_since"]);
  EXPECT_THAT(keyd_.keyadm({"user", "show", "alice"}).out,
              HasSubstr("change due     since " + due["change_since"].get<std::string>() +
                        ", reason: administrator; requests without an answer: 0\n"));
  refused(keyd_.keyadm({"change-due", "bob"}), 1, "keyadm user passwd");
  EXPECT_TRUE(shown("bob")["change_due"].is_null());
  refused(keyd_.keyadm({"change-due", "carol"}), 1, "no user \"carol\"");
  EXPECT_EQ(keyd_.keyadm({"change-due"}).exit_code, 2);
  ASSERT_EQ(keyd_.keyadm({"user", "passwd", "alice", "--password-fd", "0"}, "other\n").exit_code, 0);
  EXPECT_TRUE(shown("alice")["change_due"].is_null()) << "it has been changed";
}

TEST_F(Admin, ListsManyUsersInOrderAcrossPages) {
  for (int i = 0; i < 230; ++i) {
    RawClient raw(keyd_.runtime_dir(), "admin.sock");
    wire::AdminRequest request;
    request.set_secret_follows(true);
    request.mutable_user_add()->set_name("user-" + std::to_string(1000 + i));
    request.mutable_user_add()->add_schemes(
        "challenge");  // it is the list that is looked at: nothing is to be derived
    raw.send(wire::encode(request));
    raw.send(bytes_of("pw"));
    const auto answer = raw.receive();
    wire::AdminReply reply;
    ASSERT_TRUE(answer && wire::decode(*answer, reply) == wire::Decoded::kMessage && reply.has_done()) << i;
  }
  const auto json = nlohmann::json::parse(keyd_.keyadm({"user", "list", "-o", "json"}).out);
  ASSERT_EQ(json["users"].size(), 230u);
  EXPECT_EQ(json["users"][0]["name"], "user-1000");
  EXPECT_EQ(json["users"][229]["name"], "user-1229");
}

TEST_F(Admin, RefusesNamesThatWouldFoolATerminalAndShowsThemEscaped) {
  for (const std::string name : {"a\nb", "a\x1b[31m",
                                 "\xe2\x80\xae"
                                 "evil",
                                 "", " lead", "-dash", "\xff"}) {
    const auto result = keyd_.keyadm({"user", "add", "--password-fd", "0", "--", name}, "pw\n");
    EXPECT_NE(result.exit_code, 0);
    for (const char c : result.err.substr(0, result.err.size() - 1)) {
      EXPECT_GE(static_cast<unsigned char>(c), 0x20) << "a control character reached the terminal";
    }
  }
  EXPECT_EQ(keyd_.log().find('\x1b'), std::string::npos);
  keyd_.enrol("zoë@例え", "right");  // UTF-8 is fine
  EXPECT_THAT(keyd_.keyadm({"user", "list"}).out, HasSubstr("zoë@例え"));
}

TEST_F(Admin, RefusesWhatMakesNoSense) {
  keyd_.enrol("alice", "right");
  refused(keyd_.keyadm({"user", "add", "alice", "--password-fd", "0"}, "again\n"), 1, "enrolled already");
  refused(keyd_.keyadm({"user", "add", "bob", "--password-fd", "0"}, ""), 1, "empty");
  refused(keyd_.keyadm({"user", "add", "bob", "--password-fd", "0"}, std::string(1025, 'x') + "\n"), 1,
          "longer than 1024");
  refused(keyd_.keyadm({"user", "add", "bob", "--scheme", "rot13", "--password-fd", "0"}, "pw\n"), 1,
          "rot13");
  refused(keyd_.keyadm({"user", "passwd", "nosuch", "--password-fd", "0"}, "pw\n"), 1, "no user");
  refused(keyd_.keyadm({"credential", "set", "nosuch", "token", "--value-fd", "0"}, "v"), 1, "no user");
  refused(keyd_.keyadm({"credential", "set", "alice", "a\nb", "--value-fd", "0"}, "v"), 1,
          "no credential name");
  refused(keyd_.keyadm({"credential", "set", "alice", "big", "--value-fd", "0"}, std::string(65537, 'x')), 1,
          "longer than 65536");
  refused(keyd_.keyadm({"credential", "remove", "alice", "none"}), 1, "no credential");
  refused(keyd_.keyadm({"user", "frobnicate"}), 2, "--help");
  refused(keyd_.keyadm({"revoke", "not-a-pid"}), 2, "PID");
  EXPECT_EQ(keyd_.keyadm({"revoke", "1"}).exit_code, 1);
}

TEST_F(Admin, ManagesCredentialsWithoutEverShowingTheirValues) {
  keyd_.enrol("alice", "right");
  keyd_.set_credential("alice", "token", "value-one");
  keyd_.set_credential("alice", "token", "value-two!");
  const auto list = keyd_.keyadm({"credential", "list", "alice", "-o", "json"});
  EXPECT_EQ(list.out.find("value"), std::string::npos);
  const auto json = nlohmann::json::parse(list.out);
  ASSERT_EQ(json["credentials"].size(), 1u);
  EXPECT_EQ(json["credentials"][0]["size"], 10);
  EXPECT_EQ(keyd_.keyadm({"credential", "remove", "alice", "token"}).exit_code, 0);
  EXPECT_EQ(
      nlohmann::json::parse(keyd_.keyadm({"credential", "list", "alice", "-o", "json"}).out)["credentials"]
          .size(),
      0u);
  EXPECT_EQ(keyd_.log().find("value-"), std::string::npos);
}

TEST_F(Admin, KeepsAnEnrolmentOverARestartAndAKill) {
  keyd_.enrol("alice", "right");
  keyd_.kill();
  ASSERT_TRUE(keyd_.start());
  EXPECT_EQ(keyd_.keyadm({"user", "show", "alice"}).exit_code, 0);
  Forked client([&](Forked::Child&) {
    RawClient raw(keyd_.runtime_dir());
    return raw.authenticate("alice", "right") ? 0 : 1;
  });
  EXPECT_EQ(client.wait(), 0);
}

TEST_F(Admin, StrangersAreNotLetIn) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  Forked stranger([&](Forked::Child&) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return 1;
    return RawClient(keyd_.runtime_dir(), "admin.sock").connected() ? 2 : 0;
  });
  EXPECT_EQ(stranger.wait(), 0);
  // Even where the file's mode would let one in, the peer's credentials do not.
  ASSERT_EQ(::chmod((keyd_.runtime_dir() + "/admin.sock").c_str(), 0666), 0);
  Forked bold([&](Forked::Child&) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return 1;
    RawClient raw(keyd_.runtime_dir(), "admin.sock");
    const auto answer = raw.receive();
    wire::AdminReply reply;
    return answer && wire::decode(*answer, reply) == wire::Decoded::kMessage && reply.has_refused() &&
                   raw.closed_within(2)
               ? 0
               : 2;
  });
  EXPECT_EQ(bold.wait(), 0);
}

TEST(AdminRefused, IsNeverTakenForASuccess) {
  // With every administrator's connection taken keyd turns one away before it hears what is asked.
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start());
  keyd.enrol("alice", "right");
  {
    std::vector<std::unique_ptr<RawClient>> all;
    for (int i = 0; i < 64; ++i) all.push_back(std::make_unique<RawClient>(keyd.runtime_dir(), "admin.sock"));
    const auto result = keyd.keyadm({"user", "disable", "alice"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr("too many connections"));
  }
  EXPECT_TRUE(eventually([&] { return keyd.keyadm({"health"}).exit_code == 0; }));
  EXPECT_THAT(keyd.keyadm({"user", "show", "alice", "-o", "json"}).out, HasSubstr("active"));
}

TEST(AdminRefused, NotBecauseClientsHaveTakenEveryConnection) {
  PrivateKeyd keyd("[limits]\nconnections = 8\n");
  ASSERT_TRUE(keyd.start());
  std::vector<std::unique_ptr<RawClient>> all;
  for (int i = 0; i < 16; ++i) all.push_back(std::make_unique<RawClient>(keyd.runtime_dir()));
  EXPECT_EQ(all.back()->receive_message().refused().code(), wire::REFUSAL_BUSY);
  EXPECT_EQ(keyd.keyadm({"user", "list"}).exit_code, 0);
}

TEST(AdminGroup, MembersMayAdminister) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become a member of a group";
  PrivateKeyd keyd("[daemon]\nadmin_group = \"adm\"\n");
  ASSERT_TRUE(keyd.start()) << keyd.log();
  const auto health = [&](const std::string& groups) {
    return run({"/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534",
                groups == "none" ? "--clear-groups" : "--groups=" + groups, program("keyadm"),
                "--runtime-dir", keyd.runtime_dir(), "health"})
        .exit_code;
  };
  EXPECT_EQ(health("adm"), 0);
  EXPECT_EQ(health("none"), 1);
}

}  // namespace
}  // namespace keyd::testing
