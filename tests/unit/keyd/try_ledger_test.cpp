#include "keyd/try_ledger.h"

#include <gtest/gtest.h>

namespace keyd::daemon {
namespace {

constexpr TrySource kHome = 1000, kStranger = 2000;
constexpr BootTime kStart = 5000 * kSecond;

class TryLedgerTest : public ::testing::Test {
 protected:
  // Fails `times` times, each as soon as it is let. The time after that.
  BootTime fail(TrySource source, const std::string& user, int times, BootTime now = kStart) {
    for (int i = 0; i < times; ++i) {
      now += ledger_.wait_before(source, user, now);
      note(ledger_.failed(source, user, now));
    }
    return now;
  }
  // The store's part.
  void note(const std::vector<TryCount>& counts) {
    for (const TryCount& count : counts) {
      std::erase_if(
          stored_, [&](const TryCount& old) { return old.source == count.source && old.user == count.user; });
      if (count.failures != 0 || count.familiar) stored_.push_back(count);
    }
  }
  TryLedger ledger_{{.free = 5, .per_source = 100, .per_user = 200, .longest = 900 * kSecond}, {}, kStart};
  std::vector<TryCount> stored_;
};

TEST_F(TryLedgerTest, LetsAFewFailuresPassAndThenDoublesTheWait) {
  BootTime now = fail(kHome, "alice", 4);
  EXPECT_EQ(ledger_.wait_before(kHome, "alice", now), 0u);
  for (const std::uint64_t seconds :
       std::initializer_list<std::uint64_t>{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900}) {
    note(ledger_.failed(kHome, "alice", now));
    EXPECT_EQ(ledger_.wait_before(kHome, "alice", now), seconds * kSecond);
    EXPECT_EQ(ledger_.wait_before(kHome, "alice", now + seconds * kSecond - 1), 1u);
    now += seconds * kSecond;
    EXPECT_EQ(ledger_.wait_before(kHome, "alice", now), 0u);
  }
}

TEST_F(TryLedgerTest, CountsPairsApart) {
  fail(kStranger, "alice", 9);
  EXPECT_NE(ledger_.wait_before(kStranger, "alice", kStart), 0u);
  EXPECT_EQ(ledger_.wait_before(kHome, "alice", kStart), 0u);
  EXPECT_EQ(ledger_.wait_before(kStranger, "bob", kStart), 0u);
}

TEST_F(TryLedgerTest, ClearsThePairWithASuccess) {
  const BootTime now = fail(kHome, "alice", 8);
  note(ledger_.succeeded(kHome, "alice", now));
  EXPECT_EQ(ledger_.wait_before(kHome, "alice", now), 0u);
  EXPECT_TRUE(ledger_.succeeded(kHome, "alice", now).empty()) << "a usual success needs no write";
}

TEST_F(TryLedgerTest, DoesNotLetASuccessElsewhereClearWhatASourceHasFailed) {
  // Somebody with an account of his own tries others' names.
  BootTime now = kStart;
  for (int i = 0; i < 100; ++i) note(ledger_.failed(kStranger, "user" + std::to_string(i), now));
  note(ledger_.succeeded(kStranger, "mallory", now));
  EXPECT_NE(ledger_.wait_before(kStranger, "somebody-else", now), 0u);
}

TEST_F(TryLedgerTest, StrangersCannotKeepTheUserOutWhereTheUserIsAtHome) {
  note(ledger_.succeeded(kHome, "alice", kStart));
  BootTime now = kStart;
  for (TrySource source = 5000; source < 5100; ++source) now = fail(source, "alice", 5, now);
  EXPECT_EQ(ledger_.wait_before(kHome, "alice", now), 0u);
  // Elsewhere it takes a moment, never more than half a minute.
  EXPECT_GT(ledger_.wait_before(777, "alice", now), 0u);
  EXPECT_LE(ledger_.wait_before(777, "alice", now), TryLedger::kLongestForUser);
}

TEST_F(TryLedgerTest, TreatsNamesThatNobodyHasAlike) {
  const BootTime a = fail(kHome, "alice", 12), b = fail(kHome, "no-such-user", 12);
  EXPECT_EQ(a, b);
}

TEST_F(TryLedgerTest, KeepsItsCountsOverARestartAndShortensNoWait) {
  const BootTime now = fail(kHome, "alice", 10);  // waits 32 s
  note(ledger_.succeeded(kHome, "bob", now));
  TryLedger again({}, stored_, now + 31 * kSecond);
  EXPECT_EQ(again.wait_before(kHome, "alice", now + 31 * kSecond), 32 * kSecond);
  EXPECT_TRUE(again.succeeded(kHome, "bob", now).empty()) << "familiarity was lost";
  // The boot clock starts anew with the machine.
  TryLedger rebooted({}, stored_, 3 * kSecond);
  EXPECT_EQ(rebooted.wait_before(kHome, "alice", 3 * kSecond), 32 * kSecond);
}

TEST_F(TryLedgerTest, HalvesEveryCountEachHour) {
  const BootTime now = fail(kHome, "alice", 12);
  EXPECT_NE(ledger_.wait_before(kHome, "alice", now), 0u);
  const BootTime later = kStart + 2 * TryLedger::kHalfLife + 600 * kSecond;
  EXPECT_EQ(ledger_.standing("alice", later).failures, 3u);
  EXPECT_EQ(ledger_.wait_before(kHome, "alice", later), 0u);
}

TEST_F(TryLedgerTest, SweepsWhatHasFadedOutOfMemoryAndStore) {
  fail(kHome, "alice", 3);
  note(ledger_.succeeded(kHome, "bob", kStart));
  EXPECT_EQ(stored_.size(), 4u);
  note(ledger_.sweep(kStart + 10 * TryLedger::kHalfLife));
  ASSERT_EQ(stored_.size(), 1u);
  EXPECT_TRUE(stored_[0].familiar);
}

TEST_F(TryLedgerTest, IsUnlockedByTheAdministratorForThatUserAlone) {
  note(ledger_.succeeded(kHome, "alice", kStart));
  BootTime now = std::max(fail(kHome, "alice", 9), fail(kStranger, "bob", 9));
  ledger_.unlock("alice");
  EXPECT_EQ(ledger_.wait_before(kHome, "alice", now), 0u);
  EXPECT_EQ(ledger_.standing("alice", now).failures, 0u);
  EXPECT_TRUE(ledger_.succeeded(kHome, "alice", now).empty()) << "still at home there";
  EXPECT_NE(ledger_.wait_before(kStranger, "bob", now), 0u);
  EXPECT_EQ(ledger_.standing("bob", now).waiting, 1u);
}

TEST_F(TryLedgerTest, ForgetsARemovedUser) {
  note(ledger_.succeeded(kHome, "alice", kStart));
  ledger_.remove("alice");
  EXPECT_FALSE(ledger_.succeeded(kHome, "alice", kStart).empty()) << "the next alice is somebody else";
}

TEST_F(TryLedgerTest, ToldOnceForEachWait) {
  const BootTime now = fail(kHome, "alice", 6);
  EXPECT_TRUE(ledger_.first_refusal(kHome, "alice"));
  EXPECT_FALSE(ledger_.first_refusal(kHome, "alice"));
  fail(kHome, "alice", 1, now);
  EXPECT_TRUE(ledger_.first_refusal(kHome, "alice"));
}

TEST_F(TryLedgerTest, GivesNobodyMoreGuessesWhoFillsItsPairsWithOtherNames) {
  for (std::uint32_t i = 0; i < TryLedger::kPairsPerSource; ++i)
    note(ledger_.failed(kStranger, "filler" + std::to_string(i), kStart));
  const BootTime later = kStart + TryLedger::kLongestForSource;
  note(ledger_.failed(kStranger, "alice", later));
  for (int i = 1; i < 12; ++i) note(ledger_.failed(kStranger, "alice", later));
  EXPECT_GE(ledger_.wait_before(kStranger, "alice", later), 128 * kSecond);
  EXPECT_GE(ledger_.wait_before(kStranger, "bob", later), 128 * kSecond) << "one more name, the same count";
}

TEST_F(TryLedgerTest, KeepsPairsForASourceWhereManyUsersAreAtHome) {
  for (int i = 0; i < 1000; ++i) note(ledger_.succeeded(kHome, "user" + std::to_string(i), kStart));
  fail(kHome, "alice", 9);
  EXPECT_EQ(ledger_.wait_before(kHome, "bob", kStart), 0u) << "bob shares alice's count";
}

TEST_F(TryLedgerTest, ForgetsWhereUsersAreAtHomeLast) {
  note(ledger_.succeeded(kHome, "alice", kStart));
  std::vector<TryCount> all = stored_;
  for (TrySource source = 5000; all.size() < TryLedger::kMaxCounts; ++source)
    all.push_back({source, "a", 1, false});
  TryLedger full({}, all, kStart);
  (void)full.failed(1u << 30, "b", kStart + 1);
  EXPECT_TRUE(full.succeeded(kHome, "alice", kStart + 1).empty());
}

TEST_F(TryLedgerTest, BoundsWhatOneSourceAndAllTogetherMakeItHold) {
  for (int i = 0; i < 2000; ++i) note(ledger_.failed(kStranger, "name" + std::to_string(i), kStart));
  std::size_t pairs = 0;
  for (const TryCount& count : stored_) pairs += count.source == kStranger && !count.user.empty();
  EXPECT_EQ(pairs, TryLedger::kPairsPerSource + 1);  // the last for all further names

  std::vector<TryCount> all;
  for (TrySource source = 0; source < TryLedger::kMaxCounts; ++source) all.push_back({source, "a", 1, false});
  TryLedger full({}, all, kStart);
  const auto rows = full.failed(1u << 30, "b", kStart + 1);
  std::size_t removed = 0;
  for (const TryCount& row : rows) removed += row.failures == 0;
  EXPECT_EQ(removed, TryLedger::kMaxCounts / 16);
  EXPECT_EQ(rows.size(), removed + 3);
}

}  // namespace
}  // namespace keyd::daemon
