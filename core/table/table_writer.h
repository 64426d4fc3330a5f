// The only one who asks for changes of the task table. Every change of a record's state is a compare-and-swap
// on its word and a legal transition (is_legal); anything else is refused and changes nothing. Decides where a
// record goes; the memory makes the change, and says no by itself to one that is not legal. Single-threaded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/kernel/pidfd.h"
#include "core/table/table_bell.h"
#include "core/table/table_memory.h"
#include "core/table/task_table_layout.h"
#include "core/table/task_terms.h"

namespace keyd::table {

// Names one binding of one slot. Stale once the slot was freed or bound again: every operation on it then
// fails.
struct TaskHandle {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
};

class TableWriter {
 public:
  // Lays an empty table into `memory`, which must hold table_size(capacity) octets, and rings `bell` after
  // every change. `capacity` is a power of two, at least kBucketWidth. `strength` is what the header promises
  // to readers: the tier's, or better.
  TableWriter(std::unique_ptr<TableMemory> memory, TableBell bell, std::uint32_t capacity, Tier tier,
              std::uint64_t keyd_inode, Strength strength);
  TableWriter(std::unique_ptr<TableMemory> memory, TableBell bell, std::uint32_t capacity, Tier tier,
              std::uint64_t keyd_inode)
      : TableWriter(std::move(memory), std::move(bell), capacity, tier, keyd_inode, strength_of(tier)) {}

  [[nodiscard]] int reader_descriptor() const { return memory_->reader_descriptor(); }
  [[nodiscard]] int bell_descriptor() const { return bell_.reader_descriptor(); }
  [[nodiscard]] std::size_t size() const { return memory_->size(); }
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  [[nodiscard]] std::uint64_t used() const { return arrays_.header->used.load(std::memory_order_relaxed); }
  [[nodiscard]] Tier tier() const { return arrays_.header->tier; }
  [[nodiscard]] Strength strength() const { return arrays_.header->strength; }
  // What the kernel has done to records by itself, and whether it still keeps others from writing.
  [[nodiscard]] TableMemory& memory() { return *memory_; }

  // Readers take the table's word until `validity` from now. Call several times within kHeartbeatValidity.
  void heartbeat(std::uint64_t validity = kHeartbeatValidity);
  // Wakes those who wait for a change: every change here does, one of the kernel's cannot.
  void wake() { bell_.ring(); }
  // Readers take nothing in the table for true from now on.
  void mark_down();

  // A new record, PENDING. `owner` is the account that pays for it, any number: it has at most kOwnersShare
  // entries of a bucket, so that nobody alone can take a bucket from others. kExhausted when neither bucket
  // of either index has room for this owner; kRefused when the process has a record.
  // `ids`: those that the process must keep, in the initial user namespace's numbers, where the kernel compares
  // them.
  [[nodiscard]] Result<TaskHandle> bind(const TaskRecord& record, std::uint64_t owner,
                                        const kernel::TaskIds& ids = {});

  // Moves a record from `from` to `to`, setting flags and reason. False, with nothing changed, when the
  // handle is stale, the state is not `from`, or the transition is not legal. An end is asked for again when the
  // kernel has counted a planned exec meanwhile.
  [[nodiscard]] bool transition(TaskHandle handle, TaskState from, TaskState to, std::uint8_t flags,
                                Reason reason);
  // Moves a record from `from` (PENDING, or COMPLETE at a renewal) to COMPLETE, saying what `record` says, whose
  // inode and pid must be as bound. False as above.
  [[nodiscard]] bool complete(TaskHandle handle, TaskState from, const TaskRecord& record);
  // Replaces the flags of a record that is in `state`. False when it is not.
  [[nodiscard]] bool set_flags(TaskHandle handle, TaskState state, std::uint8_t flags);
  // Marks a COMPLETE record PLANNED_EXEC: in the tier `kernel` it survives one exec before `deadline`. False
  // when it is not COMPLETE, or has survived as many as can be counted.
  [[nodiscard]] bool plan_exec(TaskHandle handle, BootTime deadline);
  // The planned exec has happened, as keyd has learned by itself: the plan is used up, the exec counted.
  [[nodiscard]] bool count_exec(TaskHandle handle);
  // Replaces what the record says beside its state. `record.inode` and `pid` must be as bound. False when
  // stale.
  [[nodiscard]] bool update(TaskHandle handle, const TaskRecord& record);
  // Frees the slot: no record of the process is left. False when stale.
  bool free(TaskHandle handle);

  // The process whose record is in this slot; 0: none.
  [[nodiscard]] std::uint64_t inode_at(std::uint32_t slot) const;
  [[nodiscard]] std::optional<StateWord> state(TaskHandle handle) const;
  [[nodiscard]] std::optional<TaskRecord> record(TaskHandle handle) const;

 private:
  // What a used slot has beside its record, out of the readers' sight.
  struct Binding {
    std::uint64_t owner = 0;
    std::size_t pid_entry = 0;  // where the pid index names the slot
  };
  enum class Index { kInode, kPid };

  [[nodiscard]] bool is_current(TaskHandle handle) const;
  [[nodiscard]] bool has_record(std::uint64_t inode) const;
  [[nodiscard]] std::size_t strain(Index index, std::size_t bucket, std::uint64_t owner) const;
  [[nodiscard]] std::optional<std::size_t> free_entry(Index index, std::uint64_t key,
                                                      std::uint64_t owner) const;
  // Makes the change, and wakes those who wait for one where it is one to them.
  [[nodiscard]] bool apply(table_change& change, const TaskRecord* record = nullptr);

  std::unique_ptr<TableMemory> memory_;
  TableBell bell_;
  std::uint32_t capacity_;
  TableArrays arrays_;             // to be read
  std::vector<Binding> bindings_;  // by slot; holds for used slots
};

}  // namespace keyd::table
