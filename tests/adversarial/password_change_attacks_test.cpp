// A user's own client as the attacker of a change of password: out of order, about another session, repeated, changed on
// the way, guessing. What holds each time: the password is what it was, and the session goes on.
#include <gtest/gtest.h>

#include "core/crypto/random.h"
#include "tests/support/bearable_failures.h"
#include "tests/support/changing_client.h"
#include "tests/support/eventually.h"
#include "tests/support/private_keyd.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

constexpr const char* kOld = "old words 4 her use";
constexpr const char* kNew = "quite other 7 sentence";
constexpr auto kProveOld = wire::NESTED_PURPOSE_OLD_PASSWORD;
constexpr auto kReauthenticate = wire::NESTED_PURPOSE_REAUTHENTICATE;

class PasswordChangeAttacks : public ::testing::Test {
 protected:
  explicit PasswordChangeAttacks(const char* config = kUnlimitedTries) : keyd_(config) {}
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", kOld, {"--scheme", "srp"});
    keyd_.enrol("eve", kOld, {"--scheme", "srp"});
    client_.emplace(keyd_.runtime_dir());
    ASSERT_TRUE(client_->log_in("alice", kOld)) << keyd_.log();
  }
  void TearDown() override {
    if (HasFatalFailure()) return;
    wire::SessionRequest request;
    request.mutable_whoami();
    const auto reply = client_->ask(request);
    ASSERT_TRUE(reply) << "the session has not gone on";
    EXPECT_EQ(reply->message.whoami().user(), "alice");
  }
  bool logs_in(const std::string& password) {
    client_.emplace(keyd_.runtime_dir());
    return eventually([&] {
      client_.emplace(keyd_.runtime_dir());
      return client_->log_in("alice", password);
    });
  }
  wire::RefusalCode refusal(const wire::SessionRequest& request, ByteView payload = {}) {
    const auto reply = client_->ask(request, payload);
    EXPECT_TRUE(reply) << "no reply";
    return reply ? reply->refusal() : wire::REFUSAL_UNSPECIFIED;
  }
  wire::RefusalCode refusal_of_start(const wire::SrpStart& choice, wire::NestedPurpose purpose = kProveOld) {
    exchange::SrpClient machine(choice, {});
    const auto packet = machine.start(crypto::fill_random);
    EXPECT_TRUE(packet);
    const auto reply = client_->ask_nested(purpose, *packet);
    EXPECT_TRUE(reply);
    return reply ? reply->refusal() : wire::REFUSAL_UNSPECIFIED;
  }
  PrivateKeyd keyd_;
  std::optional<ChangingClient> client_;
};

// The forgeries below are of things that work.
TEST_F(PasswordChangeAttacks, TheHonestOrderWorks) {
  ASSERT_TRUE(client_->be_asked());
  ASSERT_TRUE(client_->nested(kProveOld, kOld));
  EXPECT_EQ(
      refusal(ChangingClient::answer_request(client_->answer(kNew)), ChangingClient::history_hashes('n')),
      wire::REFUSAL_POLICY)
      << "both hashes alike: the old password again";
  Bytes hashes = ChangingClient::history_hashes('o');
  hashes[0] = 'n';
  const auto answered = client_->ask(ChangingClient::answer_request(client_->answer(kNew)), hashes);
  ASSERT_TRUE(answered && answered->message.has_change_answer());
  EXPECT_TRUE(client_->change->take_success(bytes_of(answered->message.change_answer().eap())));
  ASSERT_TRUE(client_->nested(kReauthenticate, kNew));
  EXPECT_FALSE(client_->be_asked() && client_->nested(kProveOld, kOld));
  EXPECT_TRUE(logs_in(kNew));
}

TEST_F(PasswordChangeAttacks, AnAnswerToNothingIsRefused) {
  EXPECT_EQ(refusal(ChangingClient::answer_request(Bytes(40, 1)), ChangingClient::history_hashes()),
            wire::REFUSAL_NOT_FOUND);
}

