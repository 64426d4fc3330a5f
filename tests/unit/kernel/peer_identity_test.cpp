// Who is at the other end, over real listening sockets and real processes. Every way of not being the process
// that connected has its own name.
#include "core/kernel/peer_identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <functional>

#include "tests/unit/support/child.h"
#include "tests/unit/support/octets.h"

namespace keyd::kernel {
namespace {

class PeerIdentityTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!process_identity_supported())
      GTEST_SKIP() << "this kernel has no pidfs inodes or no PIDFD_GET_INFO (6.13)";
    // An abstract address: nothing to clean up.
    static int serial = 0;
    const std::string name = "keyd-test-" + std::to_string(::getpid()) + "-" + std::to_string(++serial);
    address_.sun_family = AF_UNIX;
    name.copy(address_.sun_path + 1, sizeof address_.sun_path - 1);
    size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address_), size_), 0);
    ASSERT_TRUE(request_sender_marks(listener_.get()));
    ASSERT_EQ(::listen(listener_.get(), 8), 0);
  }

  [[nodiscard]] UniqueFd connect() const {
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), size_) != 0) socket.reset();
    return socket;
  }
  [[nodiscard]] UniqueFd accept() const {
    return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  // The sender mark of the next packet on `socket`.
  static wire::Received receive(const UniqueFd& socket) {
    static Bytes buffer(4096);
    return wire::receive_packet(socket.get(), buffer);
  }
  static int pause_for_ever() {
    for (;;) ::pause();
  }

  UniqueFd listener_;
  sockaddr_un address_{};
  socklen_t size_ = 0;
};

