// The tier `kernel` at its source: what the program that writes the table takes, and what the hooks do to records
// of real processes, which are this test's children.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include "core/kernel/pidfd.h"
#include "core/table/bpf_table.h"
#include "core/table/table_reader.h"
#include "core/table/table_writer.h"
#include "core/table/task_terms.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/unit/support/table.h"

namespace keyd::table {
namespace {

using ::keyd::testing::Forked;
using test::kOwner;
using test::record_of;
using enum TaskState;

constexpr std::uint32_t kCapacity = 64;
constexpr TaskState kStates[] = {kNone, kPending, kComplete, kExpired, kRevoked, kFailed};

class KernelTable : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = BpfTable::load({.capacity = kCapacity, .watch_every_syscall = watch_every_syscall_});
    if (!loaded) GTEST_SKIP() << "the tier kernel cannot be reached here: " << loaded.error().message();
    memory_ = loaded->get();
    const auto self = kernel::open_pidfd(::getpid());
    writer_ = std::make_unique<TableWriter>(std::move(*loaded), TableBell::create().value(), kCapacity,
                                            Tier::kKernel, kernel::pidfs_inode(self->get()).value());
    reader_.emplace(TableReader::map(writer_->reader_descriptor(), writer_->size()).value());
  }
  TableArrays arrays() { return TableArrays::at(const_cast<void*>(memory_->view()), kCapacity); }
  // A record of this process, COMPLETE.
  TaskHandle complete(pid_t pid, const kernel::TaskIds& ids = {}) {
    const TaskHandle handle = pending(pid, ids);
    EXPECT_TRUE(writer_->transition(handle, kPending, kComplete, 0, Reason::kExchange));
    return handle;
  }
  TaskHandle pending(pid_t pid, const kernel::TaskIds& ids = {}) {
    const auto pidfd = kernel::open_pidfd(pid);
    TaskRecord record = record_of(kernel::pidfs_inode(pidfd->get()).value(), static_cast<std::uint32_t>(pid));
    return writer_->bind(record, kOwner, ids).value();
  }
  static kernel::TaskIds ids_of(pid_t pid) {
    kernel::PidfdInfo info;
    const auto pidfd = kernel::open_pidfd(pid);
    EXPECT_EQ(kernel::query_pidfd(pidfd->get(), info), kernel::PidfdOutcome::kAlive);
    return info.ids;
  }
  TaskState state_of(TaskHandle handle) { return writer_->state(handle)->state; }
  // As a reader sees it; NONE when there is no record.
  TaskView seen(TaskHandle handle) {
    TaskView view;
    const auto inode = writer_->record(handle)->inode;
    const LookupOutcome outcome = reader_->find_by_inode(inode, view);
    EXPECT_TRUE(outcome == LookupOutcome::kFound || outcome == LookupOutcome::kAbsent);
    if (outcome == LookupOutcome::kAbsent) view.word.state = kNone;
    return view;
  }
  // Of a process with a COMPLETE record, after it has done this and lives on.
  TaskState state_after(void (*does)()) {
    Forked child([does](Forked::Child& talk) {
      talk.say("here");
      (void)talk.hear();
      does();
      talk.say("done");
      (void)talk.hear();
      return 0;
    });
    EXPECT_EQ(child.hear(), "here");
    const TaskHandle handle = complete(child.pid());
    child.say("go");
    EXPECT_EQ(child.hear(), "done");
    return seen(handle).word.state;
  }
  bool watch_every_syscall_ = false;
  BpfTable* memory_ = nullptr;
  std::unique_ptr<TableWriter> writer_;
  std::optional<TableReader> reader_;
};

// ---- the program that writes

table_change change_of(table_change_kind kind, TaskHandle handle, StateWord word) {
  table_change change{};
  change.kind = kind;
  change.slot = handle.slot;
  word.generation = handle.generation;
  change.word = word.pack();
  return change;
}

