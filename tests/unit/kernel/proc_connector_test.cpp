// The kernel's process events, for real: an exec and a change of ids in a child are seen; forks and exits are
// not.
#include "core/kernel/proc_connector.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "tests/support/connector_operations.h"
#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

class ProcConnectorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root (CAP_NET_ADMIN in the initial namespaces)";
    auto opened = ProcConnector::open();
    if (!opened) GTEST_SKIP() << "no process connector here: " << opened.error().message();
    connector_.emplace(std::move(*opened));
  }
  enum class Kind { kExec, kIds };
  bool drain(Kind kind) {
    if (kind == Kind::kIds) return connector_->drain_ids(seen_);
    Heard heard = connector_->drain_execs(seen_);
    while (heard == Heard::kSome) heard = connector_->drain_execs(seen_);
    return heard == Heard::kAll;
  }
  // After a loss: it begins anew when it is probed, as keyd does twice a second. Ten seconds at most.
  bool comes_back() {
    for (const BootTime end = boot_now() + 10 * kSecond; boot_now() < end;) {
      if (!connector_->probe()) return false;
      if (connector_->drain_execs(seen_) == Heard::kAll) return true;
      pollfd entry{connector_->acknowledgement_descriptor(), POLLIN, 0};
      ::poll(&entry, 1, 10);
    }
    return false;
  }
  // Drains until an event of this kind and process came; false when ten seconds brought none.
  bool sees(Kind kind, pid_t pid) {
    const int fd = kind == Kind::kExec ? connector_->exec_descriptor() : connector_->ids_descriptor();
    for (int waited = 0; waited < 100; ++waited) {
      pollfd entry{fd, POLLIN, 0};
      ::poll(&entry, 1, 100);
      if (!drain(kind)) return false;
      if (std::ranges::find(seen_, static_cast<std::uint32_t>(pid)) != seen_.end()) return true;
    }
    return false;
  }

  std::optional<ProcConnector> connector_;
  std::vector<std::uint32_t> seen_;
};

TEST_F(ProcConnectorTest, SeesAnExec) {
  test::Child child([] {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    return 1;
  });
  EXPECT_TRUE(sees(Kind::kExec, child.pid()));
}

