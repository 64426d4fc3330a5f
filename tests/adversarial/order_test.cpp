// Every message at every stage: what client_messages.cpp says comes of it, and nothing else.
#include <unistd.h>

#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/client_messages.h"

namespace keyd::testing {
namespace {

class Order : public BesiegedKeyd {
 protected:
  Order() : BesiegedKeyd(config_without_events()) {}
  void try_at(const ClientMessage& message, Stage stage) {
    SCOPED_TRACE(std::string(message.name) + " at " + name_of(stage));
    Conversation conversation(runtime_dir(), stage);
    ASSERT_TRUE(conversation.reached());
    const Standing before = standing_of(::getpid());
    const Answer expected = message.answers[static_cast<std::size_t>(stage)];
    EXPECT_EQ(conversation.say(message.make(conversation)), expected);
    if (expected.said == Said::kFinished) {
      expect_unharmed_but_for(::getpid());
      EXPECT_EQ(standing_of(::getpid()).state, KEYCLIENT_STATE_COMPLETE);
    } else {
      expect_unharmed(::getpid(), before);
    }
    // Outside a sealed record a refusal ends the connection, but for one of a renewal that cannot be.
    const bool ends = (expected.said == Said::kRefused && expected.code != wire::REFUSAL_ALREADY) ||
                      (expected.said == Said::kReply && std::string_view(message.name) == "end");
    EXPECT_EQ(conversation.is_closed(), ends);
  }
};

TEST_F(Order, EachMessageDoesAtEachStageWhatIsWrittenAndNothingElse) {
  for (const ClientMessage& message : client_messages()) {
    for (const Stage stage : kStages) try_at(message, stage);
  }
}

TEST_F(Order, ASessionGoesOnAfterAMessageThatWasOnlyNotOfItsStage) {
  wire::SessionRequest whoami;
  whoami.mutable_whoami();
  for (const ClientMessage& message : client_messages()) {
    const Answer answer = message.answers[static_cast<std::size_t>(Stage::kEstablished)];
    if (answer.said != Said::kRefusedInside && answer.code != wire::REFUSAL_ALREADY) continue;
    SCOPED_TRACE(message.name);
    Conversation conversation(runtime_dir(), Stage::kEstablished);
    ASSERT_TRUE(conversation.reached());
    const Standing before = standing_of(::getpid());
    EXPECT_EQ(conversation.say(message.make(conversation)), answer);
    EXPECT_EQ(conversation.say(conversation.record(whoami)), Answer{Said::kReply});
    EXPECT_EQ(standing_of(::getpid()), before);
  }
}

}  // namespace
}  // namespace keyd::testing