TEST_F(KernelTable, TakesTheLegalTransitionsAlone) {
  std::uint32_t pid = 1000;
  for (const TaskState from : kStates) {
    for (const TaskState to : kStates) {
      if (from == kNone) continue;
      const TaskHandle handle = writer_->bind(record_of(pid, pid), kOwner).value();
      ++pid;
      if (from == kComplete || from == kExpired) {
        ASSERT_TRUE(writer_->transition(handle, kPending, kComplete, 0, Reason::kExchange));
      }
      if (from == kExpired) {
        ASSERT_TRUE(writer_->transition(handle, kComplete, kExpired, 0, Reason::kLifetime));
      }
      if (from == kRevoked || from == kFailed) {
        ASSERT_TRUE(writer_->transition(handle, kPending, from, 0, Reason::kEnded));
      }
      const StateWord before = writer_->state(handle).value();
      for (const auto kind : {TABLE_CHANGE_EXCHANGE, TABLE_CHANGE_TRANSITION}) {
        table_change change = change_of(kind, handle, before);
        const TaskRecord record = writer_->record(handle).value();
        std::memcpy(change.record, &record, sizeof record);
        change.wanted = StateWord{to, 0, 0, handle.generation}.pack();
        // A change of flags alone keeps the state; freeing is a change of its own.
        const bool expected = to != kNone && (is_legal(from, to) || from == to);
        EXPECT_EQ(memory_->apply(change), expected) << name_of(from) << " to " << name_of(to);
        EXPECT_EQ(writer_->state(handle)->state, expected ? to : from);
        if (expected) break;
      }
      EXPECT_TRUE(writer_->free(handle));
    }
  }
  EXPECT_EQ(writer_->used(), 0u);
}

TEST_F(KernelTable, TakesNothingThatItsWriterWouldNotAsk) {
  const TaskHandle handle = writer_->bind(record_of(77, 77), kOwner).value();
  ASSERT_TRUE(writer_->transition(handle, kPending, kComplete, 0, Reason::kExchange));
  const StateWord word = writer_->state(handle).value();
  const std::vector<std::uint8_t> before(static_cast<const std::uint8_t*>(memory_->view()),
                                         static_cast<const std::uint8_t*>(memory_->view()) + memory_->size());
  const auto refused = [&](const char* what, table_change change) {
    EXPECT_FALSE(memory_->apply(change)) << what;
    EXPECT_EQ(std::memcmp(before.data(), memory_->view(), before.size()), 0) << what;
  };
  const auto wanting = [&](StateWord wanted) {
    table_change change = change_of(TABLE_CHANGE_EXCHANGE, handle, word);
    change.wanted = wanted.pack();
    return change;
  };
  for (const std::uint8_t note : {kExecuting, kEndedByExec, kEndedByExit, kEndedByCredentials})
    refused("a note of the kernel's", wanting({kRevoked, note, 0, word.generation}));
  refused("an exec that was none", wanting({kComplete, 0, 1, word.generation}));
  refused("another generation", wanting({kComplete, 0, 0, word.generation + 1}));
  refused("a state that does not exist", wanting({static_cast<TaskState>(6), 0, 0, word.generation}));
  refused("a plan without a session", wanting({kRevoked, kPlannedExec, 0, word.generation}));
  table_change change = wanting({kRevoked, 0, 0, word.generation});
  change.word = StateWord{kPending, 0, 0, word.generation}.pack();
  refused("from a state that it is not in", change);
  for (const std::uint32_t slot : {handle.slot ^ 1, kCapacity, 0x7fffffffu, 0xffffffffu}) {
    change = wanting({kRevoked, 0, 0, word.generation});
    change.slot = slot;
    refused("another slot", change);
  }
  for (const std::uint32_t kind : {0u, 8u, 0xffffffffu}) {
    change = wanting({kRevoked, 0, 0, word.generation});
    change.kind = kind;
    refused("a kind that does not exist", change);
  }

  const TaskRecord record = writer_->record(handle).value();
  const auto updating = [&](TaskRecord other) {
    table_change update = change_of(TABLE_CHANGE_UPDATE, handle, word);
    std::memcpy(update.record, &other, sizeof other);
    return update;
  };
  TaskRecord other = record;
  other.inode = 78;
  refused("another process", updating(other));
  other = record;
  other.pid = 78;
  refused("another pid", updating(other));
  change = updating(record);
  change.word = StateWord{kComplete, 0, 0, word.generation - 1}.pack();
  refused("an earlier binding's record", change);

  const auto binding = [&](TaskRecord fresh, std::size_t slot, std::size_t entry) {
    table_change bind{};
    bind.kind = TABLE_CHANGE_BIND;
    bind.slot = static_cast<std::uint32_t>(slot);
    bind.pid_entry = static_cast<std::uint32_t>(entry);
    bind.word = slot < kCapacity ? arrays().slots[slot].word.load() : 0;
    std::memcpy(bind.record, &fresh, sizeof fresh);
    return bind;
  };
  const auto place_of = [](std::uint64_t key) { return bucket_of(key, kCapacity) * kBucketWidth + 7; };
  std::uint64_t key = 100;  // of another bucket than 101 in both places
  refused("no process", binding(record_of(0, 100), place_of(0), place_of(100)));
  refused("a second record of the process", binding(record_of(77, 100), place_of(77), place_of(100)));
  refused("a slot in use", binding(record_of(77, 77), handle.slot, place_of(77)));
  refused("beyond the end", binding(record_of(key, 100), kCapacity, place_of(100)));
  refused("far beyond the end", binding(record_of(key, 100), 0xfffffff0, place_of(100)));
  refused("an entry beyond the end", binding(record_of(key, 100), place_of(key), 0xfffffff0));
  for (std::size_t bucket = 0; bucket < kCapacity / kBucketWidth; ++bucket) {
    if (bucket == bucket_of(key, kCapacity) || bucket == second_bucket_of(key, kCapacity)) continue;
    refused("where no hook looks", binding(record_of(key, 100), bucket * kBucketWidth + 7, place_of(100)));
    refused("where no reader looks", binding(record_of(key, static_cast<std::uint32_t>(key)), place_of(key),
                                             bucket * kBucketWidth + 7));
  }

  change = change_of(TABLE_CHANGE_FREE, handle, word);
  change.pid_entry = static_cast<std::uint32_t>(place_of(500));
  refused("somebody else's pid entry", change);
  change.pid_entry = kCapacity;
  refused("no pid entry", change);
  table_change header{};
  header.kind = TABLE_CHANGE_LAY;
  refused("a second header", header);
}

