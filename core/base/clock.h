// Two clocks. Everything that expires runs on CLOCK_BOOTTIME: it is monotonic, counts suspended time, and is
// the same for every process, so a table reader can check an expiry by itself. The wall clock is for people
// only.
#pragma once

#include <cstdint>
#include <ctime>

namespace keyd {

// Nanoseconds since boot, suspend included.
using BootTime = std::uint64_t;
inline constexpr std::uint64_t kNanosecond = 1, kMillisecond = 1'000'000, kSecond = 1'000'000'000;

inline BootTime boot_now() {
  timespec ts{};
  ::clock_gettime(CLOCK_BOOTTIME, &ts);
  return static_cast<std::uint64_t>(ts.tv_sec) * kSecond + static_cast<std::uint64_t>(ts.tv_nsec);
}

// Nanoseconds since the Unix epoch.
inline std::uint64_t wall_now() {
  timespec ts{};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  return static_cast<std::uint64_t>(ts.tv_sec) * kSecond + static_cast<std::uint64_t>(ts.tv_nsec);
}

}  // namespace keyd
