// The remote change of a password (seed 002) by a real keyd and the library: from the reason to the new keys, beside
// traffic that goes on.
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/full_pool.h"
#include "tests/support/library_client.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr const char* kOld = "old words 4 her use";
constexpr const char* kNew = "quite other 7 sentence";

class PasswordChange : public ::testing::Test {
 protected:
  explicit PasswordChange(const std::string& config = {}) : keyd_(whole(config)) {}
  static std::string whole(const std::string& config) {
    return "[historic]\nenabled = true\n" + config + std::string(kUnlimitedTries);
  }
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
  // Why the password is to be changed, by keyadm; empty: it is not.
  [[nodiscard]] std::string reason() const {
    const Json due = Json::parse(keyd_.keyadm({"user", "show", "alice", "-o", "json"}).out)["change_due"];
    return due.is_null() ? "" : due.get<std::string>();
  }
  // What keyd names for the user: "octets of the group's modulus salt".
  [[nodiscard]] std::string parameters(const std::string& user) const {
    Forked client([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.begin_srp(RawClient::srp_choice(user))) return 1;
      const auto named = raw.srp->parameters();
      child.say(std::to_string(named.group.octets()) + " " + to_hex(named.salt));
      return 0;
    });
    const std::string said = client.hear();
    EXPECT_EQ(client.wait(), 0);
    return said;
  }
  [[nodiscard]] std::size_t modulus_octets(const std::string& user) const {
    return std::stoul("0" + parameters(user));
  }
  PrivateKeyd keyd_;
};

TEST_F(PasswordChange, ByTheUsersOwnWish) {
  const std::string before = parameters("alice");
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(keyclient_change_requested(client.handle()), 0);
  EXPECT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_NOT_FOUND);
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  EXPECT_TRUE(client.changed);
  EXPECT_EQ(client.echo("still there"), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_NE(parameters("alice"), before) << "with another salt";
  EXPECT_TRUE(is_denied("alice", kOld));
  EXPECT_TRUE(logs_in("alice", kNew)) << keyclient_error();
}

// It would leave a verifier that opens nothing, and take the others away.
TEST_F(PasswordChange, IsNotMadeInASuiteThatIsSwitchedOffMeanwhile) {
  keyd_.enrol("old", kOld, {"--scheme", "srp", "--allow-historic"});
  LibraryClient client(keyd_.runtime_dir());
  client.suite = "historic";
  ASSERT_EQ(client.login("old", kOld), KEYCLIENT_OK) << keyclient_error();
  std::ofstream(keyd_.config_file()) << kUnlimitedTries;
  ASSERT_EQ(::kill(keyd_.pid(), SIGHUP), 0);
  ASSERT_TRUE(keyd_.wait_for_log("config.reloaded"));
  EXPECT_EQ(client.change(kOld, {kNew}), KEYCLIENT_REFUSED);
  EXPECT_NE(std::string(keyclient_error()).find("historic"), std::string::npos) << keyclient_error();
  client.close();
  EXPECT_TRUE(logs_in("old", kOld));
}

// Claims 1, 12: while a client streams records, none is lost, late or refused; then it has new keys.
TEST_F(PasswordChange, NoRecordIsLostWhileTheAdministratorHasThePasswordChanged) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  const Json before = task();
  std::atomic<bool> stop = false;
  std::atomic<int> sent = 0, failed = 0;
  // A call on a handle sends one record, and has its answer before the next call on that handle, of whatever thread,
  // sends another (keyclient.h, "Threads"). So a reply that belongs to another record is a failure here, and how late
  // one was is how long its call took.
  std::chrono::duration<double, std::milli> longest{};
  std::thread stream([&] {
    while (!stop) {
      const auto start = std::chrono::steady_clock::now();
      if (client.echo("record " + std::to_string(sent)) != KEYCLIENT_OK) ++failed;
      longest = std::max(longest, decltype(longest)(std::chrono::steady_clock::now() - start));
      ++sent;
    }
  });
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  EXPECT_TRUE(eventually([&] { return keyclient_change_requested(client.handle()) != 0; }));
  EXPECT_EQ(task()["flags"], Json::array({"CHANGE_DUE"}));
  client.at_question = [&](keyclient_question, const std::string&) {
    const int now = sent;
    EXPECT_TRUE(eventually([&] { return sent > now; })) << "the stream stands while the user types";
  };
  ASSERT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_OK) << keyclient_error();
  const int at_change = sent;
  EXPECT_TRUE(eventually([&] { return sent > at_change + 100; }));
  stop = true;
  stream.join();
  std::printf("%d records beside the change, the slowest answered after %.1f ms\n", sent.load(),
              longest.count());
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