TEST_F(KernelTable, IsDownForGood) {
  const TaskHandle handle = writer_->bind(record_of(77, 77), kOwner).value();
  TaskView view;
  ASSERT_EQ(reader_->find_by_inode(77, view), LookupOutcome::kFound);
  writer_->mark_down();
  writer_->heartbeat();
  EXPECT_EQ(reader_->find_by_inode(77, view), LookupOutcome::kStale);
  EXPECT_TRUE(writer_->transition(handle, kPending, kComplete, 0, Reason::kExchange));
  EXPECT_EQ(reader_->find_by_inode(77, view), LookupOutcome::kStale);
}

// ---- the hooks

// A shell that says a word, waits for a line, and executes the next one of `images` then; the last one exits.
class Images : public ::keyd::testing::BackgroundProcess {
 public:
  explicit Images(std::vector<std::string> images = {"/bin/sh", "/bin/sh", "/bin/sh"})
      : BackgroundProcess({"/bin/sh", "-c", script(std::move(images))}) {}
  // Whatever it says next: that it got so far.
  bool is_at(const std::string& word) { return read_line() == word; }
  void go_on() { write("\n"); }

 private:
  static std::string script(std::vector<std::string> images) {
    std::string inner = "echo end; read line";
    for (std::size_t i = images.size(); i-- > 0;) {
      std::string quoted;
      for (const char c : inner) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
      inner = "echo " + std::to_string(i) + "; read line; exec " + images[i] + " -c '" + quoted + "'";
    }
    return inner;
  }
};

TEST_F(KernelTable, AnExecEndsWhatIsPendingAndWhatIsComplete) {
  for (const bool done : {false, true}) {
    Images process;
    ASSERT_TRUE(process.is_at("0"));
    const TaskHandle handle = done ? complete(process.pid()) : pending(process.pid());
    EXPECT_EQ(seen(handle).word.state, done ? kComplete : kPending);
    process.go_on();
    ASSERT_TRUE(process.is_at("1"));
    const TaskView view = seen(handle);
    EXPECT_EQ(view.word.state, kRevoked);
    EXPECT_EQ(view.word.flags, 0);
    EXPECT_EQ(view.record.reason, Reason::kExec);
    // Nothing brings it back.
    EXPECT_FALSE(writer_->transition(handle, kPending, kComplete, 0, Reason::kExchange));
    EXPECT_FALSE(writer_->set_flags(handle, kComplete, 0));
    EXPECT_EQ(seen(handle).word.state, kRevoked);
  }
}

TEST_F(KernelTable, AnExitLeavesNoRecord) {
  Images process;
  ASSERT_TRUE(process.is_at("0"));
  const TaskHandle handle = complete(process.pid());
  const std::uint64_t inode = writer_->record(handle)->inode;
  process.signal(SIGKILL);
  process.wait();
  TaskView view;
  EXPECT_EQ(reader_->find_by_inode(inode, view), LookupOutcome::kAbsent);
  EXPECT_EQ(reader_->find_by_pid(static_cast<std::uint32_t>(process.pid()), view), LookupOutcome::kAbsent);
  std::size_t records = 0;
  reader_->for_each([&](const TaskView&) { ++records; });
  EXPECT_EQ(records, 0u);
  EXPECT_TRUE(writer_->free(handle));
}

