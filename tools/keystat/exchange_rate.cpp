#include "tools/keystat/exchange_rate.h"

namespace keyd::keystat {

void ExchangeRate::look(std::uint64_t completed, BootTime now) {
  if (!seen_.empty() && completed < seen_.back().second) seen_.clear();
  seen_.emplace_back(now, completed);
  while (seen_.size() > 1 && seen_[1].first + kWindow <= now) seen_.pop_front();
}

double ExchangeRate::per_second(BootTime now) const {
  if (seen_.empty() || now <= seen_.front().first) return 0;
  const std::uint64_t span = now - seen_.front().first;
  const std::uint64_t grown = seen_.back().second - seen_.front().second;
  return static_cast<double>(grown) * static_cast<double>(kSecond) / static_cast<double>(span);
}

}  // namespace keyd::keystat
