// Exchanges completed in a second: how the table's counter has grown within the last moments.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "core/base/clock.h"

namespace keyd::keystat {

class ExchangeRate {
 public:
  static constexpr std::uint64_t kWindow = 10 * kSecond;

  // What the counter said, at each look. One that fell is a new keyd's.
  void look(std::uint64_t completed, BootTime now);
  // Over the last kWindow, or since the first look where that is less; 0 before the second one.
  [[nodiscard]] double per_second(BootTime now) const;

 private:
  std::deque<std::pair<BootTime, std::uint64_t>> seen_;  // the oldest one is at or before the window's begin
};

}  // namespace keyd::keystat