TEST_F(KernelTable, AFailedExecEndsNothing) {
  EXPECT_EQ(state_after([] {
              ::execl("/no/such/program", "x", nullptr);
              ::execl("/etc/passwd", "x", nullptr);
              ::execl("/", "x", nullptr);
            }),
            kComplete);
}

TEST_F(KernelTable, OfAThreadThatExitsNothingIsTold) {
  EXPECT_EQ(state_after([] { std::thread([] {}).join(); }), kComplete);
}

TEST_F(KernelTable, APlanCoversOneExec) {
  Images process;
  ASSERT_TRUE(process.is_at("0"));
  const TaskHandle handle = complete(process.pid());
  ASSERT_TRUE(writer_->plan_exec(handle, boot_now() + 60 * kSecond));
  EXPECT_EQ(seen(handle).word.flags, kPlannedExec);
  process.go_on();
  ASSERT_TRUE(process.is_at("1"));
  EXPECT_EQ(seen(handle).word.state, kComplete);
  EXPECT_EQ(seen(handle).word.flags, 0);
  EXPECT_EQ(seen(handle).word.exec_generation, 1);
  process.go_on();
  ASSERT_TRUE(process.is_at("2"));
  EXPECT_EQ(seen(handle).word.state, kRevoked);
  EXPECT_EQ(seen(handle).record.reason, Reason::kExec);
}

TEST_F(KernelTable, APlanThatIsLateCoversNone) {
  Images process;
  ASSERT_TRUE(process.is_at("0"));
  const TaskHandle handle = complete(process.pid());
  ASSERT_TRUE(writer_->plan_exec(handle, boot_now()));
  process.go_on();
  ASSERT_TRUE(process.is_at("1"));
  EXPECT_EQ(seen(handle).word.state, kRevoked);
}

TEST_F(KernelTable, APlanThatWasTakenBackCoversNone) {
  Images process;
  ASSERT_TRUE(process.is_at("0"));
  const TaskHandle handle = complete(process.pid());
  ASSERT_TRUE(writer_->plan_exec(handle, boot_now() + 60 * kSecond));
  ASSERT_TRUE(writer_->set_flags(handle, kComplete, 0));
  process.go_on();
  ASSERT_TRUE(process.is_at("1"));
  EXPECT_EQ(seen(handle).word.state, kRevoked);
}

// The process has given up its ids for good ones; the image would give it others back.
TEST_F(KernelTable, APlanCoversNoImageThatIsMorePowerful) {
  char place[] = "/tmp/keyd-set-uid-XXXXXX";
  ASSERT_NE(::mkdtemp(place), nullptr);
  ::chmod(place, 0755);
  const std::string image = std::string(place) + "/image";
  struct Kind {
    const char* name;
    mode_t mode;
    bool root;  // the process, before the exec, is root in all ids but has no capability
    TaskState after;
  };
  const Kind kinds[] = {
      {"an ordinary one", 0755, false, kComplete},
      {"set-uid root", 04755, false, kRevoked},
      {"set-gid root", 02755, false, kRevoked},
      {"a root's without capabilities: it would get them back", 0755, true, kRevoked},
  };
  for (const Kind& kind : kinds) {
    SCOPED_TRACE(kind.name);
    std::filesystem::remove(image);
    std::filesystem::copy_file("/bin/cat", image);
    ::chmod(image.c_str(), kind.mode);
    Forked child([&](Forked::Child& talk) {
      if (kind.root) {
        // The bounding set stays: without one there would be nothing to get back.
        const cap_t none = cap_init();
        if (none == nullptr || cap_set_proc(none) != 0) return 1;
      } else if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65533, 65533, 65533) != 0) {
        return 1;
      }
      talk.say("here");
      (void)talk.hear();
      ::execl(image.c_str(), "image", "/dev/zero", nullptr);
      return 1;
    });
    ASSERT_EQ(child.hear(), "here");
    const TaskHandle handle = complete(child.pid(), ids_of(child.pid()));
    ASSERT_TRUE(writer_->plan_exec(handle, boot_now() + 60 * kSecond));
    child.say("go");
    ASSERT_EQ(child.hear(), "");  // close-on-exec
    EXPECT_EQ(seen(handle).word.state, kind.after);
    EXPECT_TRUE(writer_->free(handle));
  }
  std::filesystem::remove_all(place);
}

// Whatever ends the hooks ends the table: keyd may go by an exception, with no shut-down of its own.
TEST_F(KernelTable, IsDownWhenItsHooksAreGone) {
  Images process;
  ASSERT_TRUE(process.is_at("0"));
  const TaskHandle handle = complete(process.pid());
  ASSERT_EQ(seen(handle).word.state, kComplete);
  const std::uint64_t inode = writer_->record(handle)->inode;
  writer_.reset();
  TaskView view;
  EXPECT_EQ(reader_->find_by_inode(inode, view), LookupOutcome::kStale);
}

