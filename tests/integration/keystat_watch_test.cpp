// keystat --watch at a terminal: what a person types, and what stands on the screen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/terminal_session.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;

const std::string kUp = "\x1b[A", kDown = "\x1b[B", kPageDown = "\x1b[6~", kHome = "\x1b[H";

// The rows are in the order of pids. Uses pids up until the next few thousand follow each other.
void go_past_the_wrap() {
  pid_t last = 0, max = 0;
  std::ifstream("/proc/sys/kernel/pid_max") >> max;
  do {
    last = ::vfork();
    if (last == 0) ::_exit(0);
    ASSERT_GT(last, 0);
    ::waitpid(last, nullptr, 0);
  } while (last >= max - 3000);
}

class Watch : public ::testing::Test {
 protected:
  void SetUp() override {
    go_past_the_wrap();
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
  }
  // A process that is authenticated as `user`, or (not `proven`) whose exchange is pending.
  void login(const std::string& user, bool proven = true) {
    clients_.push_back(std::make_unique<Forked>([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      child.say(raw.start(RawClient::choice(user)) && (!proven || raw.prove("right")) ? "in" : "out");
      child.hear();
      return 0;
    }));
    ASSERT_EQ(clients_.back()->hear(), "in");
  }
  std::vector<std::string> command() const {
    return {program("keystat"), "--runtime-dir", keyd_.runtime_dir(), "--watch"};
  }
  std::unique_ptr<TerminalSession> watch(std::size_t rows = 20, std::size_t columns = 100,
                                         std::vector<std::string> environment = {"TERM=xterm-256color"}) {
    auto session = std::make_unique<TerminalSession>(command(), rows, columns, environment);
    EXPECT_TRUE(session->until_shows("q leave")) << session->picture().text();
    return session;
  }
  // The users on the screen, from the top.
  static std::vector<std::string> users(const ScreenPicture& picture, std::size_t rows) {
    std::vector<std::string> all;
    for (std::size_t i = 4; i + 1 < rows; ++i) {
      const std::string row = picture.row(i);
      if (row.size() > 9) all.push_back(row.substr(9, row.find(' ', 9) - 9));
    }
    return all;
  }
  bool shows_users(TerminalSession& session, const std::vector<std::string>& wanted, std::size_t rows = 20) {
    return session.until([&](const ScreenPicture& p) { return users(p, rows) == wanted; });
  }
  PrivateKeyd keyd_{"[daemon]\ntier = \"pidfd\"\n[session]\nlinger = 600\n"};
  std::vector<std::unique_ptr<Forked>> clients_;
};

TEST_F(Watch, TakesTheTerminalAndGivesItBackWithQ) {
  login("alice");
  const auto session = watch();
  EXPECT_TRUE(session->picture().alternate());
  EXPECT_FALSE(session->picture().cursor_visible());
  EXPECT_FALSE(session->cooked());
  EXPECT_TRUE(session->picture().coloured());
  EXPECT_THAT(session->picture().row(0), HasSubstr("keyd up · 1/16384 records"));
  EXPECT_THAT(session->picture().row(0), HasSubstr("tier pidfd: exec cooperative"));
  EXPECT_THAT(session->picture().row(1), HasSubstr("COMPLETE 1"));
  EXPECT_THAT(session->picture().row(4), HasSubstr("alice"));
  session->type("q");
  EXPECT_EQ(session->wait(), 0);
  EXPECT_FALSE(session->picture().alternate());
  EXPECT_TRUE(session->picture().cursor_visible());
  EXPECT_TRUE(session->cooked());
}

TEST_F(Watch, ShowsAChangeAsItComes) {
  const auto session = watch();
  EXPECT_TRUE(session->until_shows("no task to show"));
  login("alice", false);
  EXPECT_TRUE(session->until_shows("PENDING 1"));
  login("alice");
  EXPECT_TRUE(session->until_shows("COMPLETE 1"));
  EXPECT_TRUE(session->until_shows("exchanges: 0."));  // one, over the seconds since the first look
  clients_.clear();
  EXPECT_TRUE(session->until_shows("no task to show"));
}

TEST_F(Watch, SortsAndTurnsRoundWithTheSameKey) {
  keyd_.enrol("zoë", "right");
  keyd_.enrol("bob", "right");
  login("zoë");
  login("alice");
  login("bob");
  const auto session = watch();
  EXPECT_TRUE(shows_users(*session, {"zoë", "alice", "bob"}));  // by pid
  session->type("u");
  EXPECT_TRUE(shows_users(*session, {"alice", "bob", "zoë"}));
  EXPECT_THAT(session->picture().row(3), HasSubstr("USER↑"));
  session->type("u");
  EXPECT_TRUE(shows_users(*session, {"zoë", "bob", "alice"}));
  EXPECT_THAT(session->picture().row(3), HasSubstr("USER↓"));
  session->type("a");
  EXPECT_TRUE(shows_users(*session, {"bob", "alice", "zoë"}));  // the youngest first
}

