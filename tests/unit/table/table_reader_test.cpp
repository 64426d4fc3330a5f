// The reader next to a writer that runs, stops, dies in the middle of a word, or is not keyd at all.
#include "core/table/table_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "core/kernel/memfd.h"
#include "tests/unit/support/child.h"
#include "tests/unit/support/table.h"

namespace keyd::table {
namespace {

using test::kOwner;
using test::record_of;
using enum TaskState;

// ---- looking up

TEST(TableReader, FindsARecordByInodeAndByPid) {
  test::Table table;
  const TableReader reader = table.reader();
  ASSERT_TRUE(table.writer().bind(record_of(1000, 2000), kOwner));
  TaskView by_inode, by_pid;
  ASSERT_EQ(reader.find_by_inode(1000, by_inode), LookupOutcome::kFound);
  ASSERT_EQ(reader.find_by_pid(2000, by_pid), LookupOutcome::kFound);
  EXPECT_EQ(by_inode.record.pid, 2000u);
  EXPECT_EQ(by_pid.record.inode, 1000u);
  EXPECT_EQ(by_pid.word.state, kPending);
  EXPECT_EQ(by_pid.record.user[0], 'a');
}

TEST(TableReader, FindsEveryRecordOfAFullBucketAndNoOther) {
  test::Table table(kBucketWidth);
  const TableReader reader = table.reader();
  for (std::uint32_t i = 1; i <= kBucketWidth; ++i)
    ASSERT_TRUE(table.writer().bind(record_of(i, 100 + i), i % 2));
  TaskView view;
  for (std::uint32_t i = 1; i <= kBucketWidth; ++i) {
    ASSERT_EQ(reader.find_by_inode(i, view), LookupOutcome::kFound);
    EXPECT_EQ(view.record.pid, 100 + i);
    ASSERT_EQ(reader.find_by_pid(100 + i, view), LookupOutcome::kFound);
    EXPECT_EQ(view.record.inode, i);
  }
  EXPECT_EQ(reader.find_by_inode(kBucketWidth + 1, view), LookupOutcome::kAbsent);
  EXPECT_EQ(reader.find_by_pid(99, view), LookupOutcome::kAbsent);
}

TEST(TableReader, SaysAbsentForNoProcess) {
  test::Table table;
  const TableReader reader = table.reader();
  TaskView view;
  EXPECT_EQ(reader.find_by_inode(0, view), LookupOutcome::kAbsent);
  EXPECT_EQ(reader.find_by_pid(0, view), LookupOutcome::kAbsent);
}

TEST(TableReader, SaysAbsentOnceARecordIsFreed) {
  test::Table table;
  const TableReader reader = table.reader();
  const TaskHandle handle = table.writer().bind(record_of(1, 2), kOwner).value();
  ASSERT_TRUE(table.writer().free(handle));
  TaskView view;
  EXPECT_EQ(reader.find_by_inode(1, view), LookupOutcome::kAbsent);
  EXPECT_EQ(reader.find_by_pid(2, view), LookupOutcome::kAbsent);
}

TEST(TableReader, SeesEachChangeOfState) {
  test::Table table;
  const TableReader reader = table.reader();
  const TaskHandle handle = table.writer().bind(record_of(1, 2), kOwner).value();
  TaskView view;
  ASSERT_TRUE(table.writer().transition(handle, kPending, kComplete, kChangeDue, Reason::kExchange));
  ASSERT_EQ(reader.find_by_inode(1, view), LookupOutcome::kFound);
  EXPECT_EQ(view.word.state, kComplete);
  EXPECT_EQ(view.word.flags, kChangeDue);
  ASSERT_TRUE(table.writer().transition(handle, kComplete, kRevoked, 0, Reason::kExec));
  ASSERT_EQ(reader.find_by_inode(1, view), LookupOutcome::kFound);
  EXPECT_EQ(view.word.state, kRevoked);
  EXPECT_EQ(view.record.reason, Reason::kExec);
}

TEST(TableReader, FindsTheNewProcessWhenAPidCameAgain) {
  // The old process has exited, its record is still there; the kernel gave its number to another one.
  test::Table table;
  const TableReader reader = table.reader();
  const TaskHandle old = table.writer().bind(record_of(1, 500), kOwner).value();
  ASSERT_TRUE(table.writer().transition(old, kPending, kComplete, 0, Reason::kExchange));
  ASSERT_TRUE(table.writer().transition(old, kComplete, kRevoked, 0, Reason::kEnded));
  ASSERT_TRUE(table.writer().bind(record_of(2, 500), kOwner));
  ASSERT_TRUE(table.writer().free(old));
  TaskView view;
  ASSERT_EQ(reader.find_by_pid(500, view), LookupOutcome::kFound);
  EXPECT_EQ(view.record.inode, 2u);
}

TEST(TableReader, VisitsEveryRecordOnce) {
  test::Table table;
  const TableReader reader = table.reader();
  for (std::uint32_t i = 1; i <= 20; ++i) ASSERT_TRUE(table.writer().bind(record_of(i, i), kOwner));
  std::set<std::uint64_t> visited;
  reader.for_each([&](const TaskView& view) { EXPECT_TRUE(visited.insert(view.record.inode).second); });
  EXPECT_EQ(visited.size(), 20u);
}

TEST(TableReader, ReadsOnAfterTheDescriptorIsClosed) {
  test::Table table;
  UniqueFd copy(::dup(table.writer().reader_descriptor()));
  auto reader = TableReader::map(copy.get(), table.writer().size());
  ASSERT_TRUE(reader);
  copy.reset();
  ASSERT_TRUE(table.writer().bind(record_of(1, 2), kOwner));
  TaskView view;
  EXPECT_EQ(reader->find_by_inode(1, view), LookupOutcome::kFound);
}

TEST(TableReader, AnswersInAnotherProcessByTheSharedMemoryAlone) {
  test::Table table;
  const TaskHandle handle = table.writer().bind(record_of(1, 2), kOwner).value();
  ASSERT_TRUE(table.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange));
  test::Child child([&] {
    TaskView view;
    const TableReader reader = table.reader();
    return reader.find_by_pid(2, view) == LookupOutcome::kFound && view.word.state == kComplete ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(TableReader, RefusesPidsInAnotherPidNamespace) {
  test::Table table;
  table.arrays().header->pid_namespace += 1;
  const TableReader reader = table.reader();
  ASSERT_TRUE(table.writer().bind(record_of(1, 2), kOwner));
  TaskView view;
  EXPECT_EQ(reader.find_by_pid(2, view), LookupOutcome::kOtherNamespace);
  EXPECT_EQ(reader.find_by_pid(3, view), LookupOutcome::kOtherNamespace);
  EXPECT_EQ(reader.find_by_inode(1, view), LookupOutcome::kFound);
}

// ---- time

TEST(TableReader, SeesAnExpiryByItsOwnClock) {
  test::Table table;
  const TableReader reader = table.reader();
  TaskRecord record = record_of(1, 2);
  record.expires = boot_now() - 1;  // over; nobody has told the writer to do anything
  const TaskHandle handle = table.writer().bind(record, kOwner).value();
  TaskView view;
  ASSERT_TRUE(table.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange));
  ASSERT_EQ(reader.find_by_inode(1, view), LookupOutcome::kFound);
  EXPECT_EQ(view.word.state, kExpired);
  EXPECT_EQ(view.record.reason, Reason::kLifetime);
  EXPECT_EQ(table.writer().state(handle)->state, kComplete);  // in the table itself
}

TEST(TableReader, SeesACompleteRecordThatHasNotExpired) {
  test::Table table;
  const TableReader reader = table.reader();
  TaskRecord record = record_of(1, 2);
  record.expires = boot_now() + 3600 * kSecond;
  const TaskHandle handle = table.writer().bind(record, kOwner).value();
  ASSERT_TRUE(table.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange));
  TaskView view;
  ASSERT_EQ(reader.find_by_inode(1, view), LookupOutcome::kFound);
  EXPECT_EQ(view.word.state, kComplete);
}

TEST(TableReader, TakesACompleteRecordWithoutAnExpiryForExpired) {
  // 0 means "not yet"; COMPLETE without an end must not mean "for ever".
  test::Table table;
  const TableReader reader = table.reader();
  TaskRecord record = record_of(1, 2);
  record.expires = 0;
  const TaskHandle handle = table.writer().bind(record, kOwner).value();
  ASSERT_TRUE(table.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange));
  TaskView view;
  ASSERT_EQ(reader.find_by_inode(1, view), LookupOutcome::kFound);
  EXPECT_EQ(view.word.state, kExpired);
}

void expect_nothing_counts(const TableReader& reader) {
  TaskView view;
  EXPECT_TRUE(reader.stale());
  EXPECT_EQ(reader.find_by_inode(1, view), LookupOutcome::kStale);
  EXPECT_EQ(reader.find_by_pid(2, view), LookupOutcome::kStale);
  EXPECT_EQ(reader.find_by_inode(999, view), LookupOutcome::kStale) << "absent in a dead table says nothing";
  EXPECT_EQ(reader.find_by_pid(999, view), LookupOutcome::kStale);
  reader.for_each([](const TaskView&) { ADD_FAILURE() << "visited a record of a dead table"; });
}

TEST(TableReader, TakesNothingForTrueWithoutAHeartbeat) {
  test::Table table;
  ASSERT_TRUE(table.writer().bind(record_of(1, 2), kOwner));
  const TableReader reader = table.reader();
  table.writer().heartbeat(0);
  const BootTime set = boot_now();
  while (boot_now() <= set) {
  }
  expect_nothing_counts(reader);
  table.writer().heartbeat();
  TaskView view;
  EXPECT_FALSE(reader.stale());
  EXPECT_EQ(reader.find_by_inode(1, view), LookupOutcome::kFound);
}

TEST(TableReader, TakesNothingForTrueOnceMarkedDown) {
  test::Table table;
  ASSERT_TRUE(table.writer().bind(record_of(1, 2), kOwner));
  const TableReader reader = table.reader();
  table.writer().mark_down();
  expect_nothing_counts(reader);
}

TEST(TableReader, TakesNothingForTrueBeforeTheFirstHeartbeat) {
  auto memory = SealedMemfd::create(table_size(16));
  ASSERT_TRUE(memory);
  TableWriter writer(std::move(*memory), TableBell::create().value(), 16, Tier::kWatch, 1);
  ASSERT_TRUE(writer.bind(record_of(1, 2), kOwner));
  const auto reader = TableReader::map(writer.reader_descriptor(), writer.size());
  ASSERT_TRUE(reader);
  expect_nothing_counts(*reader);
}

// ---- a writer in the middle of a record

TEST(TableReader, SaysBusyForARecordThatIsBeingWrittenAndNeverWaits) {
  test::Table table;
  const TaskHandle handle = table.writer().bind(record_of(1, 2), kOwner).value();
  const TaskHandle other = table.writer().bind(record_of(3, 4), kOwner).value();
  const TableReader reader = table.reader();
  ASSERT_NE(handle.slot, other.slot);
  table.arrays().slots[handle.slot].sequence.fetch_add(1);  // what a writer killed there leaves
  TaskView view;
  EXPECT_EQ(reader.find_by_inode(1, view), LookupOutcome::kBusy);
  EXPECT_EQ(reader.find_by_pid(2, view), LookupOutcome::kBusy);
  EXPECT_EQ(reader.find_by_inode(3, view), LookupOutcome::kFound) << "the other records are whole";
  int visited = 0;
  reader.for_each([&](const TaskView&) { ++visited; });
  EXPECT_EQ(visited, 1);
}

// Text and numbers that belong together, so that a mixture of two versions shows.
TaskRecord version_of(std::uint64_t inode, std::uint32_t pid, std::uint64_t n) {
  TaskRecord record = record_of(inode, pid);
  record.records = n;
  record.octets = ~n;
  record.pending_since = n * 3;
  record.epoch = static_cast<std::uint32_t>(n);
  record.session_id.fill(static_cast<std::uint8_t>(n));
  record.user_size = kMaxNameOctets;
  record.user.fill(static_cast<char>('a' + n % 26));
  return record;
}

bool is_one_version(const TaskRecord& record) {
  const TaskRecord expected = version_of(record.inode, record.pid, record.records);
  return record.octets == expected.octets && record.pending_since == expected.pending_since &&
         record.epoch == expected.epoch && record.session_id == expected.session_id &&
         record.user == expected.user;
}

TEST(TableReader, AnswersAfterItsWriterWasKilledAnywhere) {
  // A child that does nothing but write is killed, again and again; each time the table is read by one who
  // must not hang and must not see half a record. Often enough the writer dies inside a record.
  int busy = 0;
  for (int round = 0; round < 200; ++round) {
    test::Table table(16);
    const TaskHandle handle = table.writer().bind(version_of(1, 2, 0), kOwner).value();
    table.writer().heartbeat();
    const TableReader reader = table.reader();
    test::Child writer([&] {
      for (std::uint64_t n = 1;; ++n) (void)table.writer().update(handle, version_of(1, 2, n));
      return 0;
    });
    while (table.arrays().slots[handle.slot].sequence.load() < 100) {  // until it is at work
    }
    writer.kill();
    writer.wait();
    TaskView view;
    const LookupOutcome outcome = reader.find_by_inode(1, view);
    EXPECT_EQ(reader.find_by_pid(2, view), outcome);
    if (outcome == LookupOutcome::kBusy) {
      ++busy;
      EXPECT_EQ(table.arrays().slots[handle.slot].sequence.load() % 2, 1u);
    } else {
      ASSERT_EQ(outcome, LookupOutcome::kFound);
      EXPECT_TRUE(is_one_version(view.record));
    }
  }
  EXPECT_GT(busy, 0) << "not one of 200 kills hit the writer inside a record";
}

TEST(TableReader, NeverSeesHalfARecordWhileTheWriterWorks) {
  test::Table table(64);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> found{0}, wrong{0};
  constexpr std::uint64_t kProcesses = 6;

  // Each process: PENDING without complete_since, then COMPLETE with it, revoked, freed; inode n has pid 100
  // + n.
  std::jthread writing([&] {
    for (std::uint64_t n = 1; !stop.load(std::memory_order_relaxed); ++n) {
      const std::uint64_t inode = 1 + n % kProcesses;
      TaskRecord record = version_of(inode, static_cast<std::uint32_t>(100 + inode), n);
      table.writer().heartbeat();
      const auto handle = table.writer().bind(record, kOwner);
      if (!handle) std::abort();
      for (int i = 0; i < 5; ++i) {
        record = version_of(inode, record.pid, n * 1000 + static_cast<std::uint64_t>(i));
        if (!table.writer().update(*handle, record)) std::abort();
      }
      record.complete_since = n;
      if (!table.writer().update(*handle, record)) std::abort();
      if (!table.writer().transition(*handle, kPending, kComplete, 0, Reason::kExchange)) std::abort();
      if (!table.writer().transition(*handle, kComplete, kRevoked, 0, Reason::kExec)) std::abort();
      if (!table.writer().free(*handle)) std::abort();
    }
  });
  const auto look = [&] {
    const TableReader reader = table.reader();
    TaskView view;
    for (std::uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      const std::uint64_t inode = 1 + i % kProcesses;
      const bool by_pid = i % 2 == 0;
      const LookupOutcome outcome = by_pid ? reader.find_by_pid(static_cast<std::uint32_t>(100 + inode), view)
                                           : reader.find_by_inode(inode, view);
      if (outcome == LookupOutcome::kAbsent || outcome == LookupOutcome::kBusy) continue;
      ++found;
      bool fine = outcome == LookupOutcome::kFound && is_one_version(view.record);
      fine = fine && view.record.inode == inode && view.record.pid == 100 + inode;
      fine = fine && (view.word.state != kComplete || view.record.complete_since != 0);
      fine = fine &&
             (view.word.state == kPending || view.word.state == kComplete || view.word.state == kRevoked);
      wrong += fine ? 0 : 1;
    }
  };
  {
    std::jthread one(look), two(look);
    std::this_thread::sleep_for(std::chrono::seconds(1));
    stop = true;
  }
  writing.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(found.load(), 1000u);
}

// ---- a table from somebody else

class ForeignTable : public testing::Test {
 protected:
  ForeignTable() : table_(32), octets_(table_.octets().begin(), table_.octets().end()) {}