// ---- when it is due (step 310)

// Waits until keyd has asked this client, whose requests carry the question back.
bool is_asked(LibraryClient& client) {
  return eventually([&] {
    EXPECT_EQ(client.echo("anything"), KEYCLIENT_OK) << keyclient_error();
    return keyclient_change_requested(client.handle()) != 0;
  });
}

class AgedPassword : public PasswordChange {
 protected:
  AgedPassword() : PasswordChange("[password]\nmax_age = 5\n") {}
};

TEST_F(AgedPassword, IsDueWithTheNextLoginAndNoMoreWhenItWasChanged) {
  LibraryClient client(keyd_.runtime_dir());
  std::this_thread::sleep_for(5100ms);
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  EXPECT_TRUE(is_asked(client));
  EXPECT_EQ(reason(), "age");
  EXPECT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(reason(), "");
}

class WornPassword : public PasswordChange {
 protected:
  WornPassword() : PasswordChange("[password]\nmax_octets = 20000\nmax_records = 1000\n") {}
};

TEST_F(WornPassword, IsDueWhenEnoughWasCarriedUnderIt) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(client.echo("little"), KEYCLIENT_OK);
  EXPECT_EQ(reason(), "");
  ASSERT_EQ(client.echo(std::string(20000, 'x')), KEYCLIENT_OK);
  EXPECT_TRUE(is_asked(client));
  EXPECT_EQ(reason(), "octets");
}

TEST_F(WornPassword, AndWhenEnoughRecordsWere) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  for (int i = 0; i < 500; ++i) ASSERT_EQ(keyclient_echo(client.handle(), nullptr, 0, nullptr), KEYCLIENT_OK);
  EXPECT_TRUE(is_asked(client));
  EXPECT_EQ(reason(), "messages");
}

TEST_F(PasswordChange, WhoCannotAskIsShownItAndNotAskedAndTheAdministratorIsTold) {
  LibraryClient client(keyd_.runtime_dir());
  client.can_change = false;
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  EXPECT_TRUE(eventually([&] { return task()["flags"] == Json::array({"CHANGE_DUE"}); }));
  EXPECT_TRUE(keyd_.wait_for_log("password.nobody-to-ask"));
  EXPECT_EQ(client.echo("x"), KEYCLIENT_OK);
  EXPECT_EQ(keyclient_change_requested(client.handle()), 0);
  EXPECT_EQ(client.change(kOld, {kNew}), KEYCLIENT_UNSUPPORTED);
  keyclient_identity me{};
  me.size = sizeof me;
  ASSERT_EQ(keyclient_whoami(client.handle(), &me), KEYCLIENT_OK);
  EXPECT_EQ(me.flags, KEYCLIENT_FLAG_CHANGE_DUE) << "a program sees it at memory speed";
}

TEST_F(PasswordChange, TheRequestOutlivesARestartAndIsNotDoubled) {
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  EXPECT_EQ(reason(), "administrator");
  keyd_.kill();
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  EXPECT_EQ(reason(), "administrator");
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  EXPECT_TRUE(is_asked(client));
  ASSERT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(client.change(kNew, {kOld}, false), KEYCLIENT_NOT_FOUND) << "it was one request";
  keyd_.stop();
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  EXPECT_EQ(reason(), "");
  EXPECT_TRUE(logs_in("alice", kNew));
}

// ---- the timer (claims 11, 27)

class ImpatientKeyd : public PasswordChange {
 protected:
  ImpatientKeyd() : PasswordChange("[password]\nask_again = 1\ndisable_after = 2\n") {}
};