TEST_F(PasswordChangeAttacks, AnAnswerBeforeTheOldPasswordWasProvedIsRefused) {
  ASSERT_TRUE(client_->be_asked());
  EXPECT_EQ(refusal(ChangingClient::answer_request(client_->answer(kNew)), ChangingClient::history_hashes()),
            wire::REFUSAL_OUT_OF_ORDER);
  EXPECT_FALSE(client_->nested(kProveOld, "another guess"));
  EXPECT_EQ(refusal(ChangingClient::answer_request(client_->answer(kNew)), ChangingClient::history_hashes()),
            wire::REFUSAL_OUT_OF_ORDER);
  EXPECT_TRUE(logs_in(kOld));
}

TEST_F(PasswordChangeAttacks, AnAnswerThatWasChangedOnTheWayIsRefusedAndTheRightOneStillTaken) {
  ASSERT_TRUE(client_->be_asked());
  ASSERT_TRUE(client_->nested(kProveOld, kOld));
  const Bytes answer = client_->answer(kNew);
  Bytes hashes = ChangingClient::history_hashes();
  hashes[0] = 'n';
  for (std::size_t at = 0; at < answer.size(); ++at) {
    Bytes changed = answer;
    changed[at] ^= static_cast<std::uint8_t>(1u << at % 8);
    ASSERT_EQ(refusal(ChangingClient::answer_request(changed), hashes), wire::REFUSAL_MALFORMED) << at;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, answer.size() / 2, answer.size() - 1})
    EXPECT_EQ(refusal(ChangingClient::answer_request(ByteView(answer).first(size)), hashes),
              wire::REFUSAL_MALFORMED);
  for (const std::size_t size : {0u, 32u, 63u, 65u, 4000u})
    EXPECT_EQ(refusal(ChangingClient::answer_request(answer), Bytes(size, 1)), wire::REFUSAL_MALFORMED)
        << size;
  const auto taken = client_->ask(ChangingClient::answer_request(answer), hashes);
  ASSERT_TRUE(taken && taken->message.has_change_answer());
  // And once only.
  EXPECT_EQ(refusal(ChangingClient::answer_request(answer), hashes), wire::REFUSAL_NOT_FOUND);
  EXPECT_TRUE(logs_in(kNew));
}

TEST_F(PasswordChangeAttacks, ANestedExchangeIsAboutThisSessionAlone) {
  wire::SrpStart choice = client_->nested_choice();
  EXPECT_EQ(refusal_of_start(choice), wire::REFUSAL_UNSPECIFIED) << "the honest one";
  choice.set_user("eve");
  EXPECT_EQ(refusal_of_start(choice), wire::REFUSAL_MALFORMED);
  choice = client_->nested_choice();
  choice.clear_renews();
  EXPECT_EQ(refusal_of_start(choice), wire::REFUSAL_MALFORMED);
  choice.set_renews(std::string(16, 'x'));
  EXPECT_EQ(refusal_of_start(choice), wire::REFUSAL_MALFORMED);
  choice = client_->nested_choice();
  choice.set_suite(wire::SUITE_HISTORIC);
  EXPECT_EQ(refusal_of_start(choice), wire::REFUSAL_MALFORMED);
  choice = client_->nested_choice();
  choice.set_server_name("elsewhere");
  EXPECT_EQ(refusal_of_start(choice), wire::REFUSAL_MALFORMED);
}

TEST_F(PasswordChangeAttacks, WhatIsNestedIsAnExchangeSrpAndNothingElse) {
  wire::ClientPacket table, record, other;
  table.mutable_table();
  record.set_record("octets");
  *other.mutable_challenge_start() = RawClient::choice("alice");
  for (wire::ClientPacket* packet : {&table, &record, &other}) {
    const auto reply = client_->ask_nested(kProveOld, wire::encode(*packet));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->refusal(), wire::REFUSAL_OUT_OF_ORDER);
  }
  for (const Bytes& octets : {Bytes(), Bytes(1, 0xff), Bytes(5000, 0), Bytes(60000, 'x')}) {
    const auto reply = client_->ask_nested(kProveOld, octets);
    ASSERT_TRUE(reply);
    EXPECT_NE(reply->refusal(), wire::REFUSAL_UNSPECIFIED);
  }
  for (const int purpose : {0, 3, -1, 1 << 30}) {
    exchange::SrpClient machine(client_->nested_choice(), {});
    const auto reply =
        client_->ask_nested(static_cast<wire::NestedPurpose>(purpose), *machine.start(crypto::fill_random));
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->refusal(), wire::REFUSAL_MALFORMED) << purpose;
  }
}

