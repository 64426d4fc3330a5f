// What is reckoned from the acknowledgements, without a kernel: the worst that they leave possible.
#include "core/kernel/listener_count.h"

#include <gtest/gtest.h>

namespace keyd::kernel {
namespace {

class ListenerCountTest : public testing::Test {
 protected:
  void SetUp() override {
    for (std::int64_t i = 0; i < ListenerCount::kMargin; ++i) count_.added();
  }
  // One look: what has come since the last, all of it read.
  void others(std::int64_t errors, std::int64_t successes) {
    for (std::int64_t i = 0; i < successes; ++i) count_.success();
    count_.successes_read();
    for (std::int64_t i = 0; i < errors; ++i) count_.error();
    count_.errors_read();
  }
  [[nodiscard]] std::int64_t gone() const { return count_.additions() - count_.spare(count_.additions()); }

  static constexpr std::int64_t kMany = 1'000'000;
  ListenerCount count_;
};

TEST_F(ListenerCountTest, ErrorsAloneTakeNothing) {
  others(kMany, 0);
  EXPECT_EQ(gone(), 0);
  others(0, 10);
  EXPECT_EQ(gone(), 10);
}

TEST_F(ListenerCountTest, SuccessesAloneTakeWhatCouldHaveBeenPreparedAndASmallPart) {
  others(0, kMany);
  EXPECT_EQ(gone(), ListenerCount::kPrepared + kMany / ListenerCount::kRaces);
}

TEST_F(ListenerCountTest, PairsTakeOneEach) {
  for (int look = 0; look < 100; ++look) others(1000, 1000);
  EXPECT_EQ(gone(), 100'000 + 100'000 / ListenerCount::kRaces);
}

TEST_F(ListenerCountTest, APairWhoseErrorWasReadALookEarlierTakesOneToo) {
  others(1000, 0);
  others(0, 1000);
  EXPECT_EQ(gone(), 1000 + 1000 / ListenerCount::kRaces);
}

TEST_F(ListenerCountTest, SuccessesBesideLostErrorsTakeOneEach) {
  for (std::int64_t i = 0; i < 5000; ++i) count_.success();
  count_.successes_read();
  count_.errors_lost();
  count_.errors_read();
  EXPECT_EQ(gone(), 5000 + 5000 / ListenerCount::kRaces);
  others(0, 5000);  // these may belong to the lost ones
  EXPECT_EQ(gone(), 10'000 + 10'000 / ListenerCount::kRaces);
  others(0, kMany);  // of these no more than were prepared
  EXPECT_EQ(gone(), 10'000 + ListenerCount::kPrepared + (kMany + 10'000) / ListenerCount::kRaces);
}

TEST_F(ListenerCountTest, ErrorsOfPairsThatAreNotReadYetAreNotForgotten) {
  // The errors are read while the successes are behind: later each success still has its error.
  for (std::int64_t i = 0; i < 50'000; ++i) count_.error();
  count_.errors_read();
  others(0, 50'000);
  EXPECT_EQ(gone(), 50'000 + 50'000 / ListenerCount::kRaces);
}

TEST_F(ListenerCountTest, UnreadErrorsAllowEverything) {
  for (std::int64_t i = 0; i < 5000; ++i) count_.success();
  EXPECT_EQ(gone(), 5000 + 5000 / ListenerCount::kRaces);
}

}  // namespace
}  // namespace keyd::kernel