TEST_F(ImpatientKeyd, AsksAgainAndThenDisablesWhoHasHeardAndDoesNotAnswer) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  EXPECT_TRUE(is_asked(client));
  ASSERT_EQ(client.echo("with the receipt"), KEYCLIENT_OK);
  EXPECT_TRUE(keyd_.wait_for_log("object=\"1 of 2\""));
  ASSERT_EQ(client.echo("asked again"), KEYCLIENT_OK);
  ASSERT_EQ(client.echo("and received again"), KEYCLIENT_OK);
  EXPECT_TRUE(keyd_.wait_for_log("password.disabled"));
  EXPECT_TRUE(eventually([&] { return client.echo("x") == KEYCLIENT_GONE; }));
  EXPECT_TRUE(is_denied("alice", kOld));
  // An administrator lets the user in again, who then answers: in a keyd with more patience, for that takes a while.
  std::ofstream(keyd_.config_file()) << whole("[password]\nask_again = 60\ndisable_after = 2\n");
  ::kill(keyd_.pid(), SIGHUP);
  ASSERT_TRUE(keyd_.wait_for_log("config.reloaded"));
  ASSERT_EQ(keyd_.keyadm({"user", "enable", "alice"}).exit_code, 0);
  ASSERT_TRUE(eventually([&] { return client.login("alice", kOld) == KEYCLIENT_OK; })) << keyclient_error();
  EXPECT_TRUE(is_asked(client));
  EXPECT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_OK) << keyclient_error();
}

TEST_F(ImpatientKeyd, CountsNothingWhereTheRequestDidNotArrive) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  std::this_thread::sleep_for(3s);  // it asks for nothing: nothing can be brought to it
  EXPECT_EQ(keyd_.log().find("password.not-changed"), std::string::npos);
  EXPECT_EQ(client.echo("x"), KEYCLIENT_OK);
}

// ---- the user at the client (step 314)

TEST_F(PasswordChange, WithoutTheOldPasswordNothingIsChangedAndTheSessionGoesOn) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  std::vector<std::string> remarks;
  client.at_question = [&](keyclient_question, const std::string& remark) { remarks.push_back(remark); };
  EXPECT_EQ(client.change("not the old 1", {kNew}), KEYCLIENT_DENIED);
  EXPECT_EQ(remarks,
            (std::vector<std::string>{"", "that is not the old password", "that is not the old password"}));
  EXPECT_FALSE(client.changed);
  EXPECT_EQ(client.echo("x"), KEYCLIENT_OK);
  EXPECT_TRUE(keyd_.wait_for_log("exchange.denied"));
  EXPECT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
}

TEST_F(PasswordChange, TheNewPasswordIsJudgedAndAskedForAgain) {
  LibraryClient client(keyd_.runtime_dir());
  client.words = {"Rex"};
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  std::vector<std::string> remarks;
  client.at_question = [&](keyclient_question question, const std::string& remark) {
    if (question == KEYCLIENT_NEW_PASSWORD) remarks.push_back(remark);
  };
  ASSERT_EQ(client.change(kOld, {"short1", "letters and letters", "the dog rex is 7 years", kOld, kNew}),
            KEYCLIENT_OK)
      << keyclient_error();
  ASSERT_EQ(remarks.size(), 5u);
  EXPECT_EQ(remarks[0], "");
  for (std::size_t i = 1; i < remarks.size(); ++i) EXPECT_NE(remarks[i], "") << i;
}

TEST_F(PasswordChange, ARecentPasswordOrAPermutationOfItIsRefused) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  std::vector<std::string> remarks;
  client.at_question = [&](keyclient_question question, const std::string& remark) {
    if (question == KEYCLIENT_NEW_PASSWORD) remarks.push_back(remark);
  };
  const std::string permuted = "esu reh 4 sdrow dlo";
  ASSERT_EQ(client.change(kNew, {kOld, permuted, "3rd sentence of hers"}), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(remarks.size(), 3u);
  for (std::size_t i = 1; i < 3; ++i) EXPECT_NE(remarks[i].find("recently"), std::string::npos) << remarks[i];
  client.close();
  EXPECT_TRUE(logs_in("alice", "3rd sentence of hers"));
}

TEST_F(PasswordChange, WhoCancelsLeavesEverythingAsItWas) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  EXPECT_TRUE(is_asked(client));
  EXPECT_EQ(client.change(kOld, {}, false), KEYCLIENT_CANCELLED);
  EXPECT_NE(keyclient_change_requested(client.handle()), 0) << "it stays asked for";
  EXPECT_EQ(client.echo("x"), KEYCLIENT_OK);
  EXPECT_EQ(reason(), "administrator");
  EXPECT_EQ(client.change(kOld, {kNew}, false), KEYCLIENT_OK) << keyclient_error();
}

