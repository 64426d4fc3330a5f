// Nothing sleeps to be right: a test waits for what it needs, with a bound.
#pragma once

#include <chrono>
#include <thread>

namespace keyd::testing {

// Whether `condition` comes true within `seconds`; asked every few milliseconds, and at the end once more.
template <typename Condition>
[[nodiscard]] bool eventually(const Condition& condition, double seconds = 10) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace keyd::testing
