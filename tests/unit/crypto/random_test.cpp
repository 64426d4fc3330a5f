// The generators fill what they are given, never the same twice, and not the same in a child.
#include "core/crypto/random.h"

#include <gtest/gtest.h>

#include <set>

#include "core/crypto/noise.h"
#include "tests/unit/support/child.h"

namespace keyd::crypto {
namespace {

TEST(Random, NeverGivesTheSameTwice) {
  std::set<Bytes> seen;
  for (int i = 0; i < 1000; ++i) {
    Bytes published(16), kept(16);
    ASSERT_TRUE(fill_random(published));
    ASSERT_TRUE(fill_random_private(kept));
    EXPECT_TRUE(seen.insert(published).second);
    EXPECT_TRUE(seen.insert(kept).second);
  }
}

TEST(Random, FillsTheWholeView) {
  // 64 draws leave an octet at its old value each time with a chance of 2^-512.
  Bytes touched(100, 0);
  for (int round = 0; round < 64; ++round) {
    Bytes out(100, 0);
    ASSERT_TRUE(fill_random(out));
    for (std::size_t i = 0; i < out.size(); ++i) touched[i] |= out[i];
  }
  for (std::size_t i = 0; i < touched.size(); ++i) EXPECT_NE(touched[i], 0) << i;
}

// Small draws come from what was drawn ahead: at every size, and across its end, nothing comes again.
TEST(Random, NeverRepeatsOctetsAtAnySizeOfDraw) {
  std::set<Bytes> seen;
  for (int round = 0; round < 200; ++round) {
    for (const std::size_t size : {16u, 33u, 64u, 65u, 500u}) {
      Bytes out(size);
      ASSERT_TRUE(fill_random(out));
      for (std::size_t at = 0; at + 8 <= size; at += 8) {
        const auto piece = ByteView(out).subspan(at, 8);
        EXPECT_TRUE(seen.insert(Bytes(piece.begin(), piece.end())).second) << size;
      }
    }
  }
}

TEST(Random, TakesAnEmptyView) {
  // A single-key exchange draws a second number of no octets.
  EXPECT_TRUE(fill_random({}));
  EXPECT_TRUE(fill_random_private({}));
}

TEST(Random, PassesTheHealthTestsOfANoiseSource) {
  Bytes out(1 << 16);
  HealthTest published, kept;
  ASSERT_TRUE(fill_random(out));
  EXPECT_TRUE(published.feed(out));
  ASSERT_TRUE(fill_random_private(out));
  EXPECT_TRUE(kept.feed(out));
}

TEST(Random, DiffersBetweenParentAndChild) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd from(ends[0]), to(ends[1]);
  Bytes warm(16);
  ASSERT_TRUE(fill_random(warm));
  test::Child child([&] {
    Bytes childs(32);
    if (!fill_random(childs)) return 1;
    return ::write(to.get(), childs.data(), childs.size()) == 32 ? 0 : 2;
  });
  Bytes own(32), childs(32);
  ASSERT_TRUE(fill_random(own));
  ASSERT_EQ(::read(from.get(), childs.data(), childs.size()), 32);
  EXPECT_EQ(child.wait(), 0);
  EXPECT_NE(own, childs);
}

}  // namespace
}  // namespace keyd::crypto
