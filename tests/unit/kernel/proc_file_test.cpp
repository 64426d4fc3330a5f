// Facts about other processes come as text, some of it chosen by them.
#include "core/kernel/proc_file.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <limits>

namespace keyd::kernel {
namespace {

TEST(ProcFile, IsReadWhole) {
  const auto status = read_proc_file("/proc/self/status");
  ASSERT_TRUE(status);
  EXPECT_EQ(proc_field(*status, "Pid:"), std::to_string(::getpid()));
  EXPECT_TRUE(proc_field(*status, "nonvoluntary_ctxt_switches:")) << "the last line";
}

TEST(ProcFile, IsNothingWhenItIsNotThere) {
  EXPECT_FALSE(read_proc_file("/proc/self/no-such-file"));
  EXPECT_FALSE(read_proc_file("/proc/self"));
}

TEST(ProcField, IsFoundAtTheStartOfALineAlone) {
  EXPECT_EQ(proc_field("Name:\tUid: 0\nUid:\t7\n", "Uid:"), "7");
  EXPECT_EQ(proc_field("xUid:\t0\n", "Uid:"), std::nullopt);
  EXPECT_EQ(proc_field("Uid:\t1\nUid:\t2\n", "Uid:"), "1");
}

TEST(ProcField, LosesTheBlanksAroundItOnly) {
  EXPECT_EQ(proc_field("A: \t b c \t\nB:", "A:"), "b c");
  EXPECT_EQ(proc_field("A:   \nB:1", "A:"), "");
  EXPECT_EQ(proc_field("A:1\nB:", "B:"), "");
  EXPECT_EQ(proc_field("A:1\nB:2", "B:"), "2");
  EXPECT_EQ(proc_field("", "B:"), std::nullopt);
  EXPECT_EQ(proc_field("\n\n\n", "B:"), std::nullopt);
}

TEST(ProcField, IsNotFooledByAProcessName) {
  std::array<char, 16> before{};
  ASSERT_EQ(::prctl(PR_GET_NAME, before.data()), 0);
  ASSERT_EQ(::prctl(PR_SET_NAME, "\nUid:\t0\t0\t0\t0"), 0);
  const auto status = read_proc_file("/proc/thread-self/status");
  ::prctl(PR_SET_NAME, before.data());
  ASSERT_TRUE(status);
  std::array<std::int64_t, 4> ids{};
  ASSERT_TRUE(parse_numbers(proc_field(*status, "Uid:").value(), ids));
  EXPECT_EQ(ids[0], ::getuid());
  EXPECT_EQ(proc_field(*status, "Name:"), "\\nUid:\t0\t0\t0\t0") << "the kernel escapes line ends alone";
}

TEST(ParseNumbers, TakesExactlyAsManyAsAsked) {
  std::array<std::int64_t, 3> out{};
  EXPECT_TRUE(parse_numbers("1\t-2  3 ", out));
  EXPECT_EQ(out, (std::array<std::int64_t, 3>{1, -2, 3}));
  EXPECT_FALSE(parse_numbers("1 2", out));
  EXPECT_FALSE(parse_numbers("1 2 3 4", out));
  EXPECT_FALSE(parse_numbers("", out));
}

TEST(ParseNumbers, RefusesWhatIsNoNumber) {
  std::array<std::int64_t, 2> out{};
  for (const char* text :
       {"1 x", "x 1", "1 2x", "1x 2", "1,2", "0x1 2", "+1 2", "1 9223372036854775808", "1 2\n"}) {
    EXPECT_FALSE(parse_numbers(text, out)) << text;
  }
  std::array<std::int64_t, 1> limit{};
  EXPECT_TRUE(parse_numbers("9223372036854775807", limit));
  EXPECT_EQ(limit[0], std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace keyd::kernel
