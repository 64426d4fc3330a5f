// A descriptor that is closed twice closes somebody else's; one that is never closed is a leak a peer can
// drive.
#include "core/base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <type_traits>

namespace keyd {
namespace {

static_assert(!std::is_copy_constructible_v<UniqueFd> && !std::is_copy_assignable_v<UniqueFd>);
static_assert(std::is_nothrow_move_constructible_v<UniqueFd> && std::is_nothrow_move_assignable_v<UniqueFd>);

int fresh() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesWhenItGoes) {
  const int raw = fresh();
  {
    const UniqueFd owned(raw);
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, OwnsNothingAtFirst) {
  const UniqueFd none;
  EXPECT_FALSE(none.valid());
  EXPECT_EQ(none.get(), -1);
}

TEST(UniqueFd, GivesOwnershipWhenMovedFrom) {
  UniqueFd first(fresh());
  const int raw = first.get();
  UniqueFd second(std::move(first));
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(second.get(), raw);
  EXPECT_TRUE(is_open(raw));
}

TEST(UniqueFd, ClosesWhatItHadWhenAssigned) {
  UniqueFd first(fresh()), second(fresh());
  const int old = first.get(), kept = second.get();
  first = std::move(second);
  EXPECT_FALSE(is_open(old));
  EXPECT_TRUE(is_open(kept));
  EXPECT_EQ(first.get(), kept);
}

TEST(UniqueFd, SurvivesAssignmentToItself) {
  UniqueFd owned(fresh());
  UniqueFd& same = owned;
  const int raw = owned.get();
  owned = std::move(same);
  EXPECT_EQ(owned.get(), raw);
  EXPECT_TRUE(is_open(raw));
}

TEST(UniqueFd, LeavesAReleasedDescriptorOpen) {
  UniqueFd owned(fresh());
  const int raw = owned.release();
  EXPECT_FALSE(owned.valid());
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

}  // namespace
}  // namespace keyd
