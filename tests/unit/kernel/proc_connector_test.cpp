// The kernel's process events, for real: an exec and a change of ids in a child are seen; forks and exits are
// not.
#include "core/kernel/proc_connector.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

class ProcConnectorTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root (CAP_NET_ADMIN in the initial namespaces)";
    auto opened = ProcConnector::open();
    if (!opened) GTEST_SKIP() << "no process connector here: " << opened.error().message();
    connector_.emplace(std::move(*opened));
  }
  // Drains until an event of this kind and process came; false when ten seconds brought none.
  bool sees(ProcessEvent::Kind kind, pid_t pid) {
    for (int waited = 0; waited < 100; ++waited) {
      pollfd entry{connector_->descriptor(), POLLIN, 0};
      ::poll(&entry, 1, 100);
      if (!connector_->drain(events_)) return false;
      const bool seen = std::ranges::any_of(events_, [&](const ProcessEvent& event) {
        return event.kind == kind && event.tgid == static_cast<std::uint32_t>(pid);
      });
      if (seen) return true;
    }
    return false;
  }

  std::optional<ProcConnector> connector_;
  std::vector<ProcessEvent> events_;
};

TEST_F(ProcConnectorTest, SeesAnExec) {
  test::Child child([] {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    return 1;
  });
  EXPECT_TRUE(sees(ProcessEvent::Kind::kExec, child.pid()));
}

TEST_F(ProcConnectorTest, SeesAChangeOfUid) {
  test::Child child([] { return ::setresuid(65534, 65534, 65534) == 0 ? 0 : 1; });
  EXPECT_TRUE(sees(ProcessEvent::Kind::kCredentials, child.pid()));
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(ProcConnectorTest, SeesAChangeOfGid) {
  test::Child child([] { return ::setresgid(65534, 65534, 65534) == 0 ? 0 : 1; });
  EXPECT_TRUE(sees(ProcessEvent::Kind::kCredentials, child.pid()));
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(ProcConnectorTest, SeesAChangeOfTheEffectiveUidAlone) {
  test::Child child([] { return ::seteuid(65534) == 0 ? 0 : 1; });
  EXPECT_TRUE(sees(ProcessEvent::Kind::kCredentials, child.pid()));
}

TEST_F(ProcConnectorTest, IsNotToldOfForksAndExits) {
  pid_t quiet = 0;
  for (int i = 0; i < 20; ++i) {
    test::Child child([] { return 0; });
    quiet = child.pid();
    child.wait();
  }
  // A later exec shows that everything before it has been delivered.
  test::Child marker([] {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    return 1;
  });
  ASSERT_TRUE(sees(ProcessEvent::Kind::kExec, marker.pid()));
  EXPECT_TRUE(std::ranges::none_of(
      events_, [&](const ProcessEvent& event) { return event.tgid == static_cast<std::uint32_t>(quiet); }));
}

TEST_F(ProcConnectorTest, DoesNotWaitWhenNothingHappened) {
  // The descriptor is non-blocking: draining twice in a row returns, with nothing lost.
  EXPECT_TRUE(connector_->drain(events_));
  EXPECT_TRUE(connector_->drain(events_));
}

TEST_F(ProcConnectorTest, IsCloseOnExec) {
  EXPECT_EQ(::fcntl(connector_->descriptor(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(ProcConnectorTest, SaysWhenEventsWereLost) {
  // The smallest buffer, and more execs than fit into it while nobody drains.
  const int smallest = 1;
  ASSERT_EQ(::setsockopt(connector_->descriptor(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest), 0);
  for (int i = 0; i < 100; ++i) {
    test::Child child([] {
      ::execl("/bin/true", "true", static_cast<char*>(nullptr));
      return 1;
    });
    child.wait();
  }
  EXPECT_FALSE(connector_->drain(events_));
}

TEST(ProcConnectorWithoutRights, SaysUnsupportedOrReallyTells) {
  // Linux 6.6 and later let anybody listen: what matters is that an open connector is one that tells.
  test::Child child([] {
    if (::geteuid() == 0 && (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0))
      return 10;
    auto opened = ProcConnector::open();
    if (!opened) return opened.error().code == Code::kUnsupported ? 0 : 11;
    test::Child marker([] {
      ::execl("/bin/true", "true", static_cast<char*>(nullptr));
      return 1;
    });
    std::vector<ProcessEvent> events;
    for (int waited = 0; waited < 100; ++waited) {
      pollfd entry{opened->descriptor(), POLLIN, 0};
      ::poll(&entry, 1, 100);
      if (!opened->drain(events)) return 12;
      for (const ProcessEvent& event : events) {
        if (event.tgid == static_cast<std::uint32_t>(marker.pid())) return 0;
      }
    }
    return 13;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace keyd::kernel
