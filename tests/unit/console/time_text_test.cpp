#include "tools/console/time_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace keyd::console {
namespace {

TEST(TimeText, IsRfc3339InUtc) {
  EXPECT_EQ(utc(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc(1709210096), "2024-02-29T12:34:56Z");
  EXPECT_EQ(utc(253402300799), "9999-12-31T23:59:59Z");
}

TEST(TimeText, ShowsAbsurdTimesAsTheirNumber) {
  EXPECT_EQ(utc(253402300800), "253402300800");
  EXPECT_EQ(utc(std::numeric_limits<std::int64_t>::max()), "9223372036854775807");
  EXPECT_EQ(utc(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
}

}  // namespace
}  // namespace keyd::console
