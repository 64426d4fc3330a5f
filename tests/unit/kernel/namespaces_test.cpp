// A pid means something only together with its namespace.
#include "core/kernel/namespaces.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

TEST(Namespaces, AreTheSameForAProcessAndItsOrdinaryChild) {
  const NamespaceIds own = own_namespaces();
  EXPECT_NE(own.pid, 0u);
  EXPECT_NE(own.user, 0u);
  test::Child child([&] { return own_namespaces() == own ? 0 : 1; });
  EXPECT_EQ(child.wait(), 0);
}

TEST(Namespaces, DifferInsideANewPidNamespace) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a pid namespace";
  const NamespaceIds own = own_namespaces();
  EXPECT_EQ(own_pid_namespace(), own.pid);
  test::Child child([&] {
    if (own_pid_namespace() != own.pid) return 11;
    if (::unshare(CLONE_NEWPID) != 0) return 10;
    test::Child inside([&] {
      const NamespaceIds ids = own_namespaces();
      return ids.pid != own.pid && ids.pid != 0 && ids.user == own.user && own_pid_namespace() == ids.pid ? 0
                                                                                                          : 1;
    });
    return inside.wait();
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace keyd::kernel
