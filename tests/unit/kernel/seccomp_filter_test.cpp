// A filter is for good, so each is put on in a child.
#include "core/kernel/seccomp_filter.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "core/kernel/common_calls.h"
#include "tests/support/sanitizers.h"
#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

// What a child needs to end, and what a sanitizer does.
SystemCalls least() { return run_time_calls(); }

int error_of(long result) { return result < 0 ? errno : 0; }

TEST(SeccompFilter, LetsCallsFailBeAbsentOrKill) {
  test::Child failing([] {
    if (!restrict_system_calls({least(), {{"setsid"}}, {}})) return 10;
    if (error_of(::syscall(SYS_setsid)) != ENOSYS) return 11;
    return error_of(::syscall(SYS_getpgid, 0));
  });
  EXPECT_EQ(failing.wait(), EPERM);
  test::Child killed([] {
    if (!restrict_system_calls({least(), {}, {{"setsid"}}})) return 10;
    return error_of(::syscall(SYS_setsid));
  });
  EXPECT_EQ(killed.wait(), -SIGSYS);
}

TEST(SeccompFilter, JudgesArguments) {
  test::Child child([] {
    SystemCalls calls = least();
    calls.push_back({"getpgid", {is(0, 7)}});
    calls.push_back({"getsid", {has(0, 4)}});
    calls.push_back({"getpriority", {is(0, 0), is(1, 0)}});
    calls.push_back({"setpgid", {is_null(1)}});
    if (!restrict_system_calls({calls, {}, {}})) return 10;
    // ESRCH, EINVAL or success: it came through.
    const auto passes = [](long result) { return error_of(result) != EPERM; };
    if (!passes(::syscall(SYS_getpgid, 7)) || passes(::syscall(SYS_getpgid, 8))) return 11;
    // The upper half of an int's register says nothing, neither to the kernel nor to the filter.
    if (!passes(::syscall(SYS_getpgid, 0x100000007L)) || passes(::syscall(SYS_getpgid, 0x700000000L)))
      return 12;
    if (!passes(::syscall(SYS_getsid, 0x7ffffff6)) || passes(::syscall(SYS_getsid, 0x7ffffff2))) return 13;
    if (!passes(::syscall(SYS_getpriority, 0, 0)) || passes(::syscall(SYS_getpriority, 0, 1)) ||
        passes(::syscall(SYS_getpriority, 1, 0))) {
      return 14;
    }
    return passes(::syscall(SYS_setpgid, 1, 0x100000000L)) ? 15 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(SeccompFilter, IsForThreadsThatThereAreAlreadyToo) {
  if (testing::kSanitized) GTEST_SKIP() << "a sanitizer's exit of a thread makes calls of its own";
  test::Child child([] {
    int seen = 0;
    SystemCalls calls = least();
    std::atomic<bool> runs = false;
    std::thread other([&] {
      runs = true;
      // A call that was under way when it came is answered still, by the mode.
      while (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0) ::sched_yield();
      seen = errno;  // the filter has come: even to ask for it is refused
    });
    while (!runs) ::sched_yield();  // a thread that the filter meets half started is ended by its C library
    const bool restricted = restrict_system_calls({calls, {}, {}}).has_value();
    other.join();
    return restricted ? seen : 100;
  });
  EXPECT_EQ(child.wait(), EPERM);
}

TEST(SeccompFilter, RefusesANameThatNobodyKnows) {
  test::Child child([] {
    const auto restricted = restrict_system_calls({{{"no_such_call"}}, {}, {}});
    if (restricted || restricted.error().code != Code::kUnsupported) return 10;
    return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(SeccompFilter, CannotBeWidened) {
  test::Child child([] {
    SystemCalls calls = least(), more = least();
    calls.push_back({"seccomp"});
    calls.push_back({"prctl"});
    more.push_back({"getpgid"});
    if (!restrict_system_calls({calls, {}, {}})) return 10;
    (void)restrict_system_calls({more, {}, {}});
    return error_of(::syscall(SYS_getpgid, 0));
  });
  EXPECT_EQ(child.wait(), EPERM);
}

TEST(CommonCalls, AreInOneListOnly) {
  const auto overlaps = [](const SystemCalls& some, const SystemCalls& others) {
    std::string both;
    for (const SystemCall& one : some)
      for (const SystemCall& other : others)
        if (std::string_view(one.name) == other.name && one.tests[0].mask == 0 && other.tests[0].mask == 0)
          both += std::string(one.name) + " ";
    return both;
  };
  EXPECT_EQ(overlaps(run_time_calls(), deadly_calls()), "");
  EXPECT_EQ(overlaps(run_time_calls(), absent_calls()), "");
  EXPECT_EQ(overlaps(absent_calls(), deadly_calls()), "");
}

}  // namespace
}  // namespace keyd::kernel
