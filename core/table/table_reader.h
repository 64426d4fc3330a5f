// Reads the task table: no system call but the clock, no lock, no waiting for the writer. Thread-safe: every
// call reads the shared memory alone.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstdint>
#include <functional>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/table/task_table_layout.h"

namespace keyd::table {

enum class LookupOutcome {
  kFound,   // `out` holds the record as it stood at one moment
  kAbsent,  // the table says that this process has no record
  kStale,   // keyd is gone or does not move: nothing in the table counts
  kBusy,    // the record was being written at every try (or its writer was killed in the middle): unknown
  kOtherNamespace,  // the caller's pids are not keyd's: only an inode can be looked up
};

class TableReader {
 public:
  // Maps the descriptor read-only and checks that it is a table of our layout. kInvalid when it is not. The
  // descriptor may be closed afterwards.
  [[nodiscard]] static Result<TableReader> map(int descriptor, std::size_t size);

  // The record of the process with this pidfs inode.
  [[nodiscard]] LookupOutcome find_by_inode(std::uint64_t inode, TaskView& out) const;
  // The record of the process with this pid in keyd's pid namespace. Where the caller lives in another one
  // the numbers mean others: kOtherNamespace always.
  [[nodiscard]] LookupOutcome find_by_pid(std::uint32_t pid, TaskView& out) const;
  // Every record, in slot order. Records that are being written are skipped. Nothing is visited when stale.
  void for_each(const std::function<void(const TaskView&)>& visit) const;

  [[nodiscard]] bool stale() const;
  // Waits until changes() is not `seen` any more, for at most `timeout` ns. False when the time ran out. This
  // one call sleeps; it takes part in nothing that the writer waits for. A keyd that is killed wakes nobody:
  // bound the wait.
  [[nodiscard]] bool wait_for_change(std::uint64_t seen, std::uint64_t timeout) const;
  // Grows when a record comes, goes, or changes its state or flags (not its counters).
  [[nodiscard]] std::uint64_t changes() const {
    return arrays_.header->changes.load(std::memory_order_acquire);
  }
  [[nodiscard]] const TableHeader& header() const { return *arrays_.header; }

 private:
  TableReader(boost::interprocess::mapped_region region, std::uint32_t capacity);
  [[nodiscard]] LookupOutcome copy(std::size_t slot, TaskView& out) const;
  [[nodiscard]] bool stale_at(BootTime now) const;

  boost::interprocess::mapped_region region_;
  std::uint32_t capacity_;
  TableArrays arrays_;
  bool pids_are_ours_;  // same pid namespace as keyd
  bool kernel_keeps_down_;
};

}  // namespace keyd::table
