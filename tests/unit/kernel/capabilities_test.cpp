// Giving up power for good: in children, because there is no way back.
#include "core/kernel/capabilities.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <string>

#include "core/kernel/proc_file.h"
#include "tests/support/sanitizers.h"
#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

// The four sets as the kernel shows them, "0000000000000000" each when there is nothing left.
bool holds_nothing() {
  const auto status = read_proc_file("/proc/self/status");
  if (!status) return false;
  for (const char* set : {"CapPrm:", "CapEff:", "CapInh:", "CapAmb:"}) {
    if (proc_field(*status, set) != std::string(16, '0')) return false;
  }
  return true;
}

TEST(DropAllCapabilities, LeavesNoneInAnySet) {
  test::Child child([] { return drop_all_capabilities() && holds_nothing() ? 0 : 1; });
  EXPECT_EQ(child.wait(), 0);
}

TEST(DropAllCapabilities, TakesTheAmbientOnesToo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to have an ambient capability first";
  test::Child child([] {
    const cap_t caps = cap_get_proc();
    const cap_value_t one = CAP_NET_RAW;
    if (cap_set_flag(caps, CAP_INHERITABLE, 1, &one, CAP_SET) != 0 || cap_set_proc(caps) != 0) return 10;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0) != 0) return 11;
    return drop_all_capabilities() && holds_nothing() ? 0 : 12;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(DropAllCapabilities, CannotBeUndone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to have something to lose";
  // Capabilities are a thread's own: ThreadSanitizer's thread keeps its, may change its ids where ours may
  // not, and the C library takes such a difference for the end of the process.
  if (testing::kHasOwnThread) GTEST_SKIP() << "the sanitizer has a thread of its own in this process";
  test::Child child([] {
    if (!drop_all_capabilities()) return 10;
    return ::setresuid(65534, 65534, 65534) == 0 || ::setgroups(0, nullptr) == 0 ? 11 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(BecomeUser, LeavesNoIdAndNoGroupOfRoot) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  test::Child child([] {
    const gid_t groups[] = {0, 4, 27};
    if (::setgroups(3, groups) != 0 || !become_user(1234, 5678, static_cast<gid_t>(-1))) return 10;
    const auto status = read_proc_file("/proc/self/status");
    if (proc_field(*status, "Uid:") != "1234\t1234\t1234\t1234") return 11;
    if (proc_field(*status, "Gid:") != "5678\t5678\t5678\t5678") return 12;
    if (::getgroups(0, nullptr) != 0) return 13;
    return ::setresuid(0, 0, 0) == 0 || ::setresgid(0, 0, 0) == 0 ? 14 : 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(BecomeUser, KeepsTheOneGroupItIsGiven) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  test::Child child([] {
    if (!become_user(1234, 5678, 4)) return 10;
    gid_t group = 0;
    return ::getgroups(1, &group) == 1 && group == 4 ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(DropAllCapabilities, EmptiesTheBoundingSetToo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to have a bounding set that can be emptied";
  test::Child child([] {
    if (!drop_all_capabilities()) return 10;
    return proc_field(*read_proc_file("/proc/self/status"), "CapBnd:") == std::string(16, '0') ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(BecomeUser, KeepsTheCapabilitiesItIsGivenAndNoOthers) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  test::Child child([] {
    const cap_t had = cap_get_proc();
    for (const cap_value_t needed : {CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN}) {
      cap_flag_value_t held = CAP_CLEAR;
      if (cap_get_flag(had, needed, CAP_PERMITTED, &held) != 0 || held != CAP_SET) return 42;
    }
    if (!become_user(1234, 5678, static_cast<gid_t>(-1), {CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN})) return 10;
    const auto status = read_proc_file("/proc/self/status");
    const std::string kept = "000000c000001000", none(16, '0');
    if (proc_field(*status, "CapPrm:") != kept || proc_field(*status, "CapEff:") != kept) return 11;
    for (const char* set : {"CapInh:", "CapAmb:", "CapBnd:"})
      if (proc_field(*status, set) != none) return 12;
    if (proc_field(*status, "Uid:") != "1234\t1234\t1234\t1234") return 13;
    if (::setresuid(0, 0, 0) == 0) return 14;
    return drop_all_capabilities() && holds_nothing() ? 0 : 15;
  });
  const int status = child.wait();
  if (status == 42) GTEST_SKIP() << "needs the capabilities that are to be kept";
  EXPECT_EQ(status, 0);
}

TEST(BecomeUser, GainsNoneThatItDidNotHave) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  test::Child child([] {
    const cap_t caps = cap_get_proc();
    const cap_value_t one = CAP_NET_ADMIN;
    cap_set_flag(caps, CAP_PERMITTED, 1, &one, CAP_CLEAR);
    cap_set_flag(caps, CAP_EFFECTIVE, 1, &one, CAP_CLEAR);
    if (cap_set_proc(caps) != 0) return 10;
    return become_user(1234, 5678, static_cast<gid_t>(-1), {CAP_NET_ADMIN}) && holds_nothing() ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(BecomeUser, SaysSoWhenItCannot) {
  test::Child child([] {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 10;
    const auto became = become_user(1234, 1234, static_cast<gid_t>(-1));
    return !became && became.error().system == EPERM ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace keyd::kernel
