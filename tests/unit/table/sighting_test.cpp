// Looking again at a record that was found before: what still counts, and everything that must not.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/table/table_reader.h"
#include "tests/unit/support/table.h"

namespace keyd::table {
namespace {

using test::kOwner;
using test::record_of;
using enum TaskState;

class Sighted : public ::testing::Test {
 protected:
  // A COMPLETE record of (1, 2) that ends at `expires`, and what was seen of it.
  void complete(BootTime expires = ~BootTime{0}) {
    TaskRecord record = record_of(1, 2);
    record.expires = expires;
    handle_ = table_.writer().bind(record, kOwner).value();
    ASSERT_TRUE(table_.writer().transition(handle_, kPending, kComplete, 0, Reason::kExchange));
    TaskView view;
    ASSERT_EQ(reader_.find_by_inode(1, view, seen_), LookupOutcome::kFound);
  }
  void expect(Standing standing) {
    EXPECT_EQ(reader_.glance(seen_), standing);
    EXPECT_EQ(reader_.look_again(seen_), standing);
  }
  std::atomic<std::uint64_t>& word() { return table_.arrays().slots[handle_.slot].word; }
  void set_flag(std::uint8_t flag) { word().fetch_or(std::uint64_t{flag} << 8); }

  test::Table table_;
  TableReader reader_ = table_.reader();
  TaskHandle handle_;
  Sighting seen_;
};

TEST_F(Sighted, StandsAsLongAsNothingHappens) {
  complete();
  expect(Standing::kStands);
  table_.writer().heartbeat();
  TaskRecord counted = *table_.writer().record(handle_);
  counted.records = 7;
  ASSERT_TRUE(table_.writer().update(handle_, counted));
  expect(Standing::kStands);
}

TEST_F(Sighted, StandsWhileTheSessionIsRenewedOrAnExecIsPlanned) {
  complete();
  for (const std::uint8_t flags : {kReauthenticating, kChangeDue, kPlannedExec}) {
    ASSERT_TRUE(table_.writer().set_flags(handle_, kComplete, flags));
    expect(Standing::kStands);
  }
  ASSERT_TRUE(table_.writer().transition(handle_, kComplete, kComplete, 0, Reason::kExchange));
  expect(Standing::kStands);
}

TEST_F(Sighted, WasMadeWhileAnExecWasPlannedAndStandsWhenThePlanIsGivenUp) {
  complete();
  ASSERT_TRUE(table_.writer().plan_exec(handle_, boot_now() + kSecond));
  TaskView view;
  ASSERT_EQ(reader_.find_by_inode(1, view, seen_), LookupOutcome::kFound);
  expect(Standing::kStands);
  ASSERT_TRUE(table_.writer().set_flags(handle_, kComplete, 0));
  expect(Standing::kStands);
}

TEST_F(Sighted, EndsWithAPlannedExecThatHappens) {
  complete();
  ASSERT_TRUE(table_.writer().plan_exec(handle_, boot_now() + kSecond));
  set_flag(kExecuting);  // as the kernel does, past the point of no return
  expect(Standing::kEnded);
  ASSERT_TRUE(table_.writer().count_exec(handle_));
  expect(Standing::kEnded);  // COMPLETE, no flag: another program
  EXPECT_EQ(table_.writer().state(handle_)->state, kComplete);
}

TEST_F(Sighted, EndsWithEveryEndOfItsRecord) {
  for (const TaskState end : {kExpired, kRevoked}) {
    complete();
    ASSERT_TRUE(table_.writer().transition(handle_, kComplete, end, 0, Reason::kAdministrator));
    expect(end == kExpired ? Standing::kExpired : Standing::kEnded);
    table_.writer().free(handle_);
    expect(Standing::kEnded);
  }
}

TEST_F(Sighted, EndsWithEachNoteOfTheKernel) {
  for (const std::uint8_t flag : {kEndedByExec, kEndedByExit, kEndedByCredentials}) {
    complete();
    word().store(StateWord{kRevoked, flag, 0, handle_.generation}.pack());
    expect(Standing::kEnded);
    table_.writer().free(handle_);
    // And even where the state was left as it is.
    complete();
    set_flag(flag);
    expect(Standing::kEnded);
    table_.writer().free(handle_);
  }
}

TEST_F(Sighted, DoesNotTakeTheNextBindingOfItsSlotForItself) {
  complete();
  const TaskHandle first = handle_;
  const Sighting seen = seen_;
  ASSERT_TRUE(table_.writer().free(first));
  complete();  // the same process, the same user, COMPLETE again
  ASSERT_EQ(handle_.slot, first.slot);
  EXPECT_EQ(reader_.glance(seen), Standing::kEnded);
  EXPECT_EQ(reader_.look_again(seen), Standing::kEnded);
  expect(Standing::kStands);  // what was seen anew
}

TEST_F(Sighted, OfWhatWasNotCompleteNeverStands) {
  handle_ = table_.writer().bind(record_of(1, 2), kOwner).value();
  TaskView view;
  ASSERT_EQ(reader_.find_by_inode(1, view, seen_), LookupOutcome::kFound);
  expect(Standing::kEnded);
  seen_ = {};  // never made
  expect(Standing::kEnded);
  seen_ = {~std::uint32_t{0}, StateWord{kComplete, 0, 0, 1}.pack(), ~BootTime{0}};  // of another table
  expect(Standing::kEnded);
  EXPECT_EQ(reader_.expiry_of(seen_), 0u);
}

TEST_F(Sighted, IsNotCompleteBesideANoteThatItHasEnded) {
  for (const std::uint8_t flag : {kEndedByExec, kEndedByCredentials}) {
    complete();
    set_flag(flag);
    TaskView view;
    ASSERT_EQ(reader_.find_by_inode(1, view, seen_), LookupOutcome::kFound);
    EXPECT_EQ(view.word.state, kRevoked);
    expect(Standing::kEnded);
    table_.writer().free(handle_);
  }
}

TEST_F(Sighted, ExpiresByTheClockWhateverKeydHasWritten) {
  complete(boot_now() + 3 * kMillisecond);
  while (reader_.look_again(seen_) == Standing::kStands) {
  }
  EXPECT_EQ(reader_.look_again(seen_), Standing::kExpired);
  EXPECT_EQ(table_.writer().state(handle_)->state, kComplete);
  EXPECT_EQ(reader_.glance(seen_), Standing::kStands) << "which does not look at the clock for that";
}

TEST_F(Sighted, LearnsThatARenewalHasMovedTheEnd) {
  complete(boot_now());
  EXPECT_EQ(reader_.look_again(seen_), Standing::kExpired);
  TaskRecord renewed = *table_.writer().record(handle_);
  renewed.expires = boot_now() + 3600 * kSecond;
  ASSERT_TRUE(table_.writer().update(handle_, renewed));
  seen_.expires = reader_.expiry_of(seen_);
  EXPECT_EQ(seen_.expires, renewed.expires);
  expect(Standing::kStands);
  ASSERT_TRUE(table_.writer().free(handle_));
  EXPECT_EQ(reader_.expiry_of(seen_), 0u);
}

TEST_F(Sighted, CountsForNothingWhenKeydIsGone) {
  complete();
  table_.writer().heartbeat(0);
  const BootTime set = boot_now();
  while (boot_now() <= set) {
  }
  expect(Standing::kStale);
  table_.writer().heartbeat();
  expect(Standing::kStands);
  table_.writer().mark_down();
  expect(Standing::kDown);
}

TEST_F(Sighted, NeedsNoHeartbeatWhereTheKernelKeepsDown) {
  complete();
  table_.arrays().header->kernel_keeps_down = 1;
  const TableReader reader = table_.reader();
  table_.writer().heartbeat(0);
  EXPECT_TRUE(reader.kernel_keeps_down());
  EXPECT_EQ(reader.glance(seen_), Standing::kStands);
  EXPECT_EQ(reader.look_again(seen_), Standing::kStands);
  table_.arrays().header->down.store(1);
  EXPECT_EQ(reader.glance(seen_), Standing::kDown);
  EXPECT_EQ(reader.look_again(seen_), Standing::kDown);
}

TEST_F(Sighted, NeverStandsForAnotherBindingWhileTheWriterWorks) {
  // Binding after binding of one slot. Whoever holds a sighting of an earlier one is never told that it stands
  // once a later one is known to have begun.
  std::atomic<bool> stop{false};
  std::atomic<std::uint32_t> freed{0};  // the last generation that is surely over
  std::atomic<std::uint64_t> stood{0}, wrong{0};
  std::jthread writing([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      TaskRecord record = record_of(1, 2);
      const TaskHandle handle = table_.writer().bind(record, kOwner).value();
      if (!table_.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange)) std::abort();
      table_.writer().heartbeat();
      table_.writer().free(handle);
      freed.store(handle.generation, std::memory_order_release);
    }
  });
  const auto look = [&] {
    const TableReader reader = table_.reader();
    TaskView view;
    Sighting seen;
    while (!stop.load(std::memory_order_relaxed)) {
      if (reader.find_by_inode(1, view, seen) != LookupOutcome::kFound || view.word.state != kComplete)
        continue;
      for (int i = 0; i < 8; ++i) {
        const std::uint32_t over = freed.load(std::memory_order_acquire);
        if (reader.glance(seen) != Standing::kStands) break;
        ++stood;
        if (StateWord::unpack(seen.word).generation <= over) ++wrong;
      }
    }
  };
  {
    std::jthread one(look), two(look);
    std::this_thread::sleep_for(std::chrono::seconds(1));
    stop = true;
  }
  writing.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(stood, 100u);
}

}  // namespace
}  // namespace keyd::table
