// The looks of a process at its own record, after the moment at which it became another.
#pragma once

#include <cstdint>

#include "core/base/clock.h"
#include "core/table/table_reader.h"
#include "tests/races/race_board.h"

namespace keyd::races {

// A state that says something of the program that runs in the process.
inline bool is_living(table::TaskState state) {
  return state == table::TaskState::kPending || state == table::TaskState::kComplete;
}

class OwnLooks {
 public:
  OwnLooks(const table::TableReader& reader, RaceBoard& board)
      : reader_(reader), board_(board), inode_(board.inode.load()) {}

  // One look. True when the record lives. What cannot be read for a moment counts as it was.
  bool once() {
    const BootTime now = boot_now();
    const table::LookupOutcome outcome = reader_.find_by_inode(inode_, view_);
    if (outcome == table::LookupOutcome::kBusy) return living_;
    living_ = outcome == table::LookupOutcome::kFound && is_living(view_.word.state);
    if (living_) {
      board_.living.fetch_add(1, std::memory_order_relaxed);
    } else {
      std::uint64_t never = 0;
      board_.fell.compare_exchange_strong(never, now);
    }
    return living_;
  }

  // Looks until the record does not live, and `more` times.
  void until_it_falls(int more = 100) {
    const BootTime end = boot_now() + kPatience;
    while (once() && boot_now() < end) {
    }
    if (living_) return;
    for (int i = 0; i < more; ++i) (void)once();
  }

  [[nodiscard]] const table::TaskView& view() const { return view_; }

 private:
  const table::TableReader& reader_;
  RaceBoard& board_;
  std::uint64_t inode_;
  bool living_ = true;
  table::TaskView view_{};
};

}  // namespace keyd::races
