// admin.sock under attack. Who gets there is an administrator, and nothing seals what he says: what is
// promised is that no octets bring keyd down, hang it, or make it believe a client; and that what is not
// whole is not done.
#include <unistd.h>

#include "tests/adversarial/admin_messages.h"
#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/client_messages.h"

namespace keyd::testing {
namespace {

class AdminOctets : public BesiegedKeyd {
 protected:
  AdminOctets() : BesiegedKeyd(config_without_events()) {}
  // A changed request, then its secret as it should be. Whatever it means now, it is answered or ends.
  std::optional<wire::AdminReply> say_changed(const AdminMessage& message, ByteView packet) {
    AdminConversation conversation(runtime_dir());
    const Standing before = standing_of(::getpid());
    conversation.raw.send(packet);
    if (message.secret != nullptr) conversation.raw.send(secret_of(message));
    auto reply = conversation.hear();
    EXPECT_TRUE(reply || conversation.raw.closed_within(2)) << "left without an answer";
    expect_unharmed(::getpid(), before);
    return reply;
  }
  bool knows(const std::string& user, const std::string& password) {
    return RawClient(runtime_dir()).authenticate(user, password);
  }
};

TEST_F(AdminOctets, EveryRequestIsAnsweredAsItShouldBeAlsoTwiceOnOneConnection) {
  AdminConversation conversation(runtime_dir());
  for (const AdminMessage& message : admin_messages()) {
    if (HasFailure()) return;
    SCOPED_TRACE(message.name);
    const auto reply = conversation.ask(message);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->body_case(), message.answer) << reply->ShortDebugString();
    ASSERT_TRUE(conversation.ask(message)) << "said again";
  }
}

TEST_F(AdminOctets, ARequestThatIsCutIsNotDone) {
  for (const AdminMessage& message : admin_messages()) {
    const Bytes good = packet_of(message);
    for (std::size_t length = 0; length < good.size() && !HasFailure(); ++length) {
      SCOPED_TRACE(std::string(message.name) + " cut to " + std::to_string(length));
      const auto reply = say_changed(message, ByteView(good).first(length));
      EXPECT_TRUE(!reply || reply->has_refused()) << reply->ShortDebugString();
    }
  }
}

TEST_F(AdminOctets, ARequestWithOneBitChangedHarmsNobody) {
  for (const AdminMessage& message : admin_messages()) {
    Bytes packet = packet_of(message);
    for (std::size_t bit = 0; bit < packet.size() * 8 && !HasFailure(); ++bit) {
      SCOPED_TRACE(std::string(message.name) + " bit " + std::to_string(bit));
      const std::uint8_t mask = static_cast<std::uint8_t>(1u << (bit % 8));
      packet[bit / 8] ^= mask;
      (void)say_changed(message, packet);
      packet[bit / 8] ^= mask;
    }
  }
}

TEST_F(AdminOctets, ARequestWithOctetsBehindItIsRefusedOrTakenWithoutThem) {
  const Bytes malformed[] = {
      {0x00}, {0xff}, Bytes(wire::kMaxPlainPacket, 'a'), Bytes(wire::kMaxPacket + 1, 'a')};
  for (const AdminMessage& message : admin_messages()) {
    if (HasFailure()) return;
    SCOPED_TRACE(message.name);
    for (const Bytes& tail : malformed) {
      Bytes packet = packet_of(message);
      packet.insert(packet.end(), tail.begin(), tail.end());
      const auto reply = say_changed(message, packet);
      EXPECT_TRUE(!reply || reply->has_refused());
    }
    Bytes packet = packet_of(message);
    packet.insert(packet.end(), {0xfa, 0x3f, 0x01, 0x00});  // a field that nobody knows
    const auto reply = say_changed(message, packet);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->body_case(), message.answer) << reply->ShortDebugString();
  }
}

