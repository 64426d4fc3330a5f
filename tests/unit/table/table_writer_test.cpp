// The one writer: which changes of state exist, what a handle is good for, and what freeing leaves behind.
#include "core/table/table_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "tests/unit/support/table.h"

namespace keyd::table {
namespace {

using test::kOwner;
using test::record_of;
using enum TaskState;

constexpr TaskState kStates[] = {kNone, kPending, kComplete, kExpired, kRevoked, kFailed};

// Written down once more, from the drawing in docs/architecture.md.
const std::map<TaskState, std::set<TaskState>> kDrawing{
    {kNone, {kPending}},
    {kPending, {kComplete, kFailed, kRevoked, kNone}},
    {kComplete, {kComplete, kExpired, kRevoked, kNone}},
    {kExpired, {kNone}},
    {kRevoked, {kNone}},
    {kFailed, {kNone}},
};

TEST(Transitions, AreExactlyThoseOfTheDrawing) {
  for (const TaskState from : kStates) {
    for (const TaskState to : kStates) {
      EXPECT_EQ(is_legal(from, to), kDrawing.at(from).contains(to))
          << static_cast<int>(from) << " to " << static_cast<int>(to);
    }
  }
}

TEST(Transitions, DoNotExistForStatesThatDoNot) {
  for (unsigned strange = 6; strange < 256; ++strange) {
    for (const TaskState known : kStates) {
      EXPECT_FALSE(is_legal(static_cast<TaskState>(strange), known)) << strange;
      EXPECT_FALSE(is_legal(known, static_cast<TaskState>(strange))) << strange;
    }
  }
}

// Brings a fresh record to `state` by legal steps alone.
TaskHandle bound_in(TableWriter& writer, TaskState state) {
  const TaskHandle handle = writer.bind(record_of(1, 1), kOwner).value();
  const auto step = [&](TaskState from, TaskState to) {
    EXPECT_TRUE(writer.transition(handle, from, to, 0, Reason::kExchange));
  };
  if (state == kComplete || state == kExpired) step(kPending, kComplete);
  if (state == kExpired) step(kComplete, kExpired);
  if (state == kRevoked || state == kFailed) step(kPending, state);
  return handle;
}

TEST(TableWriter, MakesEveryLegalTransitionAndRefusesEveryOther) {
  for (const TaskState current : kStates) {
    if (current == kNone) continue;
    for (const TaskState from : kStates) {
      for (const TaskState to : kStates) {
        test::Table table;
        const TaskHandle handle = bound_in(table.writer(), current);
        const bool expected = from == current && to != kNone && kDrawing.at(from).contains(to);
        EXPECT_EQ(table.writer().transition(handle, from, to, kChangeDue, Reason::kAdministrator), expected)
            << static_cast<int>(current) << ": " << static_cast<int>(from) << " to " << static_cast<int>(to);
        const StateWord after = table.writer().state(handle).value();
        EXPECT_EQ(after.state, expected ? to : current);
        EXPECT_EQ(after.flags, expected ? kChangeDue : 0);
        EXPECT_EQ(table.writer().record(handle)->reason,
                  expected ? Reason::kAdministrator : Reason::kExchange);
      }
    }
  }
}

TEST(TableWriter, NeverBringsARecordThatHasEndedBackToLife) {
  for (const TaskState current : {kExpired, kRevoked, kFailed}) {
    test::Table table;
    const TaskHandle handle = bound_in(table.writer(), current);
    for (const TaskState from : kStates) {
      for (const TaskState to : kStates) {
        EXPECT_FALSE(table.writer().transition(handle, from, to, 0, Reason::kExchange));
      }
    }
    EXPECT_EQ(table.writer().state(handle)->state, current);
  }
}

// Memory in which something else happens to a record just before a change is made.
class MovingMemory final : public TableMemory {
 public:
  explicit MovingMemory(std::uint32_t capacity)
      : memory_(SealedMemfd::create(table_size(capacity)).value()),
        words_(TableArrays::at(memory_->data(), capacity).slots) {}
  [[nodiscard]] const void* view() const override { return memory_->view(); }
  [[nodiscard]] std::size_t size() const override { return memory_->size(); }
  [[nodiscard]] int reader_descriptor() const override { return memory_->reader_descriptor(); }
  [[nodiscard]] bool apply(table_change& change) override {
    if (before_transition && change.kind == TABLE_CHANGE_TRANSITION)
      std::exchange(before_transition, nullptr)(words_[change.slot].word);
    return memory_->apply(change);
  }
  std::function<void(std::atomic<std::uint64_t>&)> before_transition;