TEST_F(Watch, FiltersByWhatIsTypedAndByState) {
  keyd_.enrol("bob", "right");
  login("alice");
  login("bob");
  login("bob", false);
  const auto session = watch();
  EXPECT_TRUE(shows_users(*session, {"alice", "bob", "bob"}));
  session->type("/Bqx\x7f\x7foB");  // q is a letter here; two are taken back; case does not matter
  EXPECT_TRUE(session->until_shows("command: BoB_"));
  EXPECT_TRUE(shows_users(*session, {"bob", "bob"})) << session->picture().text();
  session->type("\r1");  // PENDING ones hidden
  EXPECT_TRUE(shows_users(*session, {"bob"}));
  EXPECT_TRUE(session->until_shows("1 of 3 shown with \"BoB\""));
  EXPECT_THAT(session->picture().row(1), HasSubstr("(PENDING 1)"));
  session->type("c");
  EXPECT_TRUE(shows_users(*session, {"alice", "bob", "bob"}));
  session->type("/integration");  // the command
  EXPECT_TRUE(session->until_shows("command: integration_"));
  EXPECT_TRUE(shows_users(*session, {"alice", "bob", "bob"}));
  session->type("zzz");
  EXPECT_TRUE(session->until_shows("no task to show"));
  session->type("\x1b");  // the escape key drops it
  EXPECT_TRUE(shows_users(*session, {"alice", "bob", "bob"}));
}

TEST_F(Watch, ScrollsWhereThereAreMoreRowsThanLines) {
  for (char name = 'a'; name < 'a' + 12; ++name) {
    keyd_.enrol(std::string(1, name), "right");
    login(std::string(1, name));
  }
  const auto session = watch(10);  // five rows
  EXPECT_TRUE(shows_users(*session, {"a", "b", "c", "d", "e"}, 10));
  EXPECT_TRUE(session->until_shows("rows 1-5 of 12"));
  session->type(kDown + kDown + kUp);
  EXPECT_TRUE(shows_users(*session, {"b", "c", "d", "e", "f"}, 10));
  session->type(kPageDown);
  EXPECT_TRUE(shows_users(*session, {"f", "g", "h", "i", "j"}, 10));
  session->type(kPageDown + kPageDown + kDown);
  EXPECT_TRUE(shows_users(*session, {"h", "i", "j", "k", "l"}, 10));
  session->type(kHome);
  EXPECT_TRUE(shows_users(*session, {"a", "b", "c", "d", "e"}, 10));
  session->resize(12, 100);
  EXPECT_TRUE(shows_users(*session, {"a", "b", "c", "d", "e", "f", "g"}, 12));
  session->resize(3, 20);  // nothing to see, nothing to break
  session->resize(10, 100);
  EXPECT_TRUE(shows_users(*session, {"a", "b", "c", "d", "e"}, 10));
}

TEST_F(Watch, CutsLongNamesByTheirWidthAndNeverWrapsALine) {
  const std::string wide = "漢字漢字漢字漢字漢字漢字";
  keyd_.enrol(wide, "right");
  login(wide);
  for (const std::size_t columns : {100u, 80u, 41u, 20u}) {
    const auto session = std::make_unique<TerminalSession>(command(), 8, columns);
    ASSERT_TRUE(session->until([](const ScreenPicture& p) { return p.row(7).find("q leave") == 0; }))
        << session->picture().text();  // the last line is the last: none before it was wrapped
    EXPECT_THAT(session->picture().row(0), HasSubstr("keyd up"));
    EXPECT_THAT(session->picture().row(4), HasSubstr("漢字漢"));
    EXPECT_EQ(session->picture().row(5), "");
    const std::string row = session->picture().row(4);
    EXPECT_TRUE(columns < 80 || row.find("漢字漢字漢字漢字…  COMPLETE") != std::string::npos) << row;
  }
}

TEST_F(Watch, HelpsAndGoesBack) {
  const auto session = watch();
  session->type("?");
  EXPECT_TRUE(session->until_shows("sort by pid, user, state"));
  session->type("h");
  EXPECT_TRUE(session->until_shows("no task to show"));
}

TEST_F(Watch, GivesTheTerminalBackWhenASignalEndsIt) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    const auto session = watch();
    if (number == SIGINT) {
      session->type("\x03");
    } else {
      ::kill(session->pid(), number);
    }
    EXPECT_EQ(session->wait(), 128 + number);
    EXPECT_FALSE(session->picture().alternate());
    EXPECT_TRUE(session->picture().cursor_visible());
    EXPECT_TRUE(session->cooked());
  }
}

