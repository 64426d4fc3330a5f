// What is admitted has room: all shares together are no more than there is.
#include "keyd/locked_memory_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/exchange/srp_numbers.h"
#include "core/secret/locked_pool.h"

namespace keyd::daemon {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kMost = secret::LockedPool::kCapacity;

TEST(LockedMemorySharesTest, AreTogetherNoMoreThanThereIs) {
  for (const std::size_t lockable : {std::size_t{256} << 10, std::size_t{1} << 20, kMost}) {
    for (const std::uint32_t bits : {2048u, 3072u, 8192u}) {
      for (const std::uint32_t pool : {0u, 16u}) {
        const auto shares = LockedMemoryShares::of(lockable, bits, pool);
        ASSERT_TRUE(shares) << shares.error().message();
        // v, b and g^b of an exchange that awaits its proof; b and g^b of a pair.
        const std::size_t element = bits == 3072 ? 512 : bits / 8;
        const std::size_t taken = shares->sessions * 256ull + shares->exchanges * (2 * element + 64) +
                                  pool * (element + 64) + 2 * shares->kept_keys * 256ull;
        EXPECT_LT(taken, lockable) << bits << " " << pool;
        EXPECT_GT(taken, lockable * 3 / 4) << bits << " " << pool;
      }
    }
  }
}

// What the reckoning takes for granted of a pair.
TEST(LockedMemorySharesTest, APairTakesWhatIsReckoned) {
  auto& pool = secret::LockedPool::instance();
  const auto group = *exchange::SrpGroup::listed(3072);
  const auto random = [](MutableByteView out) {
    std::ranges::fill(out, std::uint8_t{7});
    return true;
  };
  const std::size_t before = pool.in_use();
  const auto pair = exchange::draw_ephemeral(group, random);
  ASSERT_TRUE(pair);
  EXPECT_EQ(pool.in_use() - before, 64u + 512u);
}

TEST(LockedMemorySharesTest, RefuseNumbersAheadThatLeaveTooLittleAndSayHowManyFit) {
  EXPECT_TRUE(LockedMemoryShares::of(kMost, 3072, 1024));
  const auto refused = LockedMemoryShares::of(kMost, 3072, 1025);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_THAT(refused.error().detail, HasSubstr("set it to 1024 at most"));
  EXPECT_THAT(refused.error().detail, ::testing::Not(HasSubstr("RLIMIT_MEMLOCK"))) << "that would not help";
  EXPECT_THAT(LockedMemoryShares::of(128 << 10, 3072, 64).error().detail,
              HasSubstr("set it to 21 at most, or raise RLIMIT_MEMLOCK"));
}

TEST(LockedMemorySharesTest, AreNeverNothing) {
  const auto shares = LockedMemoryShares::of(0, 8192, 0);
  ASSERT_TRUE(shares);
  EXPECT_EQ(shares->sessions, 1u);
  EXPECT_EQ(shares->exchanges, 1u);
  EXPECT_EQ(shares->kept_keys, 1u);
}

}  // namespace
}  // namespace keyd::daemon