  TableHeader& header() { return *reinterpret_cast<TableHeader*>(octets_.data()); }
  // Maps what octets_ are now, said to be of `size` octets.
  [[nodiscard]] Result<TableReader> map(std::size_t size) const {
    auto memfd = kernel::make_memfd("foreign", octets_.size());
    if (!memfd) return std::unexpected(memfd.error());
    if (::pwrite(memfd->get(), octets_.data(), octets_.size(), 0) != static_cast<ssize_t>(octets_.size()))
      std::abort();
    return TableReader::map(memfd->get(), size);
  }
  [[nodiscard]] Result<TableReader> map() const { return map(octets_.size()); }
  void expect_refused() const {
    const auto reader = map();
    ASSERT_FALSE(reader);
    EXPECT_EQ(reader.error().code, Code::kInvalid);
  }

  test::Table table_;
  Bytes octets_;
};

TEST_F(ForeignTable, IsTakenWhenItIsOne) { EXPECT_TRUE(map()); }

TEST_F(ForeignTable, IsRefusedWithAnotherMagic) {
  for (int bit = 0; bit < 64; ++bit) {
    header().magic = kMagic ^ (std::uint64_t{1} << bit);
    expect_refused();
  }
}

TEST_F(ForeignTable, IsRefusedWithAnotherVersion) {
  for (const std::uint32_t version : {0u, kLayoutVersion - 1, kLayoutVersion + 1, 0xffffffffu}) {
    header().version = version;
    expect_refused();
  }
}

TEST_F(ForeignTable, IsRefusedWithACapacityThatDoesNotFit) {
  for (const std::uint32_t capacity :
       {0u, 1u, 8u, 15u, 17u, 31u, 33u, 48u, 64u, 1u << 20, 1u << 31, 0xffffffffu}) {
    header().capacity = capacity;
    expect_refused();
  }
  header().capacity = 16;  // smaller than its memory is no harm
  EXPECT_TRUE(map());
}

TEST_F(ForeignTable, IsRefusedWithAnImpossibleSize) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kHeaderSize, table_size(16) - 1,
                                 octets_.size() + 1, std::size_t{1} << 31, SIZE_MAX}) {
    const auto reader = map(size);
    ASSERT_FALSE(reader) << size;
    EXPECT_EQ(reader.error().code, Code::kInvalid) << size;
  }
}