TEST_F(AdminOctets, ASecretThatIsMissingEmptyOrTooLongChangesNothing) {
  for (const AdminMessage& message : admin_messages()) {
    if (message.secret == nullptr) continue;
    SCOPED_TRACE(message.name);
    const Standing before = standing_of(::getpid());
    AdminConversation(runtime_dir()).raw.send(packet_of(message));  // and gone
    {
      AdminConversation conversation(runtime_dir());
      conversation.raw.send(packet_of(message));
      conversation.raw.send(Bytes());
      EXPECT_FALSE(conversation.hear());
    }
    const bool credential = std::string_view(message.name) == "credential.set";
    for (const std::size_t size : {(credential ? wire::kMaxCredential : wire::kMaxPassword) + 1,
                                   wire::kMaxCredential + 2, wire::kMaxPacket + 1}) {
      AdminConversation conversation(runtime_dir());
      conversation.raw.send(packet_of(message));
      conversation.raw.send(Bytes(size, 's'));
      const auto reply = conversation.hear();
      EXPECT_TRUE(reply && reply->has_refused()) << size;
    }
    expect_unharmed(::getpid(), before);
  }
  EXPECT_TRUE(knows("victim", "victim"));
}

TEST_F(AdminOctets, ASecretThatNobodyAskedForIsRefused) {
  for (const std::string_view secret : {"password", "\x08\x01", "victim"}) {
    AdminConversation conversation(runtime_dir());
    conversation.raw.send(bytes_of(secret));
    EXPECT_NE(conversation.hear_last_refusal(), wire::REFUSAL_UNSPECIFIED) << to_hex(bytes_of(secret));
  }
}

TEST_F(AdminOctets, WhatComesInTheSecretsPlaceIsTheSecretAndNoRequest) {
  for (const AdminMessage& inner : admin_messages()) {
    SCOPED_TRACE(inner.name);
    AdminConversation conversation(runtime_dir());
    conversation.raw.send(packet_of(admin_messages()[1]));  // user.passwd
    conversation.raw.send(packet_of(inner));
    const auto reply = conversation.hear();
    ASSERT_TRUE(reply && reply->has_done());
    EXPECT_TRUE(knows("victim", std::string(text_of(packet_of(inner)))));
  }
}

TEST_F(AdminOctets, ARequestThatAsksForNoSecretAndSaysThatOneFollowsIsRefused) {
  for (const AdminMessage& message : admin_messages()) {
    if (HasFailure()) return;
    SCOPED_TRACE(message.name);
    wire::AdminRequest request;
    message.fill(request);
    request.set_secret_follows(message.secret == nullptr);
    AdminConversation conversation(runtime_dir());
    conversation.raw.send(wire::encode(request));
    EXPECT_EQ(conversation.hear_last_refusal(), wire::REFUSAL_OUT_OF_ORDER);
  }
}

TEST_F(AdminOctets, WhatIsMeantForTheOtherDoorIsNotDone) {
  for (const ClientMessage& message : client_messages()) {
    SCOPED_TRACE(message.name);
    Bytes packet;
    {
      Conversation conversation(runtime_dir(), message.home);
      packet = message.make(conversation);
    }
    const Standing before = standing_of(::getpid());
    AdminConversation administrator(runtime_dir());
    administrator.raw.send(packet);
    const auto reply = administrator.hear();
    EXPECT_TRUE(!reply || reply->has_refused());
    expect_unharmed(::getpid(), before);
  }
  for (const AdminMessage& message : admin_messages()) {
    for (const Stage stage : kStages) {
      SCOPED_TRACE(std::string(message.name) + " at " + name_of(stage));
      Conversation client(runtime_dir(), stage);
      ASSERT_TRUE(client.reached());
      const Standing before = standing_of(::getpid());
      const Answer answer = client.say(packet_of(message));
      // One looks like a request for the table, which anybody may have.
      EXPECT_TRUE(answer.said == Said::kRefused || answer.said == Said::kTable ||
                  answer.said == Said::kDenied)
          << answer;
      expect_unharmed(::getpid(), before);
    }
  }
  EXPECT_TRUE(knows("victim", "victim"));
}

}  // namespace
}  // namespace keyd::testing
