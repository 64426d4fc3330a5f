// Exchanges completed in a second, as far as the table shows them. The table has no counter of exchanges:
// what is counted are records whose complete_since is new since the last look. A process that authenticates
// and ends between two looks (100 ms when much happens) is not seen, so this is a lower bound.
#pragma once

#include <deque>
#include <unordered_map>

#include "core/base/clock.h"
#include "tools/keystat/snapshot.h"

namespace keyd::keystat {

class ExchangeRate {
 public:
  static constexpr std::uint64_t kWindow = 10 * kSecond;

  // To be told every snapshot, in their order.
  void look(const Snapshot& snapshot, BootTime now);
  // Of those that completed within the last kWindow.
  [[nodiscard]] double per_second(BootTime now) const;

 private:
  std::unordered_map<std::uint64_t, std::uint64_t> complete_since_;  // by inode, as last seen
  std::deque<BootTime> completions_;
};

}  // namespace keyd::keystat
