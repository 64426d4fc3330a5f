// What a process does to itself, looked at from outside: in children, because there is no way back.
#include "core/kernel/hardening.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

#include <string>

#include "core/base/unique_fd.h"
#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

TEST(ForbidInspection, MakesTheProcessNonDumpable) {
  test::Child child([] {
    if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1) return 10;
    if (!forbid_inspection()) return 11;
    return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 12;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ForbidInspection, KeepsAnotherProcessOfTheSameUidOut) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become two processes of one ordinary uid";
  test::Gate forbidden;
  test::Child target([&] {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return 10;
    // Changing ids clears the flag already: set it again, so that what follows is what took it away.
    if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || !forbid_inspection()) return 11;
    forbidden.open();
    for (;;) ::pause();
  });
  forbidden.pass();
  test::Child spy([&] {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return 10;
    const UniqueFd memory(
        ::open(("/proc/" + std::to_string(target.pid()) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
    if (memory.valid()) return 11;
    return ::ptrace(PTRACE_ATTACH, target.pid(), nullptr, nullptr) == 0 ? 12 : 0;
  });
  EXPECT_EQ(spy.wait(), 0);
}

TEST(ForbidCoreFiles, LeavesNoRoomForOneForGood) {
  test::Child child([] {
    if (!forbid_core_files()) return 10;
    rlimit limit{1, 1};
    return ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0 ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ForbidNewPrivileges, HoldsOverAnExec) {
  test::Child child([] {
    if (!forbid_new_privileges()) return 10;
    ::execl("/bin/grep", "grep", "-q", "^NoNewPrivs:[[:space:]]1$", "/proc/self/status",
            static_cast<char*>(nullptr));
    return 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace keyd::kernel
