#include "tools/keystat/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/clock.h"

namespace keyd::keystat {
namespace {

using testing::EndsWith;

Task complete_task(std::uint64_t since, std::uint64_t expires) {
  Task made{};
  made.identity.pid = 1;
  made.identity.state = KEYCLIENT_STATE_COMPLETE;
  made.identity.pending_since = since;
  made.identity.complete_since = since;
  made.identity.expires = expires;
  made.command = "sh";
  made.named = true;
  return made;
}

TEST(KeystatRender, GivesARecordThatHasExpiredSinceTheSnapshotNoTime) {
  const std::uint64_t now = 100 * kSecond;
  EXPECT_EQ(end_of(complete_task(now - kSecond, now - 1), now), "0s");
  EXPECT_EQ(end_of(complete_task(now - kSecond, now), now), "0s");
  EXPECT_EQ(end_of(complete_task(now - kSecond, now + 120 * kSecond), now), "2m");

  Snapshot snapshot{};
  snapshot.tasks = {complete_task(1, boot_now() - 1)};
  EXPECT_THAT(as_pretty(snapshot, false), EndsWith("      0s  sh\n"));
}

TEST(KeystatRender, CountsTheAgeFromTheProofElseFromTheBeginning) {
  const std::uint64_t now = 100 * kSecond;
  Task task = complete_task(now - 60 * kSecond, now + kSecond);
  task.identity.complete_since = now - 5 * kSecond;
  EXPECT_EQ(age_of(task, now), "5s");
  task.identity.complete_since = 0;
  task.identity.state = KEYCLIENT_STATE_PENDING;
  EXPECT_EQ(age_of(task, now), "1m");
  EXPECT_EQ(end_of(task, now), "-");
  task.identity.pending_since = now + 1;  // begun after the look at the clock
  EXPECT_EQ(age_of(task, now), "0s");
}

}  // namespace
}  // namespace keyd::keystat