TEST_F(PeerIdentityTest, NamesTheProcessThatConnected) {
  test::Child child([&] {
    const UniqueFd socket = connect();
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  EXPECT_EQ(peer.pid, static_cast<std::uint32_t>(child.pid()));
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  EXPECT_EQ(peer.inode, pidfs_inode(pidfd->get()));
  EXPECT_EQ(peer.ids.euid, ::geteuid());
  EXPECT_EQ(::fcntl(peer.pidfd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(PeerIdentityTest, SaysGoneWhenThePeerIsAZombie) {
  test::Child child([&] { return connect().valid() ? 0 : 1; });
  const UniqueFd accepted = accept();
  child.wait_for_zombie();
  PeerIdentity peer;
  EXPECT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kGone);
}

TEST_F(PeerIdentityTest, SaysGoneWhenThePeerWasReapedAndFillsNothingIn) {
  test::Child child([&] { return connect().valid() ? 0 : 1; });
  const UniqueFd accepted = accept();
  ASSERT_EQ(child.wait(), 0);
  PeerIdentity peer;
  EXPECT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kGone);
  EXPECT_FALSE(peer.pidfd.valid());
  EXPECT_EQ(peer.inode, 0u);
  EXPECT_EQ(peer.pid, 0u);
}

TEST_F(PeerIdentityTest, SaysGoneWhenAChildHoldsTheSocketOpenAfterThePeerWent) {
  // The peer is the process that connected, not whoever has the descriptor now.
  test::Gate orphan_may_go;
  test::Child parent([&] {
    const UniqueFd socket = connect();
    if (::fork() == 0) {
      orphan_may_go.pass();
      ::_exit(0);
    }
    return 0;
  });
  const UniqueFd accepted = accept();
  ASSERT_EQ(parent.wait(), 0);
  PeerIdentity peer;
  EXPECT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kGone);
  orphan_may_go.open();
}

TEST_F(PeerIdentityTest, RefusesAPeerThatChangedItsIdsSinceItConnected) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  test::Gate changed;
  test::Child child([&] {
    const UniqueFd socket = connect();
    if (::setresuid(65534, 65534, 65534) != 0) return 1;
    changed.open();
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  changed.pass();
  PeerIdentity peer;
  EXPECT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kFailed);
  EXPECT_FALSE(peer.pidfd.valid());
}

TEST_F(PeerIdentityTest, RefusesWhatIsNoConnectedSocket) {
  PeerIdentity peer;
  EXPECT_NE(identify_peer(-1, peer), PeerOutcome::kOk);
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_NE(identify_peer(null.get(), peer), PeerOutcome::kOk);
  const UniqueFd lonely(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_NE(identify_peer(lonely.get(), peer), PeerOutcome::kOk);
}

TEST_F(PeerIdentityTest, RefusesAPeerInASiblingPidNamespace) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make pid namespaces";
  // The peer connects from one new pid namespace; the server looks from another.
  test::Child peer([&] {
    if (::unshare(CLONE_NEWPID) != 0) return 10;
    test::Child inside([&] {
      const UniqueFd socket = connect();
      return pause_for_ever();
    });
    return inside.wait();
  });
  const UniqueFd accepted = accept();
  test::Child server([&] {
    if (::unshare(CLONE_NEWPID) != 0) return 10;
    test::Child inside([&] {
      PeerIdentity seen;
      const PeerOutcome outcome = identify_peer(accepted.get(), seen);
      return outcome == PeerOutcome::kOtherNamespace ? 0 : 20 + static_cast<int>(outcome);
    });
    return inside.wait();
  });
  EXPECT_EQ(server.wait(), 0);
}

TEST_F(PeerIdentityTest, SeesAPeerInAChildPidNamespaceByItsNumberHere) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a pid namespace";
  test::Child outer([&] {
    if (::unshare(CLONE_NEWPID) != 0) return 10;
    test::Child inside([&] {
      const UniqueFd socket = connect();
      return pause_for_ever();
    });
    return inside.wait();
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  EXPECT_NE(peer.pid, 1u);  // its number inside
  EXPECT_EQ(pidfs_inode(open_pidfd(static_cast<pid_t>(peer.pid))->get()), peer.inode);
  ::kill(static_cast<pid_t>(peer.pid), SIGKILL);
  outer.wait();
}

// ---- who sent a message

TEST_F(PeerIdentityTest, KnowsAMessageOfThePeer) {
  test::Child child([&] {
    const UniqueFd socket = connect();
    if (!wire::send_packet(socket.get(), Bytes(1))) return 1;
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  const wire::Received got = receive(accepted);
  EXPECT_EQ(check_sender(got.sender, peer), SenderOutcome::kPeer);
}

TEST_F(PeerIdentityTest, KnowsAMessageOfAChildThatInheritedTheSocket) {
  test::Child child([&] {
    const UniqueFd socket = connect();
    test::Child heir([&] {
      if (!wire::send_packet(socket.get(), Bytes(1))) return 1;
      return pause_for_ever();
    });
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  const wire::Received got = receive(accepted);
  EXPECT_EQ(check_sender(got.sender, peer), SenderOutcome::kOtherProcess);
  ::kill(got.sender.pid, SIGKILL);
}

TEST_F(PeerIdentityTest, KnowsAMessageOfAProcessThatWasHandedTheSocket) {
  // The child connects and passes its end to us: we then speak in its name, and are found out.
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours(ends[0]), childs(ends[1]);
  test::Child child([&] {
    const UniqueFd socket = connect();
    if (!wire::send_packet(childs.get(), Bytes(1), socket.get())) return 1;
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  const wire::Received handed = receive(ours);
  ASSERT_TRUE(handed.descriptor.valid());
  ASSERT_TRUE(wire::send_packet(handed.descriptor.get(), Bytes(1)));
  EXPECT_EQ(check_sender(receive(accepted).sender, peer), SenderOutcome::kOtherProcess);
}

TEST_F(PeerIdentityTest, RefusesAMessageWhoseSenderWasReaped) {
  // The sender is the peer itself, gone before the message was read: no outcome may call it the peer alive.
  test::Gate may_exit;
  test::Child child([&] {
    const UniqueFd socket = connect();
    may_exit.pass();
    return wire::send_packet(socket.get(), Bytes(1)) ? 0 : 1;
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  may_exit.open();
  ASSERT_EQ(child.wait(), 0);
  const wire::Received got = receive(accepted);
  const SenderOutcome outcome = check_sender(got.sender, peer);
  EXPECT_TRUE(outcome == SenderOutcome::kUnmarked || has_exited(peer.pidfd.get())) << name_of(outcome);
}

TEST_F(PeerIdentityTest, KnowsAPeerThatChangedItsUidBetweenMessages) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  test::Gate identified;
  test::Child child([&] {
    const UniqueFd socket = connect();
    identified.pass();
    if (::setresuid(65534, 65534, 65534) != 0 || !wire::send_packet(socket.get(), Bytes(1))) return 1;
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  identified.open();
  EXPECT_EQ(check_sender(receive(accepted).sender, peer), SenderOutcome::kChangedIds);
}

TEST_F(PeerIdentityTest, KnowsAPeerThatChangedItsGidBetweenMessages) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to change group";
  test::Gate identified;
  test::Child child([&] {
    const UniqueFd socket = connect();
    identified.pass();
    if (::setresgid(65534, 65534, 65534) != 0 || !wire::send_packet(socket.get(), Bytes(1))) return 1;
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  PeerIdentity peer;
  ASSERT_EQ(identify_peer(accepted.get(), peer), PeerOutcome::kOk);
  identified.open();
  EXPECT_EQ(check_sender(receive(accepted).sender, peer), SenderOutcome::kChangedIds);
}

TEST_F(PeerIdentityTest, TrustsNoMessageWithoutMarks) {
  PeerIdentity peer;
  peer.pidfd = std::move(*open_pidfd(::getpid()));
  peer.inode = *pidfs_inode(peer.pidfd.get());
  peer.ids = {.ruid = ::getuid(),
              .rgid = ::getgid(),
              .euid = 0,
              .egid = 0,
              .suid = 0,
              .sgid = 0,
              .fsuid = 0,
              .fsgid = 0};
  wire::SenderMark none;
  EXPECT_EQ(check_sender(none, peer), SenderOutcome::kUnmarked);
  wire::SenderMark credentials_alone;
  credentials_alone.has_credentials = true;
  credentials_alone.uid = ::getuid();
  credentials_alone.gid = ::getgid();
  EXPECT_EQ(check_sender(credentials_alone, peer), SenderOutcome::kUnmarked);
  wire::SenderMark pidfd_alone;
  pidfd_alone.pidfd = std::move(*open_pidfd(::getpid()));
  EXPECT_EQ(check_sender(pidfd_alone, peer), SenderOutcome::kUnmarked);
  pidfd_alone.has_credentials = true;
  pidfd_alone.uid = ::getuid();
  pidfd_alone.gid = ::getgid();
  EXPECT_EQ(check_sender(pidfd_alone, peer), SenderOutcome::kPeer);
}

TEST_F(PeerIdentityTest, RefusesDescriptorsOnAMarkedSocketOrTakesThemSafely) {
  test::Gate sent;
  int outcome_pipe[2];
  ASSERT_EQ(::pipe(outcome_pipe), 0);
  const UniqueFd outcome_read(outcome_pipe[0]), outcome_write(outcome_pipe[1]);
  test::Child child([&] {
    const UniqueFd socket = connect();
    const char passed = wire::send_packet(socket.get(), Bytes(1), socket.get()) ? 1 : 0;
    if (::write(outcome_write.get(), &passed, 1) != 1) return 1;
    return pause_for_ever();
  });
  const UniqueFd accepted = accept();
  char passed = 0;
  ASSERT_EQ(::read(outcome_read.get(), &passed, 1), 1);
  if (passed == 0) return;  // 6.16: the kernel forbids it
  const wire::Received got = receive(accepted);
  EXPECT_EQ(got.outcome, wire::ReceiveOutcome::kPacket);
  EXPECT_EQ(::fcntl(got.descriptor.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(PeerOutcomeNames, AreAllDifferentAndNoneButOkSaysOk) {
  const PeerOutcome all[] = {PeerOutcome::kOk, PeerOutcome::kUnsupported, PeerOutcome::kGone,
                             PeerOutcome::kOtherNamespace, PeerOutcome::kFailed};
  for (const PeerOutcome a : all) {
    for (const PeerOutcome b : all) EXPECT_EQ(name_of(a) == name_of(b), a == b);
  }
  EXPECT_EQ(name_of(static_cast<PeerOutcome>(200)), name_of(PeerOutcome::kFailed));
}

TEST(SenderOutcomeNames, AreAllDifferent) {
  const SenderOutcome all[] = {SenderOutcome::kPeer, SenderOutcome::kUnmarked, SenderOutcome::kOtherProcess,
                               SenderOutcome::kChangedIds};
  for (const SenderOutcome a : all) {
    for (const SenderOutcome b : all) EXPECT_EQ(name_of(a) == name_of(b), a == b);
  }
  EXPECT_NE(name_of(static_cast<SenderOutcome>(200)), name_of(SenderOutcome::kPeer));
}

}  // namespace
}  // namespace keyd::kernel