 private:
  std::unique_ptr<SealedMemfd> memory_;
  TaskSlot* words_;
};

void count_planned_exec(std::atomic<std::uint64_t>& word) {
  StateWord after = StateWord::unpack(word.load());
  ++after.exec_generation;
  after.flags = kExecuting;
  word = after.pack();
}

// As the hooks in the kernel do between the writer's look at the word and its change.
TEST(TableWriter, EndsARecordWhosePlannedExecComesInBetween) {
  auto memory = std::make_unique<MovingMemory>(64);
  MovingMemory& moving = *memory;
  TableWriter writer(std::move(memory), TableBell::create().value(), 64, Tier::kKernel, 4242);
  const TaskHandle handle = writer.bind(record_of(1, 2), kOwner).value();
  ASSERT_TRUE(writer.transition(handle, kPending, kComplete, 0, Reason::kExchange));
  ASSERT_TRUE(writer.plan_exec(handle, ~std::uint64_t{0}));
  moving.before_transition = count_planned_exec;
  EXPECT_TRUE(writer.transition(handle, kComplete, kRevoked, 0, Reason::kAdministrator));
  EXPECT_EQ(writer.state(handle), (StateWord{kRevoked, 0, 1, handle.generation}));
  EXPECT_EQ(writer.record(handle)->reason, Reason::kAdministrator);
}

TEST(TableWriter, DoesNotCompleteWhatHasChangedInBetween) {
  auto memory = std::make_unique<MovingMemory>(64);
  MovingMemory& moving = *memory;
  TableWriter writer(std::move(memory), TableBell::create().value(), 64, Tier::kKernel, 4242);
  const TaskHandle handle = writer.bind(record_of(1, 2), kOwner).value();
  ASSERT_TRUE(writer.transition(handle, kPending, kComplete, 0, Reason::kExchange));
  moving.before_transition = count_planned_exec;
  TaskRecord renewed = writer.record(handle).value();
  renewed.expires = 77;
  EXPECT_FALSE(writer.complete(handle, kComplete, renewed));
  EXPECT_EQ(writer.state(handle), (StateWord{kComplete, kExecuting, 1, handle.generation}));
}

TEST(TableWriter, CompletesWithWhatTheRecordSays) {
  test::Table table;
  TableWriter& writer = table.writer();
  const TaskHandle handle = writer.bind(record_of(1, 2), kOwner).value();
  TaskRecord record = writer.record(handle).value();
  record.expires = 77;
  EXPECT_FALSE(writer.complete(handle, kComplete, record));  // it is PENDING
  record.inode = 3;
  EXPECT_FALSE(writer.complete(handle, kPending, record));  // another process
  EXPECT_EQ(writer.state(handle)->state, kPending);
  record.inode = 1;
  EXPECT_TRUE(writer.complete(handle, kPending, record));
  EXPECT_EQ(writer.state(handle)->state, kComplete);
  EXPECT_EQ(writer.record(handle)->expires, 77u);
}

TEST(TableWriter, CountsAChangeOnlyWhenThereWasOne) {
  test::Table table;
  const TaskHandle handle = bound_in(table.writer(), kPending);
  const auto changes = [&] { return table.arrays().header->changes.load(); };
  const std::uint64_t before = changes();
  EXPECT_FALSE(table.writer().transition(handle, kComplete, kRevoked, 0, Reason::kExec));
  EXPECT_FALSE(table.writer().set_flags(handle, kComplete, kChangeDue));
  EXPECT_EQ(changes(), before);
  EXPECT_TRUE(table.writer().set_flags(handle, kPending, kReauthenticating));
  EXPECT_TRUE(table.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange));
  EXPECT_EQ(changes(), before + 2);
  EXPECT_TRUE(table.writer().update(handle, record_of(1, 1)));  // counters only: nobody is woken
  EXPECT_EQ(changes(), before + 2);
  EXPECT_TRUE(table.writer().free(handle));
  EXPECT_EQ(changes(), before + 3);
}

TEST(TableWriter, BindsARecordAsPending) {
  test::Table table;
  const TaskHandle handle = table.writer().bind(record_of(77, 88), kOwner).value();
  EXPECT_EQ(table.writer().state(handle)->state, kPending);
  EXPECT_EQ(table.writer().record(handle)->inode, 77u);
  EXPECT_EQ(table.writer().record(handle)->pid, 88u);
  EXPECT_EQ(table.writer().used(), 1u);
}

TEST(TableWriter, RefusesASecondRecordOfOneProcess) {
  test::Table table;
  ASSERT_TRUE(table.writer().bind(record_of(77, 88), kOwner));
  const auto second = table.writer().bind(record_of(77, 99), kOwner);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kRefused);
  EXPECT_EQ(table.writer().used(), 1u);
}

TEST(TableWriter, RefusesARecordOfNoProcess) {
  test::Table table;
  EXPECT_FALSE(table.writer().bind(record_of(0, 1), kOwner));
  EXPECT_EQ(table.writer().used(), 0u);
}

TEST(TableWriter, TakesANewRecordWhereOneWasFreed) {
  test::Table table(kBucketWidth);
  std::vector<TaskHandle> handles;
  for (std::uint32_t i = 1; i <= kBucketWidth; ++i)
    handles.push_back(table.writer().bind(record_of(i, i), i % 2).value());
  EXPECT_FALSE(table.writer().bind(record_of(1000, 1000), 2));
  ASSERT_TRUE(table.writer().free(handles[5]));
  EXPECT_TRUE(table.writer().bind(record_of(1000, 1000), 2));
}

