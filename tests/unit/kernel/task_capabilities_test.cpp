// Another process's capabilities come from a text file that the process has a say in: its name is in it.
#include "core/kernel/task_capabilities.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "core/kernel/pidfd.h"
#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

// What capget(2) says, to compare with.
std::uint64_t own_permitted() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  ::syscall(SYS_capget, &header, data);
  return std::uint64_t{data[1].permitted} << 32 | data[0].permitted;
}

std::optional<std::uint64_t> of(pid_t pid) {
  const auto pidfd = open_pidfd(pid);
  return pidfd ? permitted_capabilities(pidfd->get(), static_cast<std::uint32_t>(pid)) : std::nullopt;
}

TEST(TaskCapabilities, AreWhatTheKernelSays) { EXPECT_EQ(of(::getpid()), own_permitted()); }

TEST(TaskCapabilities, AreNoneForAnOrdinaryUser) {
  test::Gate ready;
  test::Child child([&] {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 1;
    ready.open();
    for (;;) ::pause();
  });
  ready.pass();
  EXPECT_EQ(of(child.pid()), 0u);
}

TEST(TaskCapabilities, CannotBeForgedByAProcessName) {
  test::Gate ready;
  test::Child child([&] {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 1;
    ::prctl(PR_SET_NAME, "\nCapPrm:\tffffff", 0, 0, 0);
    ready.open();
    for (;;) ::pause();
  });
  ready.pass();
  EXPECT_EQ(of(child.pid()), 0u);
}

TEST(TaskCapabilities, AreUnknownOfAZombie) {
  test::Child child([] { return 0; });
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  child.wait_for_zombie();
  EXPECT_EQ(permitted_capabilities(pidfd->get(), static_cast<std::uint32_t>(child.pid())), std::nullopt);
}

TEST(TaskCapabilities, AreUnknownOfANumberThatTheDeadProcessNoLongerHas) {
  // The number now belongs to somebody else (here: us): the pidfd tells.
  test::Child child([] { return 0; });
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  child.wait();
  EXPECT_EQ(permitted_capabilities(pidfd->get(), static_cast<std::uint32_t>(::getpid())), std::nullopt);
}

}  // namespace
}  // namespace keyd::kernel
