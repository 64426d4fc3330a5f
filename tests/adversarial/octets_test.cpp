// Every message cut at every length, with every bit changed, and with octets behind it: it is not done, and
// nobody is believed to have proved anything. Somebody in the middle is played by changing what the client
// sends while the client goes on as if it had been heard.
#include <unistd.h>

#include <functional>

#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/client_messages.h"

namespace keyd::testing {
namespace {

using Change = std::function<Bytes(Bytes)>;

class Octets : public BesiegedKeyd {
 protected:
  Octets() : BesiegedKeyd(config_without_events()) {}
  void TearDown() override {
    RecordProperty("tries", tries_);
    BesiegedKeyd::TearDown();
  }

  // Says a changed message in place of a good one, and proves the password upon whatever numbers come.
  Answer say_changed(const ClientMessage& message, const Change& change) {
    ++tries_;
    Conversation conversation(runtime_dir(), message.home);
    EXPECT_TRUE(conversation.reached()) << conversation.raw.last_packet.ShortDebugString();
    const Standing before = standing_of(::getpid());
    Answer answer = conversation.say(change(message.make(conversation)));
    if (answer.said == Said::kNumbers) answer = conversation.prove_all_the_same();
    expect_unharmed(::getpid(), before);
    EXPECT_TRUE(answer.said != Said::kNothing || conversation.is_closed()) << "left without an answer";
    if (!conversation.is_closed() && before.state == KEYCLIENT_STATE_COMPLETE) {
      EXPECT_EQ(standing_of(::getpid()), before);
    }
    return answer;
  }

  static bool is_refusal(const Answer& answer) {
    return answer.said == Said::kNothing || answer.said == Said::kDenied || answer.said == Said::kRefused ||
           answer.said == Said::kUnproven;
  }

  std::size_t size_of(const ClientMessage& message) {
    Conversation conversation(runtime_dir(), message.home);
    return message.make(conversation).size();
  }

  int tries_ = 0;
};

TEST_F(Octets, AMessageThatIsCutIsNotDone) {
  for (const ClientMessage& message : client_messages()) {
    const std::size_t size = size_of(message);
    for (std::size_t length = 0; length < size && !HasFailure(); ++length) {
      SCOPED_TRACE(std::string(message.name) + " cut to " + std::to_string(length));
      const Answer answer = say_changed(message, [&](Bytes packet) {
        packet.resize(length);
        return packet;
      });
      EXPECT_TRUE(is_refusal(answer)) << answer;
    }
  }
}

TEST_F(Octets, AMessageWithOneBitChangedIsNotDone) {
  for (const ClientMessage& message : client_messages()) {
    const std::size_t bits = size_of(message) * 8;
    for (std::size_t bit = 0; bit < bits && !HasFailure(); ++bit) {
      SCOPED_TRACE(std::string(message.name) + " bit " + std::to_string(bit));
      const Answer answer = say_changed(message, [&](Bytes packet) {
        packet[bit / 8] = static_cast<std::uint8_t>(packet[bit / 8] ^ (1u << (bit % 8)));
        return packet;
      });
      EXPECT_TRUE(is_refusal(answer)) << answer;
    }
  }
  EXPECT_GT(tries_, 4000);
}

TEST_F(Octets, AMessageWithOctetsBehindItIsNotDone) {
  const Bytes tails[] = {{0x00},
                         {0xff},
                         Bytes(16, 0x00),
                         Bytes(wire::kMaxPlainPacket, 'a'),
                         {0x08, 0x02},                    // another version
                         {0xa2, 0x01, 0x00},              // another body: an empty proof
                         {0xaa, 0x01, 0x00},              // an empty record
                         {0x52, 0x03, 0x0a, 0x01, 'b'}};  // a start, or more of one: another user
  for (const ClientMessage& message : client_messages()) {
    for (const Bytes& tail : tails) {
      SCOPED_TRACE(std::string(message.name) + " and " +
                   to_hex(ByteView(tail).first(std::min<std::size_t>(tail.size(), 16))));
      const Answer answer = say_changed(message, [&](Bytes packet) {
        packet.insert(packet.end(), tail.begin(), tail.end());
        return packet;
      });
      EXPECT_TRUE(is_refusal(answer)) << answer;
    }
  }
}

TEST_F(Octets, FieldsThatNobodyKnowsChangeNothingUnseen) {
  // They are ignored; but what they were added to in an exchange does not agree with what its sender said.
  const auto with_unknown_field = [](Bytes packet) {
    packet.insert(packet.end(), {0xfa, 0x3f, 0x01, 0x00});
    return packet;
  };
  for (const ClientMessage& message : client_messages()) {
    SCOPED_TRACE(message.name);
    Conversation conversation(runtime_dir(), message.home);
    ASSERT_TRUE(conversation.reached());
    Answer expected = message.answers[static_cast<std::size_t>(message.home)];
    Answer answer = conversation.say(with_unknown_field(message.make(conversation)));
    if (expected.said == Said::kNumbers) {
      // The key of kryptoknight's session is bound to the start: there it is the client that finds out.
      expected = {conversation.raw.knight ? Said::kUnproven : Said::kDenied};
      answer = conversation.prove_all_the_same();
    } else if (expected.said == Said::kFinished) {
      expected = {Said::kUnproven};  // the client does not believe it
    }
    EXPECT_EQ(answer, expected);
    expect_unharmed_but_for(::getpid());
  }
}

TEST_F(Octets, APacketLargerThanItsStageTakesIsRefusedWhateverIsInIt) {
  for (const Stage stage : kStages) {
    for (const std::size_t size : {wire::kMaxPlainPacket + 1, wire::kMaxPacket, wire::kMaxPacket + 1}) {
      SCOPED_TRACE(std::string(name_of(stage)) + " " + std::to_string(size));
      Conversation conversation(runtime_dir(), stage);
      ASSERT_TRUE(conversation.reached());
      const Standing before = standing_of(::getpid());
      EXPECT_EQ(conversation.say(Bytes(size, 0xff)), (Answer{Said::kRefused, wire::REFUSAL_MALFORMED}));
      expect_unharmed(::getpid(), before);
      EXPECT_TRUE(conversation.is_closed());
    }
  }
}

}  // namespace
}  // namespace keyd::testing
