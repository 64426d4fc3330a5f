// What expires must run on a clock that nobody can set and that suspend does not stop.
#include "core/base/clock.h"

#include <gtest/gtest.h>

namespace keyd {
namespace {

TEST(BootClock, NeverRunsBackwards) {
  BootTime last = boot_now();
  for (int i = 0; i < 100'000; ++i) {
    const BootTime now = boot_now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(BootClock, IsTheClockThatCountsSuspendedTime) {
  timespec before{}, after{};
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &before), 0);
  const BootTime now = boot_now();
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &after), 0);
  const auto nanoseconds = [](const timespec& t) {
    return static_cast<std::uint64_t>(t.tv_sec) * kSecond + static_cast<std::uint64_t>(t.tv_nsec);
  };
  EXPECT_GE(now, nanoseconds(before));
  EXPECT_LE(now, nanoseconds(after));
}

TEST(WallClock, IsTheUnixTime) {
  const auto before = static_cast<std::uint64_t>(std::time(nullptr));
  const std::uint64_t now = wall_now() / kSecond;
  const auto after = static_cast<std::uint64_t>(std::time(nullptr));
  EXPECT_GE(now, before);
  EXPECT_LE(now, after + 1);  // time(2) reads a coarser clock
}

}  // namespace
}  // namespace keyd