TEST(TableWriter, LeavesNothingBehindWhenItFrees) {
  for (const TaskState state : {kPending, kComplete, kExpired, kRevoked, kFailed}) {
    test::Table table;
    const TaskHandle handle = bound_in(table.writer(), state);
    ASSERT_TRUE(table.writer().free(handle));
    const TableArrays arrays = table.arrays();
    for (std::size_t i = 0; i < table.writer().capacity(); ++i) {
      EXPECT_EQ(arrays.inode_index[i].load(), 0u);
      EXPECT_EQ(arrays.pid_index[i].load(), 0u);
      EXPECT_EQ(StateWord::unpack(arrays.slots[i].word.load()).state, kNone);
      for (const auto& word : arrays.slots[i].record) EXPECT_EQ(word.load(), 0u);
    }
    EXPECT_EQ(table.writer().used(), 0u);
  }
}

TEST(TableWriter, RefusesEverythingOnAHandleThatWasFreed) {
  test::Table table;
  const TaskHandle handle = bound_in(table.writer(), kPending);
  ASSERT_TRUE(table.writer().free(handle));
  const Bytes before(table.octets().begin(), table.octets().end());
  EXPECT_FALSE(table.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange));
  EXPECT_FALSE(table.writer().transition(handle, kNone, kPending, 0, Reason::kExchange));
  EXPECT_FALSE(table.writer().set_flags(handle, kPending, 1));
  EXPECT_FALSE(table.writer().update(handle, record_of(1, 1)));
  EXPECT_FALSE(table.writer().free(handle));
  EXPECT_FALSE(table.writer().state(handle));
  EXPECT_FALSE(table.writer().record(handle));
  EXPECT_TRUE(std::ranges::equal(table.octets(), before));
}

TEST(TableWriter, NeverHitsALaterBindingThroughAnOldHandle) {
  test::Table table(kBucketWidth);
  const TaskHandle old = table.writer().bind(record_of(1, 1), kOwner).value();
  ASSERT_TRUE(table.writer().free(old));
  const TaskHandle later = table.writer().bind(record_of(2, 2), kOwner).value();
  ASSERT_EQ(later.slot, old.slot);
  EXPECT_NE(later.generation, old.generation);
  EXPECT_FALSE(table.writer().transition(old, kPending, kComplete, 0, Reason::kExchange));
  EXPECT_FALSE(table.writer().update(old, record_of(2, 2)));
  EXPECT_FALSE(table.writer().free(old));
  EXPECT_EQ(table.writer().state(later)->state, kPending);
}

TEST(TableWriter, RefusesAHandleOutsideTheTable) {
  test::Table table(kBucketWidth);
  for (const std::uint32_t slot : {std::uint32_t{kBucketWidth}, 0xffffffffu}) {
    EXPECT_FALSE(table.writer().free({slot, 0}));
    EXPECT_FALSE(table.writer().state({slot, 0}));
  }
}

TEST(TableWriter, UpdatesARecordButNotWhoItIsOf) {
  test::Table table;
  const TaskHandle handle = table.writer().bind(record_of(10, 20), kOwner).value();
  TaskRecord record = record_of(10, 20);
  record.epoch = 3;
  EXPECT_TRUE(table.writer().update(handle, record));
  EXPECT_EQ(table.writer().record(handle)->epoch, 3u);
  EXPECT_FALSE(table.writer().update(handle, record_of(11, 20)));
  EXPECT_EQ(table.writer().record(handle)->inode, 10u);
}

TEST(TableWriter, DoesNotTakeAnotherPidIntoARecord) {
  // free() finds the pid's index entry by the record: with another pid in it the entry would stay for ever.
  test::Table table;
  const TaskHandle handle = table.writer().bind(record_of(10, 20), kOwner).value();
  EXPECT_FALSE(table.writer().update(handle, record_of(10, 21)));
  ASSERT_TRUE(table.writer().free(handle));
  for (std::size_t i = 0; i < table.writer().capacity(); ++i)
    EXPECT_EQ(table.arrays().pid_index[i].load(), 0u);
}

TEST(TableWriter, SaysWhoItIsInTheHeader) {
  test::Table table(64, Tier::kPidfd);
  const TableHeader& header = *table.arrays().header;
  EXPECT_EQ(header.magic, kMagic);
  EXPECT_EQ(header.version, kLayoutVersion);
  EXPECT_EQ(header.keyd_inode, 4242u);
  EXPECT_EQ(header.keyd_pid, static_cast<std::uint32_t>(::getpid()));
  EXPECT_EQ(header.tier, Tier::kPidfd);
  EXPECT_EQ(header.strength.credentials, Revocation::kOnContact);
}

TEST(TableWriterDeathTest, AbortsOnACapacityThatIsNoTable) {
  EXPECT_DEATH(test::Table(kBucketWidth / 2), "");
  EXPECT_DEATH(test::Table(48), "");
}

TEST(TableWriterDeathTest, AbortsOnMemoryThatIsTooSmall) {
  EXPECT_DEATH(
      {
        auto memory = SealedMemfd::create(table_size(32) - 1);
        const TableWriter writer(std::move(*memory), TableBell::create().value(), 32, Tier::kWatch, 1);
      },
      "");
}

}  // namespace
}  // namespace keyd::table
