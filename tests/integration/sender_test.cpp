// Who may speak on a connection: the process that made it, with the ids it had, and nobody else.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "tests/support/descriptors.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

class Sender : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
  }
  PrivateKeyd keyd_;
};

TEST_F(Sender, AForkedChildIsRefusedOnItsFirstMessageAndNothingIsMarked) {
  RawClient raw(keyd_.runtime_dir());
  wire::ServerPacket said;
  Forked child([&](Forked::Child&) {
    if (raw.start(RawClient::choice("alice"))) return 1;
    return raw.last_packet.refused().code() == wire::REFUSAL_SENDER ? 0 : 2;
  });
  const pid_t pid = child.pid();
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(keyd_.state_of(::getpid()), "");
  EXPECT_EQ(keyd_.state_of(pid), "");
  EXPECT_TRUE(raw.closed_within(2)) << "the connection outlived a foreign sender";
  EXPECT_NE(keyd_.log().find("sender-is-another-process"), std::string::npos);
}

TEST_F(Sender, AForkedChildCannotFinishItsParentsExchange) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  Forked child([&](Forked::Child&) { return raw.prove("right") ? 1 : 0; });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_NE(keyd_.state_of(::getpid()), "COMPLETE");
}

TEST_F(Sender, AForkedChildCannotUseItsParentsSession) {
  keyd_.set_credential("alice", "token", "value");
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  ASSERT_TRUE(raw.prove("right"));
  wire::SessionRequest request;
  request.mutable_credential()->set_name("token");
  const Bytes sealed = raw.sealed(request);
  Forked child([&](Forked::Child&) {
    raw.send(sealed);
    const auto answer = raw.receive_message();
    return answer.has_refused() && answer.refused().code() == wire::REFUSAL_SENDER ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(keyd_.wait_for_state(::getpid(), "REVOKED"));
  EXPECT_EQ(keyd_.log().find("credential.released"), std::string::npos);
}

TEST_F(Sender, AProcessThatWasHandedTheSocketIsRefusedOnItsFirstMessage) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair.data()), 0);
  Forked receiver([&](Forked::Child&) {
    std::array<std::uint8_t, 16> buffer{};
    auto received = wire::receive_packet(pair[1], buffer);
    if (!received.descriptor.valid()) return 1;
    exchange::ChallengeClient machine(RawClient::choice("alice"));
    const auto packet = machine.start([](MutableByteView out) {
      std::ranges::fill(out, std::uint8_t{7});
      return true;
    });
    if (!packet || !wire::send_packet(received.descriptor.get(), *packet)) return 2;
    Bytes answer(wire::kMaxPacket);
    const auto got = wire::receive_packet(received.descriptor.get(), answer);
    wire::ServerPacket message;
    if (wire::decode(ByteView(answer).first(got.size), message) != wire::Decoded::kMessage) return 3;
    return message.refused().code() == wire::REFUSAL_SENDER ? 0 : 4;
  });
  RawClient raw(keyd_.runtime_dir());
  const Bytes hello{1};
  ASSERT_TRUE(wire::send_packet(pair[0], hello, raw.descriptor()));
  const pid_t pid = receiver.pid();
  EXPECT_EQ(receiver.wait(), 0);
  EXPECT_EQ(keyd_.state_of(::getpid()), "");
  EXPECT_EQ(keyd_.state_of(pid), "");
}

TEST_F(Sender, AProcessThatChangesItsIdsLosesItsRecord) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to change its uid";
  Forked client([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.start(RawClient::choice("alice")) || !raw.prove("right")) return 1;
    child.say("in");
    child.hear();
    if (::setresuid(65534, 65534, 65534) != 0) return 2;
    child.say("changed");
    child.hear();
    wire::SessionRequest whoami;
    whoami.mutable_whoami();
    return raw.ask(whoami) ? 3 : 0;
  });
  ASSERT_EQ(client.hear(), "in");
  EXPECT_EQ(keyd_.state_of(client.pid()), "COMPLETE");
  client.say("change");
  ASSERT_EQ(client.hear(), "changed");
  EXPECT_TRUE(keyd_.wait_for_state(client.pid(), "REVOKED"));
  EXPECT_NE(keyd_.keystat({"-o", "json"}).out.find("credentials-changed"), std::string::npos);
  client.say("ask");
  EXPECT_EQ(client.wait(), 0);
}

TEST_F(Sender, AnUnprivilegedProcessIsKnownByItsOwnUid) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  Forked client([&](Forked::Child& child) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65533, 65533, 65533) != 0) return 1;
    RawClient raw(keyd_.runtime_dir());
    child.say(raw.authenticate("alice", "right") ? "in" : "out");
    child.hear();
    return 0;
  });
  ASSERT_EQ(client.hear(), "in");
  const std::string shown = keyd_.keystat({"-o", "json"}).out;
  EXPECT_NE(shown.find("\"uid\": 65533"), std::string::npos);
  EXPECT_NE(shown.find("\"gid\": 65534"), std::string::npos);
}

TEST_F(Sender, DescriptorsThatAPeerPassesAreNotKept) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to look into /proc/PID/fd of a process that forbids it";
  const std::size_t before = descriptors_of(keyd_.pid());
  for (int i = 0; i < 3; ++i) {  // more than one, for keyadm's connection may still be among those before
    RawClient raw(keyd_.runtime_dir());
    wire::ClientPacket request;
    request.mutable_table();
    raw.send(wire::encode(request), STDIN_FILENO);  // refused by the kernel (6.16), or received and closed
    raw.send(request);
    (void)raw.receive();
  }
  EXPECT_TRUE(eventually([&] { return descriptors_of(keyd_.pid()) <= before; }));
}

}  // namespace
}  // namespace keyd::testing