// ---- what becomes durable

// One transaction: the other schemes' secrets, which still know the old password, are gone.
TEST_F(PasswordChange, TakesTheSecretsOfOtherSchemesAlong) {
  keyd_.enrol("berta", kOld,
              {"--scheme", "challenge", "--scheme", "kryptoknight", "--scheme", "srp", "--allow-historic"});
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("berta", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  client.close();
  const Json user = Json::parse(keyd_.keyadm({"user", "show", "berta", "-o", "json"}).out);
  EXPECT_EQ(user["schemes"], Json::array({"srp"}));
  for (const char* suite : {"modern", "historic"}) {
    LibraryClient other(keyd_.runtime_dir());
    other.suite = suite;
    EXPECT_TRUE(eventually([&] { return other.login("berta", kOld) == KEYCLIENT_DENIED; })) << suite;
  }
  EXPECT_TRUE(logs_in("berta", kNew));
}

TEST_F(PasswordChange, OfTwoSessionsThatAreAskedTheFirstAnswerHolds) {
  LibraryClient second(keyd_.runtime_dir());
  Forked first([&](Forked::Child& child) {
    LibraryClient client(keyd_.runtime_dir());
    if (client.login("alice", kOld) != KEYCLIENT_OK) return 1;
    child.say("in");
    child.hear();
    if (client.change(kOld, {kNew}, false) != KEYCLIENT_OK) return 2;
    return 0;
  });
  ASSERT_EQ(first.hear(), "in");
  ASSERT_EQ(second.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  EXPECT_TRUE(is_asked(second));
  // The other one changes it while this one is typing.
  second.at_question = [&](keyclient_question question, const std::string&) {
    if (question != KEYCLIENT_NEW_PASSWORD) return;
    first.say("now");
    EXPECT_EQ(first.wait(), 0);
  };
  EXPECT_NE(second.change(kOld, {"a sentence 2 late"}, false), KEYCLIENT_OK);
  EXPECT_FALSE(second.changed);
  EXPECT_EQ(task()["flags"], Json::array());
  second.close();
  EXPECT_TRUE(logs_in("alice", kNew));
  EXPECT_TRUE(is_denied("alice", "a sentence 2 late"));
}

// Two sessions of one password, of which one has changed it: the other is asked next, and "as before" would mean to it
// what it was made by.
class TwoSessions : public PasswordChange {
 protected:
  // In another process: logs in with the old password, and changes it when it is told to.
  void begin_other() {
    other_.emplace([this](Forked::Child& child) {
      LibraryClient client(keyd_.runtime_dir());
      if (client.login("alice", kOld) != KEYCLIENT_OK) return 1;
      child.say("in");
      child.hear();
      return client.change(kOld, {kNew}) == KEYCLIENT_OK ? 0 : 2;
    });
    ASSERT_EQ(other_->hear(), "in");
  }
  void let_other_change() {
    other_->say("now");
    ASSERT_EQ(other_->wait(), 0);
  }
  void change_here_too(LibraryClient& client) {
    ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
    ASSERT_TRUE(eventually([&] {
      EXPECT_EQ(client.echo("anything"), KEYCLIENT_OK) << keyclient_error();
      return keyclient_change_requested(client.handle()) != 0;
    }));
    EXPECT_EQ(client.change(kNew, {"a 3rd one, quite long"}, false), KEYCLIENT_OK) << keyclient_error();
    client.close();
    EXPECT_TRUE(logs_in("alice", "a 3rd one, quite long")) << "locked out: " << keyd_.log();
  }
  // Both are asked, and the other one answers.
  void let_other_answer_first(LibraryClient& client) {
    begin_other();
    ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
    ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
    ASSERT_TRUE(is_asked(client));
    let_other_change();
  }
  std::optional<Forked> other_;
};

TEST_F(TwoSessions, AnEarlierOneIsSentTheSaltThatItDoesNotHave) {
  begin_other();
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  let_other_change();
  std::ofstream(keyd_.config_file(), std::ios::app) << "\n[password]\nnew_salt = false\n";
  ASSERT_EQ(::kill(keyd_.pid(), SIGHUP), 0);
  ASSERT_TRUE(keyd_.wait_for_log("the configuration was read again"));
  change_here_too(client);
}

TEST_F(TwoSessions, AnEarlierOneIsSentTheGroupThatItDoesNotHave) {
  keyd_.stop();
  fs::remove_all(keyd_.state_dir());
  const std::string config = content_of(keyd_.config_file());
  std::ofstream(keyd_.config_file(), std::ios::app) << "\n[srp]\ngroup = 2048\n";
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  keyd_.enrol("alice", kOld, {"--scheme", "srp"});
  keyd_.stop();
  std::ofstream(keyd_.config_file()) << config;
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  begin_other();
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  let_other_change();
  EXPECT_EQ(modulus_octets("alice"), 3072u / 8);
  change_here_too(client);
}

// While its user is at the prompt the question becomes another one.
TEST_F(TwoSessions, AnAnswerIsMadeByTheQuestionThatStands) {
  begin_other();
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  bool changed = false;
  client.at_question = [&](keyclient_question question, const std::string&) {
    if (question != KEYCLIENT_OLD_PASSWORD || std::exchange(changed, true)) return;
    let_other_change();
    ASSERT_EQ(keyd_.keyadm({"change-due", "alice"}).exit_code, 0);
  };
  ASSERT_EQ(client.change(kNew, {"a 3rd one, quite long"}), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_TRUE(logs_in("alice", "a 3rd one, quite long")) << "locked out: " << keyd_.log();
}

// keyd has withdrawn the question to it, and it hears of that with its answer.
TEST_F(TwoSessions, WhoAnswersWhatTheOtherHasAnsweredIsAskedNoMore) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_NO_FATAL_FAILURE(let_other_answer_first(client));
  EXPECT_EQ(client.change(kNew, {"a 3rd one, quite long"}, false), KEYCLIENT_NOT_FOUND);
  EXPECT_EQ(keyclient_change_requested(client.handle()), 0);
  int prompts = 0;
  client.at_question = [&](keyclient_question, const std::string&) { ++prompts; };
  EXPECT_EQ(client.change(kNew, {"a 3rd one, quite long"}, false), KEYCLIENT_NOT_FOUND);
  EXPECT_EQ(prompts, 0);
  ASSERT_EQ(client.change(kNew, {"a 3rd one, quite long"}), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_TRUE(logs_in("alice", "a 3rd one, quite long"));
}

TEST_F(TwoSessions, WhoWantsItChangesWhatTheOtherHasChanged) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_NO_FATAL_FAILURE(let_other_answer_first(client));
  ASSERT_EQ(client.change(kNew, {"a 3rd one, quite long"}), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_TRUE(logs_in("alice", "a 3rd one, quite long"));
}

// ---- a program at the end of its locked memory

// keyd has the new password for good, and its answer finds no room: that is in doubt like one that never came.
TEST_F(PasswordChange, AnAnswerThatTheProgramHasNoRoomForIsFoundOut) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  std::atomic<bool> over = false;
  std::thread hoarder;
  client.at_question = [&](keyclient_question question, const std::string&) {
    if (question != KEYCLIENT_NEW_PASSWORD_AGAIN) return;
    ASSERT_EQ(::kill(keyd_.pid(), SIGSTOP), 0);
    hoarder = std::thread([&, socket = keyclient_descriptor(client.handle())] {
      EXPECT_TRUE(eventually([&] {
        int unread = 0;
        return ::ioctl(socket, SIOCOUTQ, &unread) == 0 && unread != 0;
      })) << "the answer has not left";
      const FullPool full;
      ::kill(keyd_.pid(), SIGCONT);
      // Until the library has given that session up.
      EXPECT_TRUE(eventually([&] { return over || keyclient_descriptor(client.handle()) == -1; }));
    });
  };
  EXPECT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  over = true;
  if (hoarder.joinable()) hoarder.join();
  EXPECT_TRUE(client.changed);
  EXPECT_EQ(client.echo("in a session by the new one"), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_TRUE(logs_in("alice", kNew));
}

// ---- the forms of the messages and the parameters

// Claims 2, 20, 34 and 3, 21, 35; in a session of the historic suite.
struct Form {
  const char* name;
  const char* config;
};
class HistoricChange : public PasswordChange, public ::testing::WithParamInterface<Form> {
 protected:
  HistoricChange() : PasswordChange(GetParam().config) {}
};

TEST_P(HistoricChange, WorksInEitherForm) {
  keyd_.enrol("old", kOld, {"--scheme", "srp", "--allow-historic"});
  LibraryClient client(keyd_.runtime_dir());
  client.suite = "historic";
  ASSERT_EQ(client.login("old", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(client.echo("x"), KEYCLIENT_OK);
  client.close();
  EXPECT_TRUE(logs_in("old", kNew, "historic"));
  EXPECT_TRUE(is_denied("old", kOld)) << "the modern verifier has gone";
}

INSTANTIATE_TEST_SUITE_P(Forms, HistoricChange,
                         ::testing::Values(Form{"eap_srp", "[password]\nhistoric_message = \"eap-srp\"\n"},
                                           Form{"vendor", "[password]\nhistoric_message = \"vendor\"\n"}),
                         [](const auto& each) { return each.param.name; });

// Claims 5, 23, 37: salt and group lie where both can reach them; 4, 22, 36: the salt as before.
class PlacedChange : public PasswordChange {
 protected:
  PlacedChange() : PasswordChange("[password]\nparameters = \"directory\"\n") {}
};

TEST_F(PlacedChange, FindsSaltAndGroupInTheRuntimeDirectory) {
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  int placed = 0;
  client.at_question = [&](keyclient_question, const std::string&) {
    placed = 0;
    for ([[maybe_unused]] const auto& file : fs::directory_iterator(keyd_.runtime_dir() + "/params"))
      ++placed;
  };
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(placed, 1);
  EXPECT_TRUE(fs::is_empty(keyd_.runtime_dir() + "/params")) << "and is gone with the answer";
  client.close();
  EXPECT_TRUE(logs_in("alice", kNew));
}

class SteadySalt : public PasswordChange {
 protected:
  SteadySalt() : PasswordChange("[password]\nnew_salt = false\n") {}
};
TEST_F(SteadySalt, StaysWhereNoNewOneIsWanted) {
  const std::string before = parameters("alice");
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_EQ(parameters("alice"), before);
  EXPECT_TRUE(logs_in("alice", kNew));
}

// Claims 13, 29, 44: another prime and generator than before.
TEST_F(PasswordChange, TheNewVerifierIsInTheGroupOfTheConfigurationNow) {
  keyd_.stop();
  std::ofstream(keyd_.config_file(), std::ios::app) << "\n[srp]\ngroup = 2048\n";
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  EXPECT_EQ(modulus_octets("alice"), 3072u / 8);
  LibraryClient client(keyd_.runtime_dir());
  ASSERT_EQ(client.login("alice", kOld), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(client.change(kOld, {kNew}), KEYCLIENT_OK) << keyclient_error();
  client.close();
  EXPECT_EQ(modulus_octets("alice"), 2048u / 8);
  EXPECT_TRUE(logs_in("alice", kNew));
}

// ---- the tools

TEST_F(PasswordChange, KeypasswdChangesItByTheSamePath) {
  const auto changed = testing::run({program("keypasswd"), "--runtime-dir", keyd_.runtime_dir(), "--user",
                                     "alice", "--old-password-fd", "0", "--new-password-fd", "0"},
                                    std::string(kOld) + "\n" + kNew + "\n");
  EXPECT_EQ(changed.exit_code, 0) << changed.err;
  EXPECT_EQ(changed.out, "password changed\n");
  EXPECT_TRUE(is_denied("alice", kOld));
  EXPECT_TRUE(logs_in("alice", kNew));
  const auto refused = testing::run({program("keypasswd"), "--runtime-dir", keyd_.runtime_dir(), "--user",
                                     "alice", "--old-password-fd", "0", "--new-password-fd", "0"},
                                    std::string(kNew) + "\nshort1\n");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(std::ranges::count(refused.err, '\n'), 1) << refused.err;
  EXPECT_TRUE(logs_in("alice", kNew));
}

}  // namespace
}  // namespace keyd::testing
