// A change of password by keypasswd and by keyrun, against a real keyd: from descriptors and at a terminal.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/content.h"
#include "tests/support/private_keyd.h"
#include "tests/support/terminal_session.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char *kOld = "wk3zu!aphob", *kNew = "jf7-qomvex2";

class Keypasswd : public ::testing::Test {
 protected:
  Keypasswd() : keyd_("[historic]\nenabled = true\n" + std::string(kUnlimitedTries)) {}
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", kOld, {"--scheme", "srp"});
  }
  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> more = {}) const {
    std::vector<std::string> all{program("keypasswd"), "--runtime-dir", keyd_.runtime_dir(), "--user",
                                 "alice"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  [[nodiscard]] CommandResult change(const std::string& old_password, const std::string& new_password,
                                     std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--old-password-fd", "0", "--new-password-fd", "0"});
    return run(command(more), old_password + "\n" + new_password + "\n");
  }
  [[nodiscard]] bool is_password(const std::string& password) const {
    return run({program("keyrun"), "--runtime-dir", keyd_.runtime_dir(), "--scheme", "srp", "--user", "alice",
                "--password-fd", "0", "--", "/bin/true"},
               password + "\n")
               .exit_code == 0;
  }
  PrivateKeyd keyd_;
};

TEST_F(Keypasswd, ChangesThePassword) {
  const auto result = change(kOld, kNew);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "password changed\n");
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(is_password(kNew));
  EXPECT_FALSE(is_password(kOld));
}

TEST_F(Keypasswd, AWrongOldPasswordChangesNothing) {
  const auto result = change("wrong", kNew);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "keypasswd: denied: wrong user name or password\n");
  EXPECT_TRUE(is_password(kOld));
}

TEST_F(Keypasswd, ANewPasswordThatWillNotDoIsToldInALineAndChangesNothing) {
  for (const auto& [password, why] : std::vector<std::pair<const char*, const char*>>{
           {"jf7", "the password is shorter than 8 characters"},
           {"elephant7", "the password is too easily guessed: it is based on a dictionary word"},
           {"wk4zu!aphob", "the password is too similar to the old one"},
           {"1xalicex7q", "the password holds the user name"},
           {"", "no new password: the secret is empty"}}) {
    const auto result = change(kOld, password);
    EXPECT_EQ(result.exit_code, 1) << password;
    EXPECT_EQ(result.out, "") << password;
    EXPECT_EQ(result.err, fmt::format("keypasswd: {}; nothing was changed\n", why));
  }
  EXPECT_TRUE(is_password(kOld));
}

// The seed's step 314; what only keyd can tell, for it has the history.
TEST_F(Keypasswd, NoPermutationOfARecentPassword) {
  ASSERT_EQ(change(kOld, kNew).exit_code, 0);
  const auto result = change(kNew, "boh!pa3zuwk");
  EXPECT_EQ(result.exit_code, 1) << result.out;
  EXPECT_TRUE(is_password(kNew));
}

// The two ways in which keyd says salt and group, in each suite: its sandbox lets keypasswd read the files.
TEST_F(Keypasswd, ChangesItWhereverTheParametersAre) {
  for (const char* suite : {"modern", "historic"}) {
    for (const char* where : {"message", "directory"}) {
      PrivateKeyd other(fmt::format("[historic]\nenabled = true\n[password]\nparameters = \"{}\"\n{}", where,
                                    kUnlimitedTries));
      ASSERT_TRUE(other.start()) << other.log();
      other.enrol("alice", kOld, {"--scheme", "srp", "--allow-historic"});
      const auto result =
          run({program("keypasswd"), "--runtime-dir", other.runtime_dir(), "--user", "alice", "--suite",
               suite, "--accept-fast-derivations", "--old-password-fd", "0", "--new-password-fd", "0"},
              std::string(kOld) + "\n" + kNew + "\n");
      EXPECT_EQ(result.exit_code, 0) << suite << " " << where << ": " << result.err;
    }
  }
}

