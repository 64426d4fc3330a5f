// Packets that nobody should send, tables that are full, and peers that misbehave: a clear refusal, nothing
// crashed, and the next client served as if nothing had been.
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/tier_under_test.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

class Misuse : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
  }
  void TearDown() override {
    RawClient raw(keyd_.runtime_dir());
    EXPECT_TRUE(raw.authenticate("alice", "right")) << "keyd serves nobody any more";
  }
  wire::RefusalCode refusal_of(ByteView packet) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.send(packet)) return wire::REFUSAL_UNSPECIFIED;
    const auto answer = raw.receive_message();
    EXPECT_TRUE(raw.closed_within(2));
    return answer.has_refused() ? answer.refused().code() : wire::REFUSAL_UNSPECIFIED;
  }
  PrivateKeyd keyd_{"[table]\ncapacity = 16\n" + std::string(kUnlimitedTries)};
};

TEST_F(Misuse, AnOversizedPacketIsRefused) {
  EXPECT_EQ(refusal_of(Bytes(wire::kMaxPacket + 1, 0x0a)), wire::REFUSAL_MALFORMED);
  EXPECT_EQ(refusal_of(Bytes(wire::kMaxPlainPacket + 1, 0x0a)), wire::REFUSAL_MALFORMED);
}

TEST_F(Misuse, GarbageIsRefused) {
  EXPECT_EQ(refusal_of(Bytes{0xff}), wire::REFUSAL_MALFORMED);
  EXPECT_EQ(refusal_of(Bytes(100, 0xff)), wire::REFUSAL_MALFORMED);
}

TEST_F(Misuse, AnotherVersionIsRefusedAsSuch) {
  wire::ClientPacket packet;
  packet.set_version(2);
  packet.mutable_table();
  Bytes octets(packet.ByteSizeLong());
  packet.SerializeToArray(octets.data(), static_cast<int>(octets.size()));
  EXPECT_EQ(refusal_of(octets), wire::REFUSAL_VERSION);
}

TEST_F(Misuse, APacketWithoutABodyOrWithAnUnknownOneIsRefused) {
  wire::ClientPacket packet;
  EXPECT_EQ(refusal_of(wire::encode(packet)), wire::REFUSAL_OUT_OF_ORDER);
  Bytes unknown = wire::encode(packet);
  unknown.insert(unknown.end(), {0xfa, 0x3f, 0x01, 0x00});  // field 1023, one octet
  EXPECT_EQ(refusal_of(unknown), wire::REFUSAL_OUT_OF_ORDER);
}

TEST_F(Misuse, MessagesOutOfTheirOrderAreRefused) {
  wire::ClientPacket finished, record;
  finished.set_finished("early");
  record.set_record("early");
  EXPECT_EQ(refusal_of(wire::encode(finished)), wire::REFUSAL_OUT_OF_ORDER);
  EXPECT_EQ(refusal_of(wire::encode(record)), wire::REFUSAL_OUT_OF_ORDER);
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  raw.send(record);
  EXPECT_EQ(raw.receive_message().refused().code(), wire::REFUSAL_OUT_OF_ORDER);
  EXPECT_TRUE(keyd_.wait_for_state(::getpid(), "REVOKED"));  // a failed exchange ends with its connection
}

TEST_F(Misuse, EveryBitOfTheProofCounts) {
  std::size_t bits = 0;
  for (std::size_t bit = 0;; ++bit) {
    RawClient raw(keyd_.runtime_dir());
    ASSERT_TRUE(raw.start(RawClient::choice("alice"))) << bit;
    Bytes proof = raw.proof("right");
    bits = proof.size() * 8;
    if (bit >= bits) break;
    proof[bit / 8] = static_cast<std::uint8_t>(proof[bit / 8] ^ (1u << (bit % 8)));
    raw.send(proof);
    const auto answer = raw.receive_message();
    EXPECT_FALSE(answer.has_finished()) << "bit " << bit;
    EXPECT_NE(keyd_.log().size(), 0u);
  }
  EXPECT_GT(bits, 400u);
}

TEST_F(Misuse, AChangedOfferIsAFailedExchange) {
  // Somebody between the two changes the client's packet: keyd hears another offer than the client made.
  RawClient raw(keyd_.runtime_dir());
  exchange::ChallengeClient machine(RawClient::choice("alice"));
  auto packet = machine.start([](MutableByteView out) {
    std::ranges::fill(out, std::uint8_t{9});
    return true;
  });
  ASSERT_TRUE(packet);
  wire::ClientPacket changed;
  ASSERT_EQ(wire::decode(*packet, changed), wire::Decoded::kMessage);
  changed.mutable_challenge_start()->set_key_count(1);
  ASSERT_TRUE(raw.send(changed));
  const auto answer = raw.receive();
  wire::ServerPacket message;
  ASSERT_TRUE(answer && wire::decode(*answer, message) == wire::Decoded::kMessage);
  EXPECT_FALSE(
      machine.take_numbers(*answer, message.challenge_numbers()));  // one number where two were asked for
}