// A thread has ids of its own (as by system calls without the C library), and the record was made for others.
TEST_F(KernelTable, APlanCoversNoExecByAThreadWithOtherIds) {
  Forked child([](Forked::Child& talk) {
    talk.say("here");
    (void)talk.hear();
    std::thread([] {
      if (::syscall(SYS_setresgid, 65534, 65534, 65534) != 0) return;
      if (::syscall(SYS_setresuid, 65533, 65533, 65533) != 0) return;
      ::execl("/bin/sleep", "sleep", "60", nullptr);
    }).join();
    return 1;
  });
  ASSERT_EQ(child.hear(), "here");
  const TaskHandle handle = complete(child.pid(), ids_of(child.pid()));
  ASSERT_TRUE(writer_->plan_exec(handle, boot_now() + 60 * kSecond));
  child.say("go");
  ASSERT_EQ(child.hear(), "");  // close-on-exec
  EXPECT_EQ(seen(handle).word.state, kRevoked);
}

TEST_F(KernelTable, TellsWhichSlotsItHasChanged) {
  Images one, two;
  ASSERT_TRUE(one.is_at("0") && two.is_at("0"));
  const TaskHandle first = complete(one.pid()), second = complete(two.pid());
  std::vector<std::uint32_t> slots;
  memory_->take_events(slots);
  EXPECT_TRUE(slots.empty());
  const std::uint64_t changes = reader_->changes();
  one.go_on();
  ASSERT_TRUE(one.is_at("1"));
  two.signal(SIGKILL);
  two.wait();
  memory_->take_events(slots);
  EXPECT_EQ(slots, (std::vector{first.slot, second.slot}));
  EXPECT_EQ(reader_->changes(), changes + 2);
}

// The record of one binding does not fall by what happens to the process of an earlier one.
TEST_F(KernelTable, WhatHappensToAFreedRecordsProcessHitsNobody) {
  Images one;
  ASSERT_TRUE(one.is_at("0"));
  const TaskHandle first = complete(one.pid());
  const TaskRecord record = writer_->record(first).value();
  ASSERT_TRUE(writer_->free(first));
  TaskRecord other = record;
  other.inode = record.inode + (std::uint64_t{1} << 40);
  while (bucket_of(other.inode, kCapacity) != bucket_of(record.inode, kCapacity)) ++other.inode;
  const TaskHandle second = writer_->bind(other, kOwner).value();
  ASSERT_EQ(second.slot, first.slot);
  one.go_on();
  ASSERT_TRUE(one.is_at("1"));
  EXPECT_EQ(state_of(second), kPending);
}

class WatchedCredentials : public KernelTable {
 protected:
  WatchedCredentials() { watch_every_syscall_ = true; }
};

TEST_F(WatchedCredentials, AChangeOfAnyIdEndsTheRecordWithinTheCall) {
  const std::pair<const char*, int (*)()> changes[] = {
      {"setresuid", [] { return ::setresuid(static_cast<uid_t>(-1), 65534, static_cast<uid_t>(-1)); }},
      {"setresgid", [] { return ::setresgid(65534, static_cast<gid_t>(-1), static_cast<gid_t>(-1)); }},
      {"saved", [] { return ::setresuid(static_cast<uid_t>(-1), static_cast<uid_t>(-1), 65534); }},
      {"file system", [] { return ::setfsuid(65534) == 0 ? 0 : -1; }},
      {"of one thread",
       [] {
         int status = -1;
         std::thread([&] { status = static_cast<int>(::syscall(SYS_setresgid, -1, 65534, -1)); }).join();
         return status;
       }},
  };
  for (const auto& [name, call] : changes) {
    SCOPED_TRACE(name);
    Forked child([change = call](Forked::Child& talk) {
      talk.say("here");
      (void)talk.hear();
      talk.say(change() == 0 ? "changed" : "failed");
      (void)talk.hear();
      return 0;
    });
    ASSERT_EQ(child.hear(), "here");
    const TaskHandle handle = complete(child.pid(), ids_of(child.pid()));
    EXPECT_EQ(seen(handle).word.state, kComplete);
    child.say("go");
    ASSERT_EQ(child.hear(), "changed");
    EXPECT_EQ(seen(handle).word.state, kRevoked);
    EXPECT_EQ(seen(handle).record.reason, Reason::kCredentialsChanged);
    EXPECT_TRUE(writer_->free(handle));
  }
}

}  // namespace
}  // namespace keyd::table
