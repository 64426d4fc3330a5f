// The parts of keystat --watch that are pure: keys, widths, the order of rows, the rate.
#include "tools/keystat/screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "tools/keystat/exchange_rate.h"
#include "tools/keystat/keys.h"
#include "tools/keystat/text_width.h"
#include "tools/keystat/view.h"

namespace keyd::keystat {
namespace {

using testing::ElementsAre;

std::vector<Key::Kind> kinds(std::string typed, bool idle = true) {
  std::vector<Key::Kind> all;
  while (const auto key = take_key(typed, idle)) all.push_back(key->kind);
  return all;
}

TEST(KeystatKeys, AreTakenFromWhatTerminalsSend) {
  EXPECT_THAT(kinds("\x1b[A\x1bOB\x1b[5~\x1b[6~"),
              ElementsAre(Key::kUp, Key::kDown, Key::kPageUp, Key::kPageDown));
  EXPECT_THAT(kinds("\x1b[H\x1bOF\x1b[1~\x1b[8~"), ElementsAre(Key::kHome, Key::kEnd, Key::kHome, Key::kEnd));
  EXPECT_THAT(kinds("\x1b[1;5A"), ElementsAre(Key::kUp));  // with a modifier
  EXPECT_THAT(kinds("\r\x7f\b\t"), ElementsAre(Key::kEnter, Key::kBackspace, Key::kBackspace, Key::kOther));
  EXPECT_THAT(kinds("q漢"), ElementsAre(Key::kText, Key::kText));
  EXPECT_THAT(kinds("\x1b[200~q"), ElementsAre(Key::kOther, Key::kText));
}

TEST(KeystatKeys, WaitForTheRestUnlessNothingComes) {
  std::string typed = "\x1b";
  EXPECT_FALSE(take_key(typed, false));
  EXPECT_EQ(take_key(typed, true)->kind, Key::kEscape);
  typed = "\x1b[5";
  EXPECT_FALSE(take_key(typed, false));
  typed += "~";
  EXPECT_EQ(take_key(typed, false)->kind, Key::kPageUp);
  typed = "\xe6\xbc";
  EXPECT_FALSE(take_key(typed, false));
  typed += "\xa2";
  EXPECT_EQ(take_key(typed, false)->text, "漢");
  EXPECT_TRUE(typed.empty());
}

TEST(KeystatKeys, EndWhateverIsTyped) {
  std::string noise;
  for (unsigned i = 0; i < 100000; ++i) noise += static_cast<char>(i * i * 31 + i * 7 + (i >> 5));
  EXPECT_GT(kinds(noise).size(), 10000u);
  EXPECT_GT(kinds("\x1b[" + std::string(1000, '1')).size(), 900u);  // no sequence is that long
}

TEST(KeystatWidth, CountsColumns) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("zoë"), 3u);
  EXPECT_EQ(display_width("漢字"), 4u);
  EXPECT_EQ(display_width("e\xcc\x81"), 1u);  // an accent that combines
  EXPECT_EQ(display_width("\xff\xfe"), 2u);   // no UTF-8 does no harm
}

TEST(KeystatWidth, FitsExactly) {
  EXPECT_EQ(fit("abc", 5), "abc  ");
  EXPECT_EQ(fit("abc", 5, Align::kRight), "  abc");
  EXPECT_EQ(fit("abcdef", 5), "abcd…");
  EXPECT_EQ(fit("漢字漢", 5), "漢字…");
  EXPECT_EQ(fit("漢字漢", 4), "漢… ");  // half a character is none
  EXPECT_EQ(fit("abc", 0), "");
  for (std::size_t width = 0; width < 10; ++width) EXPECT_EQ(display_width(fit("a漢b字c漢", width)), width);
}

Task task(std::uint32_t pid, const char* user, keyclient_state state, std::uint64_t since = 1) {
  Task made{};
  made.identity.pid = pid;
  made.identity.inode = pid;
  std::strncpy(made.identity.user, user, sizeof made.identity.user - 1);
  made.identity.state = state;
  made.identity.complete_since = state == KEYCLIENT_STATE_COMPLETE ? since : 0;
  made.identity.pending_since = since;
  made.command = user;
  made.named = true;
  return made;
}

TEST(KeystatScreen, NeverExceedsTheTerminalAndEscapesNames) {
  Snapshot snapshot{};
  snapshot.tasks = {task(1, "a\x1b[31mred", KEYCLIENT_STATE_COMPLETE),
                    task(2, "漢字漢字漢字漢字漢字漢字", KEYCLIENT_STATE_PENDING)};
  for (std::size_t rows = 1; rows < 12; ++rows) {
    for (const std::size_t columns : {1u, 2u, 17u, 50u, 80u, 109u, 110u, 200u}) {
      View view;
      for (const char* keys : {"", "h", "/", "hc2"}) {
        for (const char* key = keys; *key != '\0'; ++key)
          (void)view.press({Key::kText, std::string(1, *key)});
        const auto lines = compose({snapshot, false, 1.5, "12:00:00", {rows, columns}, false}, view);
        EXPECT_EQ(lines.size(), rows);
        for (const std::string& line : lines) {
          EXPECT_LE(display_width(line), columns) << line;
          EXPECT_EQ(line.find('\x1b'), std::string::npos) << "colour, or a name that is not escaped";
        }
      }
    }
  }
}

TEST(KeystatView, OrdersEqualOnesByPid) {
  Snapshot snapshot{};
  snapshot.tasks = {task(3, "b", KEYCLIENT_STATE_COMPLETE), task(1, "b", KEYCLIENT_STATE_COMPLETE),
                    task(2, "a", KEYCLIENT_STATE_FAILED)};
  View view;
  (void)view.press({Key::kText, "u"});
  const auto pids = [&] {
    std::vector<std::uint32_t> all;
    for (const Task* row : view.arrange(snapshot)) all.push_back(row->identity.pid);
    return all;
  };
  EXPECT_THAT(pids(), ElementsAre(2, 1, 3));
  (void)view.press({Key::kText, "5"});
  EXPECT_THAT(pids(), ElementsAre(1, 3));
  EXPECT_FALSE(view.press({Key::kText, "q"}));
}

TEST(KeystatRate, IsTheGrowthOfTheCounterOverTheLastMoments) {
  const std::uint64_t now = 100 * kSecond;
  ExchangeRate rate;
  EXPECT_DOUBLE_EQ(rate.per_second(now), 0.0);
  rate.look(1000, now);  // what was before the first look says nothing
  EXPECT_DOUBLE_EQ(rate.per_second(now), 0.0);
  rate.look(1050, now + 5 * kSecond);
  EXPECT_DOUBLE_EQ(rate.per_second(now + 5 * kSecond), 10.0);
  rate.look(1050, now + 15 * kSecond);  // the window has left the first look behind
  EXPECT_DOUBLE_EQ(rate.per_second(now + 15 * kSecond), 0.0);
}

TEST(KeystatRate, BeginsAnewWithANewKeyd) {
  const std::uint64_t now = 100 * kSecond;
  ExchangeRate rate;
  rate.look(1000, now);
  rate.look(3, now + kSecond);
  EXPECT_DOUBLE_EQ(rate.per_second(now + kSecond), 0.0);
  rate.look(5, now + 2 * kSecond);
  EXPECT_DOUBLE_EQ(rate.per_second(now + 2 * kSecond), 2.0);
}

}  // namespace
}  // namespace keyd::keystat
