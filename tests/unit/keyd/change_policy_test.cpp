#include "keyd/change_policy.h"

#include <gtest/gtest.h>

#include <limits>

namespace keyd::daemon {
namespace {

using namespace std::chrono_literals;
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

TEST(ChangePolicy, WithoutBoundsAPasswordMayStay) {
  EXPECT_EQ(reason_to_change({}, NetworkKind::kWireless, std::chrono::seconds::max(), kMost, kMost),
            ChangeReason::kNone);
}

// Step 310: "the time for which the password was used, the amount of information under it".
TEST(ChangePolicy, EachBoundIsReachedByItself) {
  const ChangePolicy policy{.age = 100s, .octets = 1000, .records = 10};
  const auto reason = [&](std::chrono::seconds age, std::uint64_t octets, std::uint64_t records) {
    return reason_to_change(policy, NetworkKind::kLocal, age, octets, records);
  };
  EXPECT_EQ(reason(99s, 999, 9), ChangeReason::kNone);
  EXPECT_EQ(reason(100s, 0, 0), ChangeReason::kAge);
  EXPECT_EQ(reason(0s, 1000, 0), ChangeReason::kOctets);
  EXPECT_EQ(reason(0s, 0, 10), ChangeReason::kMessages);
}

// "and the inherent safety of the network environment".
TEST(ChangePolicy, TheMoreExposedTheNetworkTheSooner) {
  const ChangePolicy policy{
      .age = 1000s, .octets = 1000, .records = 1000, .wired_percent = 50, .wireless_percent = 10};
  const auto lasts = [&](NetworkKind kind, std::uint64_t octets) {
    return reason_to_change(policy, kind, 0s, octets, 0) == ChangeReason::kNone;
  };
  EXPECT_TRUE(lasts(NetworkKind::kLocal, 999));
  EXPECT_TRUE(lasts(NetworkKind::kWired, 499));
  EXPECT_FALSE(lasts(NetworkKind::kWired, 500));
  EXPECT_TRUE(lasts(NetworkKind::kWireless, 99));
  EXPECT_FALSE(lasts(NetworkKind::kWireless, 100));
  EXPECT_EQ(reason_to_change(policy, NetworkKind::kWireless, 100s, 0, 0), ChangeReason::kAge);
}

// A bound that is scaled down never becomes "none", and a large one does not run over.
TEST(ChangePolicy, ScalingKeepsABoundABound) {
  const ChangePolicy small{.octets = 1, .wireless_percent = 1},
      large{.octets = kMost, .wireless_percent = 99};
  EXPECT_EQ(reason_to_change(small, NetworkKind::kWireless, 0s, 1, 0), ChangeReason::kOctets);
  EXPECT_EQ(reason_to_change(small, NetworkKind::kWireless, 0s, 0, 0), ChangeReason::kNone);
  EXPECT_EQ(reason_to_change(large, NetworkKind::kWireless, 0s, kMost / 2, 0), ChangeReason::kNone);
  EXPECT_EQ(reason_to_change(large, NetworkKind::kWireless, 0s, kMost, 0), ChangeReason::kOctets);
}

// A clock that was set back makes no password old.
TEST(ChangePolicy, ANegativeAgeIsNone) {
  EXPECT_EQ(reason_to_change({.age = 1s}, NetworkKind::kLocal, -5s, 0, 0), ChangeReason::kNone);
}

}  // namespace
}  // namespace keyd::daemon
