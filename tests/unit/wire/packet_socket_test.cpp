// Packets over real socket pairs: what is cut, what is passed along, who is said to have sent it.
#include "core/wire/packet_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>

#include "core/kernel/pidfd.h"
#include "tests/support/descriptors.h"
#include "tests/unit/support/child.h"
#include "tests/unit/support/octets.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76  // Linux 6.5
#endif

namespace keyd::wire {
namespace {

bool same_file(int a, int b) {
  struct stat one{}, two{};
  return ::fstat(a, &one) == 0 && ::fstat(b, &two) == 0 && one.st_dev == two.st_dev &&
         one.st_ino == two.st_ino;
}

class PacketSocket : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    left_.reset(ends[0]);
    right_.reset(ends[1]);
  }
  Received receive(std::size_t room = 4096) {
    buffer_.assign(room, 0xee);
    return receive_packet(right_.get(), buffer_);
  }
  // A packet with `count` copies of one descriptor, as a hostile peer would send it.
  void send_with_descriptors(int fd, std::size_t count) {
    alignas(cmsghdr) std::uint8_t control[1200] = {};
    std::uint8_t octet = 1;
    iovec part{&octet, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) std::memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof fd);
    ASSERT_EQ(::sendmsg(left_.get(), &message, 0), 1);
  }
  void ask_for_marks() {
    const int on = 1;
    ASSERT_EQ(::setsockopt(right_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    if (::setsockopt(right_.get(), SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on) != 0) {
      GTEST_SKIP() << "this kernel has no SO_PASSPIDFD (6.5)";
    }
  }

  UniqueFd left_, right_;
  Bytes buffer_;
};

TEST_F(PacketSocket, DeliversAPacketWhole) {
  const Bytes packet = test::run(0, 3000);
  ASSERT_TRUE(send_packet(left_.get(), packet));
  const Received got = receive();
  ASSERT_EQ(got.outcome, ReceiveOutcome::kPacket);
  EXPECT_TRUE(std::ranges::equal(ByteView(buffer_).first(got.size), packet));
  EXPECT_FALSE(got.descriptor.valid());
  EXPECT_FALSE(got.sender.has_credentials);
  EXPECT_FALSE(got.sender.pidfd.valid());
}

TEST_F(PacketSocket, KeepsPacketsApart) {
  ASSERT_TRUE(send_packet(left_.get(), test::text("one")));
  ASSERT_TRUE(send_packet(left_.get(), test::text("three")));
  EXPECT_EQ(receive().size, 3u);
  EXPECT_EQ(receive().size, 5u);
}

TEST_F(PacketSocket, TakesAPacketOfExactlyTheRoom) {
  ASSERT_TRUE(send_packet(left_.get(), Bytes(100)));
  const Received got = receive(100);
  EXPECT_EQ(got.outcome, ReceiveOutcome::kPacket);
  EXPECT_EQ(got.size, 100u);
}

TEST_F(PacketSocket, TellsAPacketThatIsTooLongAndDropsAllOfIt) {
  ASSERT_TRUE(send_packet(left_.get(), Bytes(101, 1)));
  ASSERT_TRUE(send_packet(left_.get(), Bytes(7, 2)));
  EXPECT_EQ(receive(100).outcome, ReceiveOutcome::kTooLong);
  const Received next = receive(100);
  EXPECT_EQ(next.outcome, ReceiveOutcome::kPacket);
  EXPECT_EQ(next.size, 7u);
  EXPECT_EQ(buffer_[0], 2);
}

TEST_F(PacketSocket, ClosesADescriptorThatCameWithAPacketTooLong) {
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::size_t before = testing::descriptors_of();
  ASSERT_TRUE(send_packet(left_.get(), Bytes(200), null.get()));
  {
    EXPECT_EQ(receive(100).outcome, ReceiveOutcome::kTooLong);
  }
  EXPECT_EQ(testing::descriptors_of(), before);
}

TEST_F(PacketSocket, SaysWouldBlockWhenNothingIsThere) {
  ASSERT_EQ(::fcntl(right_.get(), F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(receive().outcome, ReceiveOutcome::kWouldBlock);
}

TEST_F(PacketSocket, SaysEndWhenThePeerClosed) {
  left_.reset();
  EXPECT_EQ(receive().outcome, ReceiveOutcome::kEnd);
}

TEST_F(PacketSocket, SaysEndForAnEmptyPacket) {
  ASSERT_EQ(::send(left_.get(), "", 0, 0), 0);
  EXPECT_EQ(receive().outcome, ReceiveOutcome::kEnd);
}

TEST_F(PacketSocket, DeliversWhatWasSentBeforeThePeerClosed) {
  ASSERT_TRUE(send_packet(left_.get(), test::text("last words")));
  left_.reset();
  EXPECT_EQ(receive().outcome, ReceiveOutcome::kPacket);
  EXPECT_EQ(receive().outcome, ReceiveOutcome::kEnd);
}

TEST_F(PacketSocket, SaysBrokenWithTheReasonForWhatIsNoSocket) {
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  buffer_.resize(10);
  const Received got = receive_packet(null.get(), buffer_);
  EXPECT_EQ(got.outcome, ReceiveOutcome::kBroken);
  EXPECT_EQ(got.system, ENOTSOCK);
}

TEST_F(PacketSocket, SendsWithoutASignalWhenThePeerIsGone) {
  right_.reset();
  EXPECT_FALSE(send_packet(left_.get(), Bytes(1)));  // SIGPIPE would end the test program
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(PacketSocket, SaysThatThePeerDoesNotReadWhenItsQueueIsFull) {
  ASSERT_EQ(::fcntl(left_.get(), F_SETFL, O_NONBLOCK), 0);
  int sent = 0;
  while (sent < 100'000 && send_packet(left_.get(), Bytes(1000))) ++sent;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_LT(sent, 100'000);
}

TEST_F(PacketSocket, DeliversADescriptorCloseOnExec) {
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(send_packet(left_.get(), Bytes(1), file.get()));
  const Received got = receive();
  ASSERT_TRUE(got.descriptor.valid());
  EXPECT_TRUE(same_file(got.descriptor.get(), file.get()));
  EXPECT_EQ(::fcntl(got.descriptor.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(PacketSocket, DeliversTwoDescriptorsInTheirOrder) {
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(send_packet(left_.get(), Bytes(1), {file.get(), null.get()}));
  const Received got = receive();
  ASSERT_TRUE(got.descriptor.valid() && got.second_descriptor.valid());
  EXPECT_TRUE(same_file(got.descriptor.get(), file.get()));
  EXPECT_TRUE(same_file(got.second_descriptor.get(), null.get()));
  EXPECT_EQ(::fcntl(got.second_descriptor.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(Enclosed(-1, null.get()).count(), 0u) << "a second one goes only behind a first";
}

TEST_F(PacketSocket, KeepsTheFirstTwoOfManyDescriptorsAndClosesTheOthers) {
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (const std::size_t count : {2u, 4u, 7u, 30u, 253u}) {
    const std::size_t before = testing::descriptors_of();
    send_with_descriptors(null.get(), count);
    {
      const Received got = receive();
      EXPECT_EQ(got.outcome, ReceiveOutcome::kPacket);
      ASSERT_TRUE(got.descriptor.valid());
      EXPECT_TRUE(same_file(got.descriptor.get(), null.get()));
      EXPECT_EQ(testing::descriptors_of(), before + 2) << count;
    }
    EXPECT_EQ(testing::descriptors_of(), before) << count;
  }
}

TEST_F(PacketSocket, LeaksNothingWhenDescriptorsComeBesideMarks) {
  ask_for_marks();
  if (IsSkipped()) return;
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (const std::size_t count : {1u, 4u, 5u, 253u}) {
    const std::size_t before = testing::descriptors_of();
    send_with_descriptors(null.get(), count);
    {
      const Received got = receive();
      EXPECT_TRUE(got.descriptor.valid()) << count;
      // Many of them crowd the pidfd out of the control buffer. Such a packet is of an unknown sender, no
      // worse.
      EXPECT_TRUE(got.sender.pidfd.valid() || count > 4) << count;
      EXPECT_EQ(testing::descriptors_of(), before + (count == 1 ? 1 : 2) + (got.sender.pidfd.valid() ? 1 : 0))
          << count;
    }
    EXPECT_EQ(testing::descriptors_of(), before) << count;
  }
}

TEST_F(PacketSocket, SaysWhoSentAPacketInTheKernelsWords) {
  ask_for_marks();
  if (IsSkipped()) return;
  ASSERT_TRUE(send_packet(left_.get(), Bytes(1)));
  const Received got = receive();
  ASSERT_TRUE(got.sender.has_credentials);
  EXPECT_EQ(got.sender.pid, ::getpid());
  EXPECT_EQ(got.sender.uid, ::getuid());
  EXPECT_EQ(got.sender.gid, ::getgid());
  ASSERT_TRUE(got.sender.pidfd.valid());
  const auto self = kernel::open_pidfd(::getpid());
  ASSERT_TRUE(self);
  EXPECT_TRUE(same_file(got.sender.pidfd.get(), self->get()));
  EXPECT_EQ(::fcntl(got.sender.pidfd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(PacketSocket, MarksAChildAsTheChild) {
  ask_for_marks();
  if (IsSkipped()) return;
  test::Child child([&] { return send_packet(left_.get(), Bytes(1)) ? 0 : 1; });
  const Received got = receive();
  EXPECT_EQ(got.sender.pid, child.pid());
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(PacketSocket, GivesNoLivingMarkForASenderThatWasReaped) {
  ask_for_marks();
  if (IsSkipped()) return;
  test::Child child([&] { return send_packet(left_.get(), Bytes(1)) ? 0 : 1; });
  ASSERT_EQ(child.wait(), 0);
  const Received got = receive();
  ASSERT_EQ(got.outcome, ReceiveOutcome::kPacket);
  // Kernels differ: none at all, or one of a process that has exited. Never one that lives.
  EXPECT_TRUE(!got.sender.pidfd.valid() || kernel::has_exited(got.sender.pidfd.get()));
}

}  // namespace
}  // namespace keyd::wire
