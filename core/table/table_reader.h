// Reads the task table: no system call but the clock, no lock, no waiting for the writer (who wants to wait
// for a change has a bell: table_bell.h). Thread-safe: every call reads the shared memory alone.
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

// A COMPLETE record as a look-up found it, to be looked at again without looking it up.
struct Sighting {
  std::uint32_t slot = 0;
  std::uint64_t word = 0;  // the part of the slot's word that must stay as it was
  BootTime expires = 0;    // as the record said; a renewal moves it
};

// What has become of it.
enum class Standing {
  kStands,   // the same program of the same process is authenticated as the same user, without a break
  kExpired,  // it would, if its time were not over
  kEnded,    // it is not, or not without a break: another state, another program, another binding of the slot
  kStale,    // keyd does not move: nothing in the table counts, until it moves again
  kDown,     // keyd has stopped or is dead: nothing in this table will count again
};

class TableReader {
 public:
  // Maps the descriptor read-only and checks that it is a table of our layout. kInvalid when it is not. The
  // descriptor may be closed afterwards.
  [[nodiscard]] static Result<TableReader> map(int descriptor, std::size_t size);

  // The record of the process with this pidfs inode.
  [[nodiscard]] LookupOutcome find_by_inode(std::uint64_t inode, TaskView& out) const;
  // Likewise; and when it was found COMPLETE, `seen` serves the calls below.
  [[nodiscard]] LookupOutcome find_by_inode(std::uint64_t inode, TaskView& out, Sighting& seen) const;

  // By loads alone: of the slot's word, and of `down`. Where the kernel does not keep `down`, by the clock and
  // the heartbeat too. The time of the record's own end is not looked at: kExpired when keyd has written so.
  [[nodiscard]] Standing glance(const Sighting& seen) const;
  // Also by the clock: kExpired from the moment `seen.expires` on, whatever keyd has written.
  [[nodiscard]] Standing look_again(const Sighting& seen) const;
  // When the record ends by now: a renewal has moved it, perhaps. 0 when it cannot be read, or has ended.
  [[nodiscard]] BootTime expiry_of(const Sighting& seen) const;

  // The record of the process with this pid in keyd's pid namespace. Where the caller lives in another one
  // the numbers mean others: kOtherNamespace always. `seen` as above.
  [[nodiscard]] LookupOutcome find_by_pid(std::uint32_t pid, TaskView& out, Sighting* seen = nullptr) const;
  // Whether the caller's pids are keyd's.
  [[nodiscard]] bool pids_are_ours() const;
  // Every record, in slot order. Records that are being written are skipped. Nothing is visited when stale.
  void for_each(const std::function<void(const TaskView&)>& visit) const;

  [[nodiscard]] bool stale() const;
  // Grows when a record comes, goes, or changes its state or flags (not its counters).
  [[nodiscard]] std::uint64_t changes() const {
    return arrays_.header->changes.load(std::memory_order_acquire);
  }
  // The kernel itself sets `down` at keyd's death: no heartbeat is looked for.
  [[nodiscard]] bool kernel_keeps_down() const { return kernel_keeps_down_; }
  [[nodiscard]] const TableHeader& header() const { return *arrays_.header; }

 private:
  TableReader(boost::interprocess::mapped_region region, std::uint32_t capacity);
  [[nodiscard]] LookupOutcome copy(std::size_t slot, TaskView& out, Sighting* seen = nullptr) const;
  [[nodiscard]] LookupOutcome find(std::uint64_t inode, TaskView& out, Sighting* seen) const;
  [[nodiscard]] bool stale_at(BootTime now) const;

  boost::interprocess::mapped_region region_;
  std::uint32_t capacity_;
  TableArrays arrays_;
  bool kernel_keeps_down_;
};

}  // namespace keyd::table
