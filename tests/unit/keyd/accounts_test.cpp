#include "keyd/accounts.h"

#include <gtest/gtest.h>

#include <fstream>

namespace keyd::daemon {
namespace {

Accounts parse(std::string_view text) {
  return Accounts::parse(text, [](const std::string& name) -> std::optional<std::uint32_t> {
    if (name == "alice") return 1000;
    if (name == "bob") return 1001;
    return std::nullopt;
  });
}

TEST(Accounts, ChargesASubordinateUidToItsOwner) {
  const Accounts accounts = parse("alice:100000:65536\n1001:165536:10\n# nothing\n\n");
  EXPECT_EQ(accounts.account_of(100000), 1000u);
  EXPECT_EQ(accounts.account_of(165535), 1000u);
  EXPECT_EQ(accounts.account_of(165536), 1001u);
  EXPECT_EQ(accounts.account_of(165545), 1001u);
  EXPECT_EQ(accounts.passed_over(), 0u);
}

TEST(Accounts, LetsEveryOtherUidBeItsOwn) {
  const Accounts accounts = parse("alice:100000:65536\n");
  for (const std::uint32_t uid : {0u, 1000u, 99999u, 165536u, 0xffffffffu})
    EXPECT_EQ(accounts.account_of(uid), uid);
  EXPECT_EQ(Accounts().account_of(100000), 100000u);
}

TEST(Accounts, NeverMakesRootASubordinate) {
  EXPECT_EQ(parse("alice:0:65536\n").account_of(0), 0u);
  EXPECT_EQ(parse("alice:0:65536\n").account_of(5), 1000u);
}

TEST(Accounts, PassesOverLinesThatSayNothingUsable) {
  const Accounts accounts = parse(
      "alice\nalice:\nalice:1:\nalice:x:5\nalice:5:0\nalice:-1:5\nalice:4294967296:1\nalice:1:4294967296\n"
      "alice:1:2:3\nnobody-knows:7:7\n:9:9\nalice:200000:10");
  EXPECT_EQ(accounts.passed_over(), 11u);
  EXPECT_EQ(accounts.ranges(), 1u);
  EXPECT_EQ(accounts.account_of(200005), 1000u);
  EXPECT_EQ(parse("alice:4294967295:1\n").account_of(4294967295u), 1000u);
}

TEST(Accounts, GivesAUidOneOwnerWhereRangesOverlap) {
  const Accounts accounts = parse("bob:150:100\nalice:100:100\n");
  EXPECT_EQ(accounts.account_of(199), 1000u);
  EXPECT_EQ(accounts.account_of(200), 200u);  // the whole second range is passed over
  EXPECT_EQ(accounts.passed_over(), 1u);
}

TEST(Accounts, TakesAMissingFileForNoSubordinatesAndAnUnreadableOneForAnError) {
  const auto missing = Accounts::load("/nonexistent/subuid");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->ranges(), 0u);
  EXPECT_FALSE(Accounts::load("/proc/self/mem/subuid"));  // ENOTDIR
}

}  // namespace
}  // namespace keyd::daemon