TEST_F(Watch, StopsAndGoesOnUnderAShell) {
  login("alice");
  TerminalSession shell({"/bin/bash", "--norc", "--noediting", "-i"}, 20, 100,
                        {"TERM=xterm", "PS1=prompt:", "PATH=/usr/bin:/bin"});
  ASSERT_TRUE(shell.until_shows("prompt:"));
  std::string line;
  for (const std::string& word : command()) line += word + " ";
  shell.type(line + "\r");
  ASSERT_TRUE(shell.until_shows("q leave"));
  EXPECT_FALSE(shell.cooked());
  shell.type("\x1a");  // ^Z
  EXPECT_TRUE(shell.until_shows("Stopped"));
  EXPECT_FALSE(shell.picture().alternate());
  EXPECT_TRUE(shell.picture().cursor_visible());
  EXPECT_TRUE(shell.until([&](const ScreenPicture&) { return shell.cooked(); }));
  shell.type("fg\r");
  EXPECT_TRUE(shell.until([](const ScreenPicture& p) {
    return p.alternate() && !p.cursor_visible() && p.text().find("alice") != std::string::npos;
  }));
  EXPECT_TRUE(shell.until([&](const ScreenPicture&) { return !shell.cooked(); }));
  shell.type("q");
  EXPECT_TRUE(shell.until([](const ScreenPicture& p) { return !p.alternate(); }));
  shell.type("echo left=$?\r");
  EXPECT_TRUE(shell.until_shows("left=0"));
}

TEST_F(Watch, SaysThatKeydIsDownAndGoesOnWithTheNext) {
  login("alice");
  const auto session = watch();
  EXPECT_TRUE(session->until_shows("alice"));
  keyd_.kill();
  EXPECT_TRUE(session->until([](const ScreenPicture& p) {  // nothing in its table counts
    return p.row(0).find("keyd IS DOWN") == 0 && p.text().find("alice") == std::string::npos;
  })) << session->picture().text();
  ASSERT_TRUE(keyd_.start());
  EXPECT_TRUE(session->until_shows("keyd up"));
  login("alice");
  EXPECT_TRUE(session->until_shows("alice"));
}

TEST_F(Watch, HasNoColourWhereNoneIsWanted) {
  login("alice");
  const auto session = watch(20, 100, {"TERM=xterm-256color", "NO_COLOR=1"});
  EXPECT_TRUE(session->until_shows("alice"));
  EXPECT_FALSE(session->picture().coloured());
}

TEST_F(Watch, PrintsOneTableAfterTheOtherOnADumbTerminal) {
  TerminalSession session(command(), 30, 120, {"TERM=dumb"});
  EXPECT_TRUE(session.until_shows("no task to show"));
  login("alice");
  EXPECT_TRUE(session.until_shows("alice"));
  EXPECT_FALSE(session.picture().alternate());
  EXPECT_THAT(session.picture().text(), HasSubstr("no task to show"));  // still there
}

TEST_F(Watch, GivesOneJsonObjectALineWithoutATerminal) {
  auto arguments = command();
  arguments.insert(arguments.end(), {"-o", "json"});
  BackgroundProcess keystat(arguments);
  const auto first = nlohmann::json::parse(keystat.read_line());
  EXPECT_TRUE(first["tasks"].empty());
  login("alice");
  nlohmann::json seen;
  for (int i = 0;
       i < 50 && (seen.is_null() || seen["tasks"].empty() || seen["tasks"][0]["state"] != "COMPLETE"); ++i)
    seen = nlohmann::json::parse(keystat.read_line());
  ASSERT_EQ(seen["tasks"].size(), 1u);
  EXPECT_EQ(seen["tasks"][0]["user"], "alice");
  EXPECT_NE(seen["tasks"][0]["command"], "");
  keyd_.kill();
  for (int i = 0; i < 50 && seen["table"]["stale"] != true; ++i)
    seen = nlohmann::json::parse(keystat.read_line());
  EXPECT_EQ(seen["table"]["stale"], true);
  EXPECT_TRUE(seen["tasks"].empty());
  ASSERT_TRUE(keyd_.start());
  for (int i = 0; i < 50 && seen["table"]["stale"] != false; ++i)
    seen = nlohmann::json::parse(keystat.read_line());
  EXPECT_EQ(seen["table"]["stale"], false);
}

TEST(WatchWithoutKeyd, EndsWhenThereIsNothingToBeginWith) {
  PrivateKeyd none;
  TerminalSession session({program("keystat"), "--runtime-dir", none.runtime_dir(), "--watch"}, 10, 100);
  EXPECT_EQ(session.wait(), 3);
  EXPECT_FALSE(session.picture().alternate());
}

}  // namespace
}  // namespace keyd::testing