TEST_F(Misuse, ARecordThatIsRepeatedEndsTheSession) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.authenticate("alice", "right"));
  wire::SessionRequest whoami;
  whoami.mutable_whoami();
  const Bytes once = raw.sealed(whoami);
  raw.send(once);
  ASSERT_TRUE(raw.receive_message().has_record());
  raw.send(once);
  EXPECT_TRUE(raw.receive_message().has_refused());
  EXPECT_TRUE(keyd_.wait_for_state(::getpid(), "REVOKED"));
}

TEST_F(Misuse, ARecordOfAnotherSessionEndsTheSession) {
  Bytes foreign;
  Forked other([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.start(RawClient::choice("alice")) || !raw.prove("right")) return 1;
    wire::SessionRequest whoami;
    whoami.mutable_whoami();
    child.say(to_hex(raw.sealed(whoami)));
    child.hear();
    return 0;
  });
  ASSERT_TRUE(from_hex(other.hear(), foreign));
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.authenticate("alice", "right"));
  raw.send(foreign);
  EXPECT_TRUE(raw.receive_message().has_refused());
  EXPECT_EQ(keyd_.state_of(other.pid()), "COMPLETE");  // the one it was stolen from is untouched
}

TEST_F(Misuse, TheServersOwnWordsAreNoProof) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  Bytes reflected = wire::encode(raw.last_packet);
  raw.send(reflected);
  EXPECT_FALSE(raw.receive_message().has_finished());
}

// 16 slots in one bucket: an account has at most half of it, and the last two are for who has none yet.
TEST_F(Misuse, AFullTableRefusesAndServesAgainWhenThereIsRoom) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: two accounts fill the table";
  std::vector<std::unique_ptr<Forked>> clients;
  const auto answers_to = [&](uid_t uid) {
    std::string said;
    for (int i = 0; i < 10; ++i) {
      clients.push_back(std::make_unique<Forked>([&](Forked::Child& child) {
        if (::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0) return 1;
        RawClient raw(keyd_.runtime_dir());
        if (raw.start(RawClient::choice("alice"))) {
          child.say(raw.prove("right") ? "in" : "out");
        } else {
          child.say(raw.last_packet.refused().code() == wire::REFUSAL_BUSY ? "busy" : "?");
        }
        child.hear();
        return 0;
      }));
      said += clients.back()->hear() + " ";
    }
    return said;
  };
  EXPECT_EQ(answers_to(0), "in in in in in in in in busy busy ");
  EXPECT_EQ(answers_to(65534), "in in in in in in busy busy busy busy ");
  EXPECT_EQ(answers_to(65533), "in busy busy busy busy busy busy busy busy busy ");
  clients.clear();
  EXPECT_TRUE(
      eventually([&] { return keyd_.keystat({"-o", "json"}).out.find("\"used\": 0") != std::string::npos; }));
}

TEST_F(Misuse, OneThatDoesNotTakeTheTableIsNotGivenItAgain) {
  // Descriptors on their way count against keyd's own limit, for everybody.
  RawClient hoarder(keyd_.runtime_dir());
  wire::ClientPacket request;
  request.mutable_table();
  hoarder.send(request);
  hoarder.send(request);
  // keyd has read both, and dealt with them before it answers anything that came later.
  EXPECT_TRUE(eventually([&] {
    int unread = -1;
    return ::ioctl(hoarder.descriptor(), SIOCOUTQ, &unread) == 0 && unread == 0;
  }));
  EXPECT_EQ(keyd_.keyadm({"health", "--live"}).exit_code, 0);
  EXPECT_TRUE(hoarder.receive_message().has_table());
  EXPECT_EQ(hoarder.receive_message().refused().code(), wire::REFUSAL_BUSY);
}

TEST(MisuseOfTheAuditLog, ALogThatNobodyReadsHoldsUpNobody) {
  PrivateKeyd place(in_a_steady_tier() + std::string(kUnlimitedTries));
  // Its standard error is a pipe that stays full.
  BackgroundProcess keyd({"/bin/bash", "-c",
                          "exec 2> >(exec sleep 60 >/dev/null 2>&1); exec " + program("keyd") +
                              " -F --config " + place.config_file() + " --runtime-dir " +
                              place.runtime_dir() + " --state-dir " + place.state_dir()});
  ASSERT_EQ(keyd.read_line(), "keyd: ready");
  for (int i = 0; i < 400; ++i) {
    RawClient raw(place.runtime_dir());
    ASSERT_TRUE(raw.start(RawClient::choice("nosuch"))) << "keyd stopped answering after " << i;
    EXPECT_FALSE(raw.prove("x"));
  }
}

TEST_F(Misuse, APeerThatDoesNotReadHoldsUpNobodyElse) {
  // A socket buffer so small that answers soon find no room; the requests pile up unread too.
  RawClient deaf(keyd_.runtime_dir());
  const int tiny = 1;
  ::setsockopt(deaf.descriptor(), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny);
  wire::ClientPacket request;
  request.mutable_table();
  const Bytes packet = wire::encode(request);
  for (int i = 0; i < 1000; ++i) {
    if (::send(deaf.descriptor(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
  }
  RawClient other(keyd_.runtime_dir());
  other.send(request);
  EXPECT_TRUE(other.receive_message(2).has_table());
}

}  // namespace
}  // namespace keyd::testing
