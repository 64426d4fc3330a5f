// Numbers drawn ahead, also after there was no room for one.
#include "keyd/ephemeral_pool.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <vector>

#include "core/secret/locked_pool.h"
#include "tests/support/eventually.h"

namespace keyd::daemon {
namespace {

constexpr unsigned kBits = 2048;
constexpr AccountId kAccount = 7;

class EphemeralPoolTest : public ::testing::Test {
 protected:
  // Runs what has come to the loop, until `wanted` or for 10 s.
  template <typename Wanted>
  bool runs_until(Wanted wanted) {
    return testing::eventually(
        [&] {
          loop_.restart();
          loop_.poll();
          return wanted();
        },
        10);
  }
  Result<exchange::EphemeralPair> draw(unsigned bits = kBits) {
    std::optional<Result<exchange::EphemeralPair>> drawn;
    pool_.draw(kAccount, *exchange::SrpGroup::listed(bits),
               [&](Result<exchange::EphemeralPair> pair) { drawn = std::move(pair); });
    if (!runs_until([&] { return drawn.has_value(); })) return fail(Code::kBroken, "it was not drawn");
    return std::move(*drawn);
  }
  // All the locked memory that there is.
  static std::vector<secret::SecretBuffer> all_of_it() {
    std::vector<secret::SecretBuffer> held;
    for (std::size_t size = secret::LockedPool::kLargestBlock; size >= secret::LockedPool::kSmallestBlock;
         size /= 2) {
      try {
        for (;;) held.emplace_back(size);
      } catch (const secret::PoolExhausted&) {
      }
    }
    return held;
  }
  boost::asio::io_context loop_;
  WorkerPool workers_{loop_, 1};
  EphemeralPool pool_{workers_, kBits, 3};
};

TEST_F(EphemeralPoolTest, FillsItselfAndGivesEachPairOnce) {
  pool_.start();
  ASSERT_TRUE(runs_until([&] { return pool_.ready() == 3; }));
  const auto first = draw(), second = draw();
  ASSERT_TRUE(first && second);
  EXPECT_NE(text_of(first->exponent.reveal()), text_of(second->exponent.reveal()));
  EXPECT_TRUE(runs_until([&] { return pool_.ready() == 3; }));
}

TEST_F(EphemeralPoolTest, DrawsInAnotherGroupWhenAsked) {
  const auto pair = draw(3072);
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->group.bits(), 3072u);
}

TEST_F(EphemeralPoolTest, GoesOnDrawingAheadAfterThereWasNoRoom) {
  {
    const auto held = all_of_it();
    pool_.start();
    const auto pair = draw();  // behind the one drawn ahead
    ASSERT_FALSE(pair);
    EXPECT_EQ(pair.error().code, Code::kExhausted);
    EXPECT_EQ(pool_.ready(), 0u);
  }
  ASSERT_TRUE(draw());
  EXPECT_TRUE(runs_until([&] { return pool_.ready() == 3; })) << "the next exchanges wait for each number";
}

}  // namespace
}  // namespace keyd::daemon
