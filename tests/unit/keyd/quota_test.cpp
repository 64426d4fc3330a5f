#include "keyd/quota.h"

#include <gtest/gtest.h>

#include <vector>

namespace keyd::daemon {
namespace {

constexpr Quota::Limit kNone{0, 0};

Quota with(Quota::Limit connections, Accounts accounts = {}) {
  return Quota({connections, kNone, kNone, kNone, {1000, 600}}, std::move(accounts));
}

std::vector<Charge> take_all(Quota& quota, std::uint32_t uid) {
  std::vector<Charge> held;
  while (auto charge = quota.take(Resource::kConnection, uid)) held.push_back(std::move(*charge));
  return held;
}

TEST(Quota, StopsAnAccountAtItsShare) {
  Quota quota = with({100, 10});
  auto held = take_all(quota, 1);
  EXPECT_EQ(held.size(), 10u);
  EXPECT_TRUE(quota.take(Resource::kConnection, 2));
  held.pop_back();
  EXPECT_TRUE(quota.take(Resource::kConnection, 1));
}

TEST(Quota, GivesBackWhenTheChargeGoes) {
  Quota quota = with({100, 10});
  {
    const auto held = take_all(quota, 1);
    EXPECT_EQ(quota.total(Resource::kConnection), 10u);
  }
  EXPECT_EQ(quota.total(Resource::kConnection), 0u);
  Charge a = std::move(*quota.take(Resource::kConnection, 1));
  a = Charge();
  EXPECT_EQ(quota.total(Resource::kConnection), 0u);
}

TEST(Quota, KeepsAnEighthForThoseWhoHoldLittle) {
  Quota quota = with({256, 256});
  std::vector<std::vector<Charge>> held;
  held.push_back(take_all(quota, 1));
  EXPECT_EQ(held[0].size(), 224u);  // its share is all there is, and still it does not get it
  // Newcomers have one each (256/256) until the reserve is used up.
  for (std::uint32_t uid = 2; uid < 2 + 32; ++uid) {
    held.push_back(take_all(quota, uid));
    EXPECT_EQ(held.back().size(), 1u) << uid;
  }
  EXPECT_FALSE(quota.take(Resource::kConnection, 99));
}

TEST(Quota, CountsUnitsAndRefusesWhatDoesNotFitWhole) {
  Quota quota = with(kNone);
  const auto half = quota.take(Resource::kOctets, 1, 500);
  ASSERT_TRUE(half);
  EXPECT_FALSE(quota.take(Resource::kOctets, 1, 101));
  EXPECT_TRUE(quota.take(Resource::kOctets, 1, 100));
  EXPECT_FALSE(quota.take(Resource::kOctets, 2, 0xffffffff));  // no overflow
  EXPECT_EQ(quota.total(Resource::kOctets), 500u);
}

TEST(Quota, GivesSubordinateUidsTheOneShareOfTheirOwner) {
  Quota quota = with({100, 10}, Accounts::parse("7:100000:65536", [](const std::string&) { return 7u; }));
  std::vector<Charge> held;
  for (std::uint32_t uid = 100000; uid < 100020; ++uid) {
    if (auto charge = quota.take(Resource::kConnection, uid)) held.push_back(std::move(*charge));
  }
  EXPECT_EQ(held.size(), 10u);
  EXPECT_FALSE(quota.take(Resource::kConnection, 7));
  EXPECT_TRUE(quota.take(Resource::kConnection, 8));
}

TEST(Quota, TakesNewLimitsWithoutTouchingWhatIsHeld) {
  Quota quota = with({100, 10});
  auto held = take_all(quota, 1);
  quota.set_limits({Quota::Limit{100, 5}, kNone, kNone, kNone, kNone});
  EXPECT_FALSE(quota.take(Resource::kConnection, 1));
  while (held.size() > 4) held.pop_back();
  EXPECT_TRUE(quota.take(Resource::kConnection, 1));
}

}  // namespace
}  // namespace keyd::daemon