TEST_F(Keypasswd, WithoutATerminalOrADescriptorNothingHappens) {
  auto all = command();
  all.insert(all.begin(), {"/usr/bin/setsid", "-w"});
  const auto result = run(all, std::string(kOld) + "\n" + kNew + "\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("there is no terminal to ask at"));
  EXPECT_TRUE(is_password(kOld));
}

TEST_F(Keypasswd, SaysThatKeydIsNotThere) {
  const auto result = run({program("keypasswd"), "--runtime-dir", "/nonexistent", "--user", "alice"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("/nonexistent"));
}

// ---- at a terminal

bool shows_times(TerminalSession& session, const std::string& text, int times) {
  return session.until([&](const ScreenPicture& picture) {
    int seen = 0;
    const std::string all = picture.text();
    for (std::size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) ++seen;
    return seen >= times;
  });
}

// At the new password's `number`th question.
void answer_twice(TerminalSession& session, int number, const std::string& first, const std::string& second) {
  ASSERT_TRUE(shows_times(session, "New password of alice:", number)) << session.picture().text();
  session.type(first + "\n");
  ASSERT_TRUE(shows_times(session, "The same again:", number)) << session.picture().text();
  session.type(second + "\n");
}

TEST_F(Keypasswd, AsksAPersonUntilTheNewPasswordWillDo) {
  TerminalSession session(command(), 24, 100);
  ASSERT_TRUE(session.until_shows("Password of alice:")) << session.picture().text();
  session.type(std::string(kOld) + "\n");
  answer_twice(session, 1, "elephant7", "elephant7");
  ASSERT_TRUE(session.until_shows("it is based on a dictionary word")) << session.picture().text();
  answer_twice(session, 2, kNew, "jf7-qomvex3");
  ASSERT_TRUE(session.until_shows("the two answers differ")) << session.picture().text();
  answer_twice(session, 3, kNew, kNew);
  EXPECT_EQ(session.wait(), 0) << session.picture().text();
  EXPECT_THAT(session.picture().text(), HasSubstr("password changed"));
  for (const char* typed : {kOld, kNew, "elephant7", "jf7-qomvex3"})
    EXPECT_EQ(session.picture().text().find(typed), std::string::npos) << "it was echoed: " << typed;
  EXPECT_TRUE(is_password(kNew));
}

TEST_F(Keypasswd, ControlCAndControlDChangeNothing) {
  for (const auto& [key, exit_code] :
       std::vector<std::pair<const char*, int>>{{"\x03", 128 + SIGINT}, {"\x04", 1}}) {
    TerminalSession session(command(), 24, 100);
    ASSERT_TRUE(session.until_shows("Password of alice:")) << session.picture().text();
    session.type(std::string(kOld) + "\n");
    ASSERT_TRUE(session.until_shows("New password of alice:")) << session.picture().text();
    session.type(key);
    EXPECT_EQ(session.wait(), exit_code) << session.picture().text();
    EXPECT_EQ(session.picture().text().find("password changed"), std::string::npos);
    EXPECT_TRUE(is_password(kOld));
  }
}

TEST_F(Keypasswd, IsConfinedWhileItAsks) {
  TerminalSession session(command(), 24, 100);
  ASSERT_TRUE(session.until_shows("Password of alice:")) << session.picture().text();
  const std::string proc = fmt::format("/proc/{}/", session.pid());
  EXPECT_THAT(content_of(proc + "status"), HasSubstr("\nSeccomp:\t2\n"));
  EXPECT_THAT(content_of(proc + "status"), HasSubstr("\nNoNewPrivs:\t1\n"));
  EXPECT_THAT(content_of(proc + "limits"), ::testing::ContainsRegex("Max core file size +0 +0 "));
}

// ---- keyrun, when keyd asks

class KeyrunAsks : public Keypasswd {
 protected:
  void SetUp() override {
    Keypasswd::SetUp();
    ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  }
  [[nodiscard]] std::vector<std::string> keyrun(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{program("keyrun"), "--runtime-dir", keyd_.runtime_dir(), "--scheme", "srp",
                                 "--user",          "alice"};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), {"--", "/bin/sh", "-c", "echo the command runs; exit 7"});
    return all;
  }
  static void log_in(TerminalSession& session) {
    ASSERT_TRUE(session.until_shows("Password of alice:")) << session.picture().text();
    session.type(std::string(kOld) + "\n");
  }
};

TEST_F(KeyrunAsks, ForTheNewPasswordAndThenBecomesTheCommand) {
  TerminalSession session(keyrun(), 24, 100);
  log_in(session);
  answer_twice(session, 1, "jf7", "jf7");
  answer_twice(session, 2, kNew, kNew);
  EXPECT_EQ(session.wait(), 7) << session.picture().text();
  EXPECT_THAT(session.picture().text(), HasSubstr("the password is shorter than 8 characters"));
  EXPECT_THAT(session.picture().text(), HasSubstr("the command runs"));
  EXPECT_TRUE(is_password(kNew));
}

TEST_F(KeyrunAsks, AndRunsTheCommandWhenTheUserPutsItOff) {
  for (const char* key : {"\x03", "\x04"}) {
    TerminalSession session(keyrun(), 24, 100);
    log_in(session);
    ASSERT_TRUE(session.until_shows("New password of alice:")) << session.picture().text();
    session.type(key);
    EXPECT_EQ(session.wait(), 7) << session.picture().text();
    EXPECT_THAT(session.picture().text(), HasSubstr("keyd will ask again"));
    EXPECT_THAT(session.picture().text(), HasSubstr("the command runs"));
    EXPECT_TRUE(is_password(kOld));
  }
  EXPECT_THAT(keyd_.keyadm({"user", "show", "alice"}).out, HasSubstr("change due"));
}

TEST_F(KeyrunAsks, NobodyWhereItMayNotOrCannot) {
  TerminalSession session(keyrun({"--no-change-password"}), 24, 100);
  log_in(session);
  EXPECT_EQ(session.wait(), 7) << session.picture().text();
  EXPECT_EQ(session.picture().text().find("New password"), std::string::npos);
  const auto result = run(keyrun({"--password-fd", "0"}), std::string(kOld) + "\n");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(is_password(kOld));
}

// At the first question, of the password itself, it ends keyrun as before.
TEST_F(KeyrunAsks, NothingAfterControlCAtTheLogIn) {
  TerminalSession session(keyrun(), 24, 100);
  ASSERT_TRUE(session.until_shows("Password of alice:")) << session.picture().text();
  session.type("\x03");
  EXPECT_EQ(session.wait(), 128 + SIGINT) << session.picture().text();
  EXPECT_EQ(session.picture().text().find("the command runs"), std::string::npos);
}

}  // namespace
}  // namespace keyd::testing
