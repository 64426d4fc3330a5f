// People and JSON see words: no two things may have the same one, and a number from outside has one too.
#include "core/table/task_terms.h"

#include <gmock/gmock.h>

#include <set>

namespace keyd::table {
namespace {

template <typename Enum>
void all_named_differently(unsigned count) {
  std::set<std::string_view> seen;
  for (unsigned i = 0; i < count; ++i) {
    const std::string_view name = name_of(static_cast<Enum>(i));
    EXPECT_FALSE(name.empty());
    EXPECT_TRUE(seen.insert(name).second) << name << " names two";
  }
  // What a hostile or newer table may hold.
  for (unsigned i = count; i < 256; ++i) EXPECT_FALSE(seen.contains(name_of(static_cast<Enum>(i)))) << i;
}

TEST(Terms, AreAllDifferent) {
  all_named_differently<TaskState>(6);
  all_named_differently<Reason>(13);
  all_named_differently<Scheme>(4);
  all_named_differently<Suite>(3);
  all_named_differently<Tier>(5);
  all_named_differently<Revocation>(4);
}

TEST(Terms, AreTheOnesInTheDocuments) {
  EXPECT_EQ(name_of(TaskState::kPending), "PENDING");
  EXPECT_EQ(name_of(TaskState::kComplete), "COMPLETE");
  EXPECT_EQ(name_of(Reason::kWrongProof), "wrong-proof");
  EXPECT_EQ(name_of(Scheme::kChallenge), "challenge");
  EXPECT_EQ(name_of(Tier::kWatch), "watch");
}

TEST(Flags, AreNamedInFixedOrder) {
  using testing::ElementsAre;
  EXPECT_THAT(names_of_flags(0), testing::IsEmpty());
  EXPECT_THAT(names_of_flags(kPlannedExec | kChangeDue), ElementsAre("CHANGE_DUE", "PLANNED_EXEC"));
  EXPECT_THAT(names_of_flags(255), ElementsAre("CHANGE_DUE", "REAUTHENTICATING", "PLANNED_EXEC"));
}

TEST(Strength, IsNeverClaimedSynchronousByATierThatWatches) {
  for (const Tier tier : {Tier::kNone, Tier::kPidfd, Tier::kWatch}) {
    const Strength strength = strength_of(tier);
    for (const Revocation each : {strength.exec, strength.exit, strength.credentials}) {
      EXPECT_LT(each, Revocation::kSynchronous) << name_of(tier);
    }
  }
}

TEST(Strength, GrowsWithTheTier) {
  const Strength pidfd = strength_of(Tier::kPidfd), watch = strength_of(Tier::kWatch);
  EXPECT_GE(watch.exec, pidfd.exec);
  EXPECT_GE(watch.exit, pidfd.exit);
  EXPECT_GT(watch.credentials, pidfd.credentials);
}

TEST(Strength, IsNothingWhereNothingWatches) {
  EXPECT_EQ(strength_of(Tier::kNone).exec, Revocation::kNever);
  EXPECT_EQ(strength_of(Tier::kNone).exit, Revocation::kNever);
}

}  // namespace
}  // namespace keyd::table
