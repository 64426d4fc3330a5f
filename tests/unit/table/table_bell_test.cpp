// Waiting for a change: nobody sleeps through one, nobody waits longer than it asked, and what rings cannot be
// written by who listens.
#include "core/table/table_bell.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/kernel/memfd.h"
#include "tests/unit/support/child.h"
#include "tests/unit/support/table.h"

namespace keyd::table {
namespace {

using test::kOwner;
using test::record_of;
using enum TaskState;

bool changes_within(const BellListener& bell, const TableReader& reader, std::uint64_t seen,
                    std::uint64_t timeout) {
  return bell.wait_while([&] { return reader.changes() == seen; }, timeout);
}

TEST(TableBell, WakesWhenARecordChanges) {
  test::Table table;
  const TableReader reader = table.reader();
  const BellListener bell = table.bell();
  const TaskHandle handle = table.writer().bind(record_of(1, 2), kOwner).value();
  const std::uint64_t seen = reader.changes();
  std::atomic<bool> woken{false};
  std::jthread waiting([&] { woken = changes_within(bell, reader, seen, 60 * kSecond); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // let it fall asleep: either way it must wake
  ASSERT_TRUE(table.writer().transition(handle, kPending, kRevoked, 0, Reason::kExec));
  waiting.join();
  EXPECT_TRUE(woken);
}

TEST(TableBell, WakesInAnotherProcessWithMappingsItCannotWrite) {
  test::Table table;
  const TaskHandle handle = table.writer().bind(record_of(1, 2), kOwner).value();
  test::Gate ready;
  test::Child child([&] {
    const TableReader reader = table.reader();
    const BellListener bell = table.bell();
    const std::uint64_t seen = reader.changes();
    ready.open();
    return changes_within(bell, reader, seen, 60 * kSecond) ? 0 : 1;
  });
  ready.pass();
  ASSERT_TRUE(table.writer().set_flags(handle, kPending, kChangeDue));
  EXPECT_EQ(child.wait(), 0);
}

TEST(TableBell, RingsForEveryChangeAndForTheEnd) {
  // The count is what a sleeper is woken by: as long as it moves after each of them, no sleeper misses one.
  test::Table table;
  std::uint64_t rung = 0;
  const auto rings_for = [&](auto change) {
    const std::uint64_t before = rung;
    change();
    EXPECT_EQ(::pread(table.writer().bell_descriptor(), &rung, sizeof rung, 0), 8);
    return rung > before;
  };
  TaskHandle handle;
  EXPECT_TRUE(rings_for([&] { handle = table.writer().bind(record_of(1, 2), kOwner).value(); }));
  EXPECT_TRUE(
      rings_for([&] { (void)table.writer().transition(handle, kPending, kComplete, 0, Reason::kExchange); }));
  EXPECT_TRUE(rings_for([&] { (void)table.writer().plan_exec(handle, boot_now() + kSecond); }));
  EXPECT_TRUE(rings_for([&] { (void)table.writer().count_exec(handle); }));
  EXPECT_TRUE(
      rings_for([&] { (void)table.writer().transition(handle, kComplete, kRevoked, 0, Reason::kExec); }));
  EXPECT_TRUE(rings_for([&] { table.writer().free(handle); }));
  EXPECT_TRUE(rings_for([&] { table.writer().mark_down(); }));
  EXPECT_FALSE(rings_for([&] { table.writer().heartbeat(); })) << "nothing has changed";
}

TEST(TableBell, ReturnsAtOnceWhenTheChangeCameBefore) {
  test::Table table;
  const TableReader reader = table.reader();
  const std::uint64_t seen = reader.changes();
  ASSERT_TRUE(table.writer().bind(record_of(1, 2), kOwner));
  EXPECT_TRUE(changes_within(table.bell(), reader, seen, 0));
}

TEST(TableBell, GivesUpWhenTheTimeIsOver) {
  test::Table table;
  const TableReader reader = table.reader();
  EXPECT_FALSE(changes_within(table.bell(), reader, reader.changes(), 0));
  EXPECT_FALSE(changes_within(table.bell(), reader, reader.changes(), 5 * kMillisecond));
}

TEST(TableBell, FindsAChangeThatNobodyRangFor) {
  // What the kernel changes while keyd is stopped.
  test::Table table;
  const TableReader reader = table.reader();
  const BellListener bell = table.bell();
  const std::uint64_t seen = reader.changes();
  std::jthread silent([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    table.arrays().header->changes.fetch_add(1);
  });
  EXPECT_TRUE(changes_within(bell, reader, seen, 60 * kSecond));
}

TEST(TableBell, LosesNoChangeAmongManyWaiters) {
  test::Table table;
  const TaskHandle handle = table.writer().bind(record_of(1, 2), kOwner).value();
  constexpr int kChanges = 20'000;
  const std::uint64_t first = table.reader().changes();
  std::atomic<int> late{0};
  const auto listen = [&] {
    const TableReader reader = table.reader();
    const BellListener bell = table.bell();
    for (std::uint64_t seen = first; seen < first + kChanges; seen = reader.changes()) {
      if (!changes_within(bell, reader, seen, 60 * kSecond)) ++late;
    }
  };
  std::jthread one(listen), two(listen), three(listen);
  for (int i = 0; i < kChanges; ++i)
    ASSERT_TRUE(table.writer().set_flags(handle, kPending, i % 2 == 0 ? kChangeDue : 0));
  one.join(), two.join(), three.join();
  EXPECT_EQ(late, 0);
}

TEST(TableBell, CannotBeRungThroughTheListenersDescriptor) {
  auto bell = TableBell::create();
  ASSERT_TRUE(bell);
  const int fd = bell->reader_descriptor();
  EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
  EXPECT_EQ(::mmap(nullptr, kBellSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_NE(::ftruncate(fd, 0), 0);
  void* const read_only = ::mmap(nullptr, kBellSize, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(read_only, MAP_FAILED);
  EXPECT_NE(::mprotect(read_only, kBellSize, PROT_READ | PROT_WRITE), 0);
  ::munmap(read_only, kBellSize);
  const UniqueFd again(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC));
  if (again.valid()) {
    EXPECT_LT(::write(again.get(), "x", 1), 0);
    EXPECT_EQ(::mmap(nullptr, kBellSize, PROT_READ | PROT_WRITE, MAP_SHARED, again.get(), 0), MAP_FAILED);
  }
}

TEST(TableBell, IsTakenFromNobodyWhoCouldCutItOff) {
  EXPECT_FALSE(BellListener::map(-1));
  const UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  EXPECT_FALSE(BellListener::map(event.get()));
  const UniqueFd open(::memfd_create("bell", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(open.get(), kBellSize), 0);
  EXPECT_FALSE(BellListener::map(open.get())) << "not sealed";
  const auto small = kernel::make_memfd("bell", kBellSize - 1);
  EXPECT_FALSE(BellListener::map(small->get()));
  const auto whole = kernel::make_memfd("bell", kBellSize);
  EXPECT_TRUE(BellListener::map(whole->get()));
}

}  // namespace
}  // namespace keyd::table
