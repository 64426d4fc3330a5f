#include "tools/keystat/exchange_rate.h"

#include <algorithm>

namespace keyd::keystat {

void ExchangeRate::look(const Snapshot& snapshot, BootTime now) {
  std::unordered_map<std::uint64_t, std::uint64_t> seen;
  for (const Task& task : snapshot.tasks) {
    const std::uint64_t since = task.identity.complete_since;
    if (since == 0) continue;
    seen.emplace(task.identity.inode, since);
    const auto before = complete_since_.find(task.identity.inode);
    const bool known = before != complete_since_.end() && before->second == since;
    if (!known && since + kWindow > now) completions_.push_back(since);
  }
  complete_since_ = std::move(seen);
  std::erase_if(completions_, [now](BootTime since) { return since + kWindow <= now; });
}

double ExchangeRate::per_second(BootTime now) const {
  const auto recent =
      std::ranges::count_if(completions_, [now](BootTime since) { return since + kWindow > now; });
  return static_cast<double>(recent) / static_cast<double>(kWindow / kSecond);
}

}  // namespace keyd::keystat
