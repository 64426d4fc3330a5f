// What was said once and is said again: on the same connection, on another one, to the one who said it, or in
// somebody else's conversation.
#include <unistd.h>

#include <algorithm>

#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/client_messages.h"

namespace keyd::testing {
namespace {

bool gives_something(const Answer& answer) {
  return answer.said == Said::kFinished || answer.said == Said::kReply || answer.said == Said::kRefusedInside;
}
bool is_sealed(const ClientMessage& message) {
  const auto at_home = message.answers[static_cast<std::size_t>(message.home)].said;
  return at_home == Said::kFinished || at_home == Said::kReply || at_home == Said::kRefusedInside;
}

class Repetition : public BesiegedKeyd {
 protected:
  Repetition() : BesiegedKeyd(config_without_events()) {}
  // Says octets from elsewhere on a conversation of its own that stands at `stage`.
  void expect_worthless(ByteView packet, Stage stage) {
    if (HasFailure()) return;
    SCOPED_TRACE(std::string("said at ") + name_of(stage));
    Conversation conversation(runtime_dir(), stage);
    ASSERT_TRUE(conversation.reached());
    const Standing before = standing_of(::getpid());
    const Answer answer = conversation.say(packet);
    EXPECT_FALSE(gives_something(answer)) << answer;
    expect_unharmed(::getpid(), before);
  }
};

TEST_F(Repetition, OnTheSameConnectionNothingIsDoneTwice) {
  for (const ClientMessage& message : client_messages()) {
    SCOPED_TRACE(message.name);
    Conversation conversation(runtime_dir(), message.home);
    ASSERT_TRUE(conversation.reached());
    const Bytes good = message.make(conversation);
    ASSERT_EQ(conversation.say(good), message.answers[static_cast<std::size_t>(message.home)]);
    const Standing before = standing_of(::getpid());
    const Answer answer = conversation.say(good);
    EXPECT_FALSE(gives_something(answer)) << answer;
    EXPECT_EQ(answer.said == Said::kTable, message.repeatable);
    expect_unharmed(::getpid(), before);
  }
}

TEST_F(Repetition, OnAnotherConnectionItIsWorthNothingAtAnyStage) {
  for (const ClientMessage& message : client_messages()) {
    SCOPED_TRACE(message.name);
    Bytes good;
    {
      Conversation conversation(runtime_dir(), message.home);
      ASSERT_TRUE(conversation.reached());
      good = message.make(conversation);
      ASSERT_EQ(conversation.say(good), message.answers[static_cast<std::size_t>(message.home)]);
    }
    for (const Stage stage : kStages) expect_worthless(good, stage);
  }
}

TEST_F(Repetition, AnExchangeThatWasRecordedProvesNothingWhenItIsPlayedAgain) {
  Bytes start, proof;
  {
    Conversation recorded(runtime_dir(), Stage::kFresh);
    start = recorded.start(false);
    ASSERT_EQ(recorded.say(start), Answer{Said::kNumbers});
    ASSERT_TRUE(
        recorded.raw.machine->take_numbers(recorded.heard, recorded.raw.last_packet.challenge_numbers()));
    proof = recorded.proof();
    ASSERT_EQ(recorded.say(proof), Answer{Said::kFinished});
    ASSERT_EQ(standing_of(::getpid()).state, KEYCLIENT_STATE_COMPLETE);
  }
  Conversation played(runtime_dir(), Stage::kFresh);
  Answer answer = played.say(start);
  for (int i = 0; i < 1000 && answer.code == wire::REFUSAL_ALREADY; ++i) {  // the first is not over yet
    played.raw = RawClient(runtime_dir());
    answer = played.say(start);
  }
  ASSERT_EQ(answer, Answer{Said::kNumbers});
  const Standing before = standing_of(::getpid());
  EXPECT_EQ(played.say(proof), Answer{Said::kDenied});
  expect_unharmed(::getpid(), before);
  EXPECT_EQ(standing_of(::getpid()).state, KEYCLIENT_STATE_FAILED);
}

TEST_F(Repetition, WhatKeydSaidIsNothingThatKeydTakes) {
  for (const ClientMessage& message : client_messages()) {
    SCOPED_TRACE(message.name);
    Bytes answer;
    {
      Conversation conversation(runtime_dir(), message.home);
      ASSERT_TRUE(conversation.reached());
      ASSERT_EQ(conversation.say(message.make(conversation)),
                message.answers[static_cast<std::size_t>(message.home)]);
      answer = conversation.heard;
      const Standing before = standing_of(::getpid());
      const Answer reflected = conversation.say(answer);
      EXPECT_FALSE(gives_something(reflected)) << reflected;
      expect_unharmed(::getpid(), before);
    }
    for (const Stage stage : kStages) expect_worthless(answer, stage);
  }
}

TEST_F(Repetition, KeydsOwnProofIsNoProofOfItsClientAlsoWithOneKeyForBothDirections) {
  auto choice = RawClient::choice("alice");
  choice.set_key_count(1);
  Conversation conversation(runtime_dir(), Stage::kFresh);
  ASSERT_TRUE(conversation.raw.start(choice));
  ASSERT_EQ(conversation.say(conversation.proof()), Answer{Said::kFinished});
  const Bytes finished = conversation.heard;
  const Standing before = standing_of(::getpid());
  choice.set_renews(conversation.raw.machine->session_id());
  ASSERT_TRUE(conversation.raw.start(choice));
  EXPECT_EQ(conversation.say(finished), Answer{Said::kDenied});
  expect_unharmed(::getpid(), before);
  EXPECT_EQ(standing_of(::getpid()), before) << "a renewal that failed left its session as it was";
}

TEST_F(Repetition, WhatWasSealedInAnotherSessionOrByAnotherUserIsRefused) {
  const std::pair<const char*, const char*> others[] = {{"alice", "right"}, {"bob", "other"}};
  for (const ClientMessage& message : client_messages()) {
    if (!is_sealed(message)) continue;
    for (const auto& [user, password] : others) {
      SCOPED_TRACE(std::string(message.name) + " of " + user);
      Bytes foreign;
      {
        Conversation other(runtime_dir(), message.home, user, password);
        ASSERT_TRUE(other.reached());
        foreign = message.make(other);
      }
      expect_worthless(foreign, message.home);
    }
  }
}

TEST_F(Repetition, WhatWasSealedBeforeARenewalIsRefusedAfterIt) {
  for (const ClientMessage& message : client_messages()) {
    if (!is_sealed(message) || message.home != Stage::kEstablished) continue;
    SCOPED_TRACE(message.name);
    Conversation conversation(runtime_dir(), Stage::kEstablished);
    ASSERT_TRUE(conversation.reached());
    const Bytes old =
        message.make(conversation);  // epoch 0, counter 1: what the renewed session waits for too
    ASSERT_EQ(conversation.say(conversation.start(true)), Answer{Said::kNumbers});
    ASSERT_EQ(conversation.prove_all_the_same(), Answer{Said::kFinished});
    const Standing before = standing_of(::getpid());
    EXPECT_EQ(conversation.say(old), (Answer{Said::kRefused, wire::REFUSAL_MALFORMED}));
    expect_unharmed(::getpid(), before);
    EXPECT_TRUE(conversation.is_closed());
  }
}

TEST_F(Repetition, WhatWasSealedInAnotherEpochIsRefusedUnderTheLabelOfThisOneToo) {
  constexpr std::size_t kEpoch = 6, kEpochAndCounter = 12;  // behind 08 01 aa 01 length type
  for (const ClientMessage& message : client_messages()) {
    if (!is_sealed(message) || message.home != Stage::kEstablished) continue;
    if (std::string_view(message.name) == "end" || std::string_view(message.name) == "plan-exec") continue;
    for (const bool relabelled : {false, true}) {
      SCOPED_TRACE(std::string(message.name) + (relabelled ? ", relabelled" : ""));
      Conversation conversation(runtime_dir(), Stage::kEstablished);
      ASSERT_TRUE(conversation.reached());
      Bytes old = message.make(conversation);
      ASSERT_NE(conversation.say(old).said, Said::kRefused);
      wire::SessionRequest rekey;
      *rekey.mutable_rekey() = fresh_of('r');
      if (std::string_view(message.name) != "rekey") {
        ASSERT_EQ(conversation.say(conversation.record(rekey)), Answer{Said::kReply});
      }
      if (relabelled) {  // epoch 1, counter 0
        std::fill_n(old.begin() + kEpoch, kEpochAndCounter, std::uint8_t{0});
        old[kEpoch + 3] = 1;
      }
      const Standing before = standing_of(::getpid());
      EXPECT_EQ(conversation.say(old), (Answer{Said::kRefused, wire::REFUSAL_MALFORMED}));
      expect_unharmed(::getpid(), before);
    }
  }
}

}  // namespace
}  // namespace keyd::testing