TEST_F(ProcConnectorTest, SeesAChangeOfUid) {
  test::Child child([] { return ::setresuid(65534, 65534, 65534) == 0 ? 0 : 1; });
  EXPECT_TRUE(sees(Kind::kIds, child.pid()));
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(ProcConnectorTest, SeesAChangeOfGid) {
  test::Child child([] { return ::setresgid(65534, 65534, 65534) == 0 ? 0 : 1; });
  EXPECT_TRUE(sees(Kind::kIds, child.pid()));
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(ProcConnectorTest, SeesAChangeOfTheEffectiveUidAlone) {
  test::Child child([] { return ::seteuid(65534) == 0 ? 0 : 1; });
  EXPECT_TRUE(sees(Kind::kIds, child.pid()));
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
  ASSERT_TRUE(sees(Kind::kExec, marker.pid()));
  EXPECT_EQ(std::ranges::count(seen_, static_cast<std::uint32_t>(quiet)), 0);
}

TEST_F(ProcConnectorTest, DoesNotWaitWhenNothingHappened) {
  // The descriptors are non-blocking: draining twice in a row returns, with nothing lost.
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(drain(Kind::kExec));
    EXPECT_TRUE(drain(Kind::kIds));
  }
}

TEST_F(ProcConnectorTest, IsCloseOnExec) {
  EXPECT_EQ(::fcntl(connector_->exec_descriptor(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(::fcntl(connector_->acknowledgement_descriptor(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(::fcntl(connector_->ids_descriptor(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(ProcConnectorTest, HoldsMoreExecsThanOneReadTakes) {
  constexpr std::size_t kExecs = 300;
  std::vector<std::uint32_t> wanted;
  for (std::size_t i = 0; i < kExecs; ++i) {
    test::Child child([] {
      ::execl("/bin/true", "true", static_cast<char*>(nullptr));
      return 1;
    });
    child.wait();
    wanted.push_back(static_cast<std::uint32_t>(child.pid()));
  }
  ASSERT_TRUE(drain(Kind::kExec));
  for (const std::uint32_t tgid : wanted) EXPECT_EQ(std::ranges::count(seen_, tgid), 1);
}

TEST_F(ProcConnectorTest, SaysWhenEventsWereLost) {
  // The smallest buffer, and more execs than fit into it while nobody drains.
  const int smallest = 1;
  ASSERT_EQ(::setsockopt(connector_->exec_descriptor(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest),
            0);
  for (int i = 0; i < 100; ++i) {
    test::Child child([] {
      ::execl("/bin/true", "true", static_cast<char*>(nullptr));
      return 1;
    });
    child.wait();
  }
  EXPECT_FALSE(drain(Kind::kExec));
  const int enough = 1 << 20;
  ASSERT_EQ(::setsockopt(connector_->exec_descriptor(), SOL_SOCKET, SO_RCVBUFFORCE, &enough, sizeof enough),
            0);
  EXPECT_FALSE(drain(Kind::kExec)) << "it has begun anew at once";
  EXPECT_TRUE(comes_back());
}

TEST_F(ProcConnectorTest, SaysWhenChangesOfIdsAreTooMany) {
  test::Child child([] {
    for (int i = 0; i < 2000; ++i) {
      if (::seteuid(i % 2 == 0 ? 65534 : 0) != 0) return 1;
    }
    return 0;
  });
  ASSERT_EQ(child.wait(), 0);
  EXPECT_FALSE(drain(Kind::kIds));
  EXPECT_LE(seen_.size(), ProcConnector::kIdsAtOnce);
  EXPECT_TRUE(drain(Kind::kExec)) << "a flood of changes of ids has cost events of execs";
  int rounds = 0;
  while (!drain(Kind::kIds) && rounds < 100) ++rounds;  // what is left comes later, and has an end
  EXPECT_LT(rounds, 100);
}

// ---- somebody who silences the connector

// As any user can: takes listeners away from the kernel's count, and gives them back.
class Silencer {
 public:
  Silencer() : socket_(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR)) {}
  void take(int count) { repeat(count, PROC_CN_MCAST_IGNORE); }
  void give(int count) { repeat(count, PROC_CN_MCAST_LISTEN); }

  void repeat(int count, std::uint32_t operation) {
    say(PROC_CN_MCAST_IGNORE);
    for (int i = 0; i < count; ++i) {
      say(99);
      say(operation);
    }
  }
  void say(std::uint32_t operation) {
    ASSERT_TRUE(keyd::testing::say_to_connector(socket_.get(), operation));
  }

 private:
  UniqueFd socket_;
};

// Not beside other tests: every keyd of the machine hears of it.
class SilencedConnector : public ProcConnectorTest {};

TEST_F(SilencedConnector, SaysSoWhenItCouldHaveBeenSilent) {
  Silencer silencer;
  silencer.take(20'000);
  silencer.give(20'000);  // it speaks again: nothing is seen of it but the acknowledgements
  EXPECT_FALSE(drain(Kind::kExec));
  EXPECT_TRUE(comes_back());
}

TEST_F(SilencedConnector, ListensAgainAfterItWasSilenced) {
  // More than all the listeners that were left behind in the kernel's count, as far as a test can know.
  constexpr int kMany = 100'000;
  Silencer silencer;
  silencer.take(kMany);
  EXPECT_FALSE(drain(Kind::kExec));
  silencer.give(kMany);
  EXPECT_TRUE(comes_back());
  test::Child marker([] {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    return 1;
  });
  EXPECT_TRUE(sees(Kind::kExec, marker.pid()));
}

TEST_F(SilencedConnector, MakesGoodWhatWasTakenSlowly) {
  // Never so much at once that it could have been silent: nothing is lost, and an exec is seen in the end.
  Silencer silencer;
  for (int i = 0; i < 100; ++i) {
    silencer.take(250);
    ASSERT_TRUE(drain(Kind::kExec)) << i;
  }
  test::Child marker([] {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    return 1;
  });
  EXPECT_TRUE(sees(Kind::kExec, marker.pid()));
}

TEST_F(SilencedConnector, BearsOtherListenersThatComeAndGo) {
  for (int i = 0; i < 20'000; ++i) {
    Silencer monitor;
    monitor.say(PROC_CN_MCAST_LISTEN);
    monitor.say(PROC_CN_MCAST_IGNORE);
  }
  EXPECT_TRUE(drain(Kind::kExec));
}

TEST_F(SilencedConnector, BearsInvalidOperationsInAnyNumber) {
  // More than any buffer holds, while nobody reads: none of them takes a listener away.
  Silencer confused;
  for (int i = 0; i < 300'000; ++i) confused.say(99);
  test::Child marker([] {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    return 1;
  });
  EXPECT_TRUE(sees(Kind::kExec, marker.pid()));
  for (int i = 0; i < 1000; ++i) {  // and what else happens then is no reason either
    confused.say(PROC_CN_MCAST_LISTEN);
    confused.say(PROC_CN_MCAST_IGNORE);
  }
  EXPECT_TRUE(drain(Kind::kExec));
}

TEST_F(SilencedConnector, BearsAnotherKeyd) {
  for (int i = 0; i < 10; ++i) {
    auto another = ProcConnector::open();
    ASSERT_TRUE(another);
    EXPECT_TRUE(drain(Kind::kExec));
    std::vector<std::uint32_t> theirs;
    EXPECT_EQ(another->drain_execs(theirs), Heard::kAll);
  }
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
    std::vector<std::uint32_t> tgids;
    for (int waited = 0; waited < 100; ++waited) {
      pollfd entry{opened->exec_descriptor(), POLLIN, 0};
      ::poll(&entry, 1, 100);
      if (opened->drain_execs(tgids) == Heard::kLost) return 12;
      if (std::ranges::find(tgids, static_cast<std::uint32_t>(marker.pid())) != tgids.end()) return 0;
    }
    return 13;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace keyd::kernel