TEST_F(ForeignTable, IsRefusedWhenItsFileIsEmpty) {
  // fstat says 0 for a BPF map, which has a size all the same; a memfd of no octets has none, and reading it
  // is SIGBUS. In a child, because that would end this program.
  test::Child child([&] {
    const auto memfd = kernel::make_memfd("empty", 0);
    if (!memfd) return 10;
    return TableReader::map(memfd->get(), table_size(32)) ? 11 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(ForeignTable, IsRefusedWhenItsDescriptorCannotBeMapped) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd read(ends[0]), write(ends[1]);
  EXPECT_FALSE(TableReader::map(read.get(), table_size(32)));
  EXPECT_FALSE(TableReader::map(-1, table_size(32)));
}

TEST_F(ForeignTable, LeadsNoLookUpOutsideItself) {
  // Index entries that point anywhere, in the place of every real one.
  header().alive_until = boot_now() + kHeartbeatValidity;
  auto* const words = reinterpret_cast<std::uint64_t*>(octets_.data() + kHeaderSize);
  for (const std::uint64_t slot :
       {std::uint64_t{0}, std::uint64_t{33}, std::uint64_t{0x7fffffff}, std::uint64_t{0xffffffff}}) {
    for (std::size_t i = 0; i < 32; ++i) words[32 + i] = std::uint64_t{7} << 32 | slot;
    const auto reader = map();
    ASSERT_TRUE(reader);
    TaskView view;
    EXPECT_EQ(reader->find_by_pid(7, view), LookupOutcome::kAbsent) << slot;
  }
}

TEST_F(ForeignTable, CountsForNothingWhenItsHeartbeatIsOfAnotherClock) {
  // A keyd in a time namespace a day ahead, dead or alive.
  header().alive_until = boot_now() + 86400 * kSecond;
  const auto reader = map();
  ASSERT_TRUE(reader);
  EXPECT_TRUE(reader->stale());
  TaskView view;
  EXPECT_EQ(reader->find_by_inode(7, view), LookupOutcome::kStale);
}

TEST_F(ForeignTable, ShowsNoUserNameLongerThanItsRoom) {
  header().alive_until = boot_now() + kHeartbeatValidity;
  auto* const index = reinterpret_cast<std::uint64_t*>(octets_.data() + kHeaderSize);
  const std::size_t first = bucket_of(7, 32) * kBucketWidth;
  TaskRecord record = record_of(7, 7);
  record.user_size = kMaxNameOctets + 1;
  auto* const slot = octets_.data() + kHeaderSize + 32 * 16 + first * sizeof(TaskSlot);
  const std::uint64_t word = StateWord{kPending, 0, 0, 1}.pack();
  std::memcpy(slot, &word, sizeof word);
  std::memcpy(slot + 16, &record, sizeof record);
  index[first] = 7;
  const auto reader = map();
  ASSERT_TRUE(reader);
  TaskView view;
  EXPECT_EQ(reader->find_by_inode(7, view), LookupOutcome::kBusy);
  reader->for_each([](const TaskView&) { ADD_FAILURE() << "showed it"; });
}

}  // namespace
}  // namespace keyd::table