// Begun to prove the old password, gone on with to renew the session: it is neither.
TEST_F(PasswordChangeAttacks, APurposeIsNotChangedOnTheWay) {
  exchange::SrpClient machine(client_->nested_choice(), {});
  ASSERT_TRUE(client_->ask_nested(kProveOld, *machine.start(crypto::fill_random)));
  const auto key = machine.take_challenge(client_->last_nested_octets, client_->last_nested.srp(),
                                          crypto::fill_random_private);
  ASSERT_TRUE(key);
  const auto reply = client_->ask_nested(kReauthenticate, *key);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->refusal(), wire::REFUSAL_OUT_OF_ORDER);
  ASSERT_TRUE(client_->be_asked());
  EXPECT_EQ(refusal(ChangingClient::answer_request(client_->answer(kNew)), ChangingClient::history_hashes()),
            wire::REFUSAL_OUT_OF_ORDER)
      << "nothing was proved";
}

// What an exchange on a connection of its own says proves nothing in here, and the other way round.
TEST_F(PasswordChangeAttacks, PacketsOfAnotherExchangeAreRefused) {
  exchange::SrpClient first(client_->nested_choice(), {});
  ASSERT_TRUE(client_->ask_nested(kProveOld, *first.start(crypto::fill_random)));
  const auto key = first.take_challenge(client_->last_nested_octets, client_->last_nested.srp(),
                                        crypto::fill_random_private);
  ASSERT_TRUE(client_->ask_nested(kProveOld, *key));
  ASSERT_TRUE(first.take_key(client_->last_nested_octets, client_->last_nested.srp()));
  const auto proof = first.prove(bytes_of(kOld));
  exchange::SrpClient second(client_->nested_choice(), {});
  ASSERT_TRUE(client_->ask_nested(kProveOld, *second.start(crypto::fill_random)));
  const auto other_key = second.take_challenge(client_->last_nested_octets, client_->last_nested.srp(),
                                               crypto::fill_random_private);
  ASSERT_TRUE(client_->ask_nested(kProveOld, *other_key));
  const auto reply = client_->ask_nested(kProveOld, *proof);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(client_->last_nested.has_denied());
}

TEST_F(PasswordChangeAttacks, AReauthenticationWithAWrongPasswordLeavesTheSessionAsItWas) {
  const std::string before = client_->session_id;
  EXPECT_FALSE(client_->nested(kReauthenticate, "a guess"));
  EXPECT_TRUE(client_->last_nested.has_denied());
  EXPECT_EQ(client_->session_id, before);
  EXPECT_TRUE(client_->nested(kReauthenticate, kOld));
  EXPECT_NE(client_->session_id, before);
}

// Left in the middle, while another request goes on: the session's own.
TEST_F(PasswordChangeAttacks, AnExchangeThatIsLeftHoldsNothingUp) {
  for (const auto purpose : {kProveOld, kReauthenticate}) {
    exchange::SrpClient machine(client_->nested_choice(), {});
    ASSERT_TRUE(client_->ask_nested(purpose, *machine.start(crypto::fill_random)));
    wire::SessionRequest request;
    request.mutable_whoami();
    ASSERT_TRUE(client_->ask(request)->message.has_whoami());
  }
  EXPECT_TRUE(client_->nested(kReauthenticate, kOld)) << "a new start gives the one before up";
}

// Nested guesses are counted with all others.
class CountedAttacks : public PasswordChangeAttacks {
 protected:
  CountedAttacks() : PasswordChangeAttacks("[limits]\nfree_tries = 3\n") {}
};

TEST_F(CountedAttacks, GuessingTheOldPasswordInASessionIsThrottledToo) {
  const BootTime begun = boot_now();
  int guesses = 0;
  do {
    ++guesses;
    EXPECT_FALSE(client_->nested(kProveOld, "guess " + std::to_string(guesses)));
    ASSERT_TRUE(client_->last_nested.has_denied()) << guesses;
    ASSERT_LE(guesses, bearable_failures(begun, 3));
  } while (refusal_of_start(client_->nested_choice()) != wire::REFUSAL_THROTTLED);
  EXPECT_GE(guesses, 3);
}

}  // namespace
}  // namespace keyd::testing
