// The challenge exchange against a real keyd: what is marked when, what is denied, and that it is denied
// alike.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

class Exchange : public ::testing::Test {
 protected:
  explicit Exchange(const std::string& more = {}) : keyd_("[historic]\nenabled = true\n" + more) {}
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
  }
  PrivateKeyd keyd_;
};

class HurriedExchange : public Exchange {
 protected:
  HurriedExchange() : Exchange("[session]\npending_deadline = 2\n") {}
};

// Claims 1, 2 and 12, and the issue's own words.
TEST_F(Exchange, MarksTheProcessPendingThenCompleteAndForgetsItWhenItIsKilled) {
  Forked client([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.start(RawClient::choice("alice"))) return 1;
    child.say("challenged");
    child.hear();
    if (!raw.prove("right")) return 2;
    child.say("proven");
    child.hear();
    return 0;
  });
  ASSERT_EQ(client.hear(), "challenged");
  EXPECT_EQ(keyd_.state_of(client.pid()), "PENDING");
  client.say("go on");
  ASSERT_EQ(client.hear(), "proven");
  const auto shown = nlohmann::json::parse(keyd_.keystat({std::to_string(client.pid()), "-o", "json"}).out);
  const auto& task = shown["tasks"][0];
  EXPECT_EQ(task["state"], "COMPLETE");
  EXPECT_EQ(task["user"], "alice");
  EXPECT_EQ(task["scheme"], "challenge");
  EXPECT_EQ(task["suite"], "modern");
  EXPECT_EQ(task["pid"], client.pid());
  EXPECT_EQ(task["uid"], ::getuid());
  for (const char* field : {"inode", "exec_generation", "host", "gid", "reason", "tier", "session",
                            "pending_since", "complete_since", "expires", "records", "bytes", "command"}) {
    EXPECT_TRUE(task.contains(field)) << field;
  }
  client.kill();
  EXPECT_TRUE(keyd_.wait_for_state(client.pid(), "", 10.0)) << "a record outlived its process";
}

TEST_F(Exchange, IsNotCompleteBeforeTheProofWhateverElseIsSaid) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  wire::ClientPacket forged;
  forged.set_finished(std::string(61, 'x'));
  ASSERT_TRUE(raw.send(forged));
  EXPECT_TRUE(raw.receive_message().has_denied());
  EXPECT_EQ(keyd_.state_of(::getpid()), "FAILED");
}

TEST_F(Exchange, DeniesAWrongPasswordAnUnknownUserAndADisabledOneWithTheSameOctets) {
  keyd_.enrol("carol", "right");
  ASSERT_EQ(keyd_.keyadm({"user", "disable", "carol"}).exit_code, 0);
  std::vector<std::pair<Bytes, std::size_t>> answers;
  for (const auto& [user, password] :
       {std::pair{"alice", "wrong"}, std::pair{"nosuch", "right"}, std::pair{"carol", "right"}}) {
    RawClient raw(keyd_.runtime_dir());
    ASSERT_TRUE(raw.start(RawClient::choice(user))) << user;
    const std::size_t numbers = raw.last_packet.ByteSizeLong();
    ASSERT_TRUE(raw.send(raw.proof(password)));
    const auto answer = raw.receive();
    ASSERT_TRUE(answer) << user;
    answers.emplace_back(*answer, numbers);
  }
  EXPECT_EQ(answers[0], answers[1]);
  EXPECT_EQ(answers[0], answers[2]);
  EXPECT_TRUE(keyd_.wait_for_log("reason=\"wrong-proof\""));
  EXPECT_TRUE(keyd_.wait_for_log("reason=\"unknown-user\""));
  EXPECT_TRUE(keyd_.wait_for_log("reason=\"user-disabled\""));
}

TEST_F(Exchange, CanBeTriedAgainOnTheSameConnectionAfterADenial) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  EXPECT_FALSE(raw.prove("wrong"));
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  EXPECT_TRUE(raw.prove("right"));
  EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");
}

TEST_F(Exchange, RefusesASecondExchangeOfTheSameProcess) {
  RawClient first(keyd_.runtime_dir()), second(keyd_.runtime_dir());
  ASSERT_TRUE(first.start(RawClient::choice("alice")));
  EXPECT_FALSE(second.start(RawClient::choice("alice")));
  EXPECT_EQ(second.last_packet.refused().code(), wire::REFUSAL_ALREADY);
  EXPECT_TRUE(first.prove("right"));  // and the first goes on unharmed
  RawClient third(keyd_.runtime_dir());
  EXPECT_FALSE(third.start(RawClient::choice("alice")));
  EXPECT_EQ(third.last_packet.refused().code(), wire::REFUSAL_ALREADY);
  EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");
}

TEST_F(HurriedExchange, EndsAtItsDeadlineAndSaysSo) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  EXPECT_EQ(raw.receive_message(20).refused().code(), wire::REFUSAL_DEADLINE);
  EXPECT_TRUE(raw.closed_within(10));
  EXPECT_EQ(keyd_.state_of(::getpid()), "FAILED");
}

TEST_F(Exchange, RefusesAClientThatWasToReachAnotherServer) {
  RawClient raw(keyd_.runtime_dir());
  auto choice = RawClient::choice("alice");
  choice.set_server_name("elsewhere");
  EXPECT_FALSE(raw.start(choice));
  EXPECT_EQ(raw.last_packet.refused().code(), wire::REFUSAL_WRONG_SERVER);
}

wire::ChallengeStart historic(const std::string& user, wire::Transform transform, std::uint32_t bits,
                              std::uint32_t keys) {
  auto choice = RawClient::choice(user);
  choice.set_suite(wire::SUITE_HISTORIC);
  choice.set_transform(transform);
  choice.set_nonce_bits(bits);
  choice.set_key_count(keys);
  return choice;
}

// Claims 4, 5, 8, 9 and their twins, end to end.
TEST_F(Exchange, HistoricSuiteWorksInEveryTransformAndIsMarkedHistoric) {
  keyd_.enrol("olaf", "right", {"--allow-historic"});
  for (const auto transform :
       {wire::TRANSFORM_MD5, wire::TRANSFORM_HMAC_MD5, wire::TRANSFORM_KEYED_MD5_RFC1828}) {
    for (const std::uint32_t bits : {16u, 128u, 256u}) {
      for (const std::uint32_t keys : {1u, 2u}) {
        Forked client([&](Forked::Child& child) {
          RawClient raw(keyd_.runtime_dir());
          if (!raw.start(historic("olaf", transform, bits, keys))) return 1;
          if (raw.last_packet.challenge_numbers().nonce1().size() != bits / 8) return 2;
          if (!raw.prove("right")) return 3;
          child.say("in");
          child.hear();
          return 0;
        });
        ASSERT_EQ(client.hear(), "in") << transform << " " << bits << " " << keys;
        const auto shown =
            nlohmann::json::parse(keyd_.keystat({std::to_string(client.pid()), "-o", "json"}).out);
        EXPECT_EQ(shown["tasks"][0]["suite"], "historic");
        client.say("end");
        EXPECT_EQ(client.wait(), 0);
      }
    }
  }
}

TEST_F(Exchange, HistoricSuiteIsDeniedToAUserItWasNotAllowed) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(
      raw.start(historic("alice", wire::TRANSFORM_HMAC_MD5, 16, 2)));  // nothing about the user shows yet
  EXPECT_FALSE(raw.prove("right"));
  EXPECT_TRUE(raw.last_packet.has_denied());
  EXPECT_TRUE(keyd_.wait_for_log("historic-not-allowed"));
}

TEST(ExchangePolicy, HistoricSuiteIsOffByDefaultForEverybody) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start());
  keyd.enrol("olaf", "right", {"--allow-historic"});
  RawClient raw(keyd.runtime_dir());
  EXPECT_FALSE(raw.start(historic("olaf", wire::TRANSFORM_MD5, 16, 1)));
  EXPECT_EQ(raw.last_packet.refused().code(), wire::REFUSAL_POLICY);
  EXPECT_EQ(keyd.state_of(::getpid()), "");
}

// Claim 14: the password stays in keyd's memory as such; that this changes nothing for the client is what
// shows.
TEST(ExchangePolicy, ResidentPasswordsServeHistoricUsersAndFollowAChange) {
  PrivateKeyd keyd("[historic]\nenabled = true\nresident_passwords = true\n");
  ASSERT_TRUE(keyd.start());
  keyd.enrol("olaf", "first", {"--allow-historic"});
  const auto attempt = [&](const std::string& password) {
    RawClient raw(keyd.runtime_dir());
    return raw.start(historic("olaf", wire::TRANSFORM_HMAC_MD5, 16, 2)) && raw.prove(password);
  };
  const auto in_child = [&](const std::string& password) {
    return Forked([&](Forked::Child&) { return attempt(password) ? 0 : 1; }).wait() == 0;
  };
  EXPECT_TRUE(in_child("first"));
  EXPECT_TRUE(in_child("first"));
  ASSERT_EQ(keyd.keyadm({"user", "passwd", "olaf", "--password-fd", "0"}, "second\n").exit_code, 0);
  EXPECT_FALSE(in_child("first"));
  EXPECT_TRUE(in_child("second"));
}

TEST_F(Exchange, RenewsASessionAndLeavesItAsItWasWhenThatFails) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  ASSERT_TRUE(raw.prove("right"));
  auto renewal = RawClient::choice("alice");
  renewal.set_renews(raw.machine->session_id());
  const std::string first_id = raw.machine->session_id();
  auto first_channel = std::move(*raw.channel);

  ASSERT_TRUE(raw.start(renewal));
  EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");  // the old session stands meanwhile
  EXPECT_NE(keyd_.keystat({"-o", "json"}).out.find("REAUTHENTICATING"), std::string::npos);
  EXPECT_FALSE(raw.prove("wrong"));
  EXPECT_TRUE(raw.last_packet.has_denied());
  raw.channel.emplace(std::move(first_channel));
  wire::SessionRequest whoami;
  whoami.mutable_whoami();
  auto reply = raw.ask(whoami);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->whoami().session_id(), first_id);

  ASSERT_TRUE(raw.start(renewal));
  ASSERT_TRUE(raw.prove("right"));
  reply = raw.ask(whoami);
  ASSERT_TRUE(reply);
  EXPECT_NE(reply->whoami().session_id(), first_id);
}

TEST_F(HurriedExchange, ARenewalThatTakesTooLongOrIsGivenUpLeavesTheSession) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")) && raw.prove("right"));
  auto renewal = RawClient::choice("alice");
  renewal.set_renews(raw.machine->session_id());
  auto session = std::move(*raw.channel);
  ASSERT_TRUE(raw.start(renewal));
  ::sleep(3);  // past the deadline
  EXPECT_FALSE(raw.prove("right"));
  EXPECT_TRUE(raw.last_packet.has_refused());
  ASSERT_TRUE(raw.start(renewal));  // and this one is given up
  raw.channel.emplace(std::move(session));
  wire::SessionRequest whoami;
  whoami.mutable_whoami();
  const auto reply = raw.ask(whoami);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->has_whoami());
  EXPECT_EQ(keyd_.keystat({"-o", "json"}).out.find("REAUTHENTICATING"), std::string::npos);
}

TEST_F(Exchange, RefusesToRenewASessionThatIsNotThisProcesssOwn) {
  RawClient raw(keyd_.runtime_dir());
  auto choice = RawClient::choice("alice");
  choice.set_renews(std::string(16, 'x'));
  EXPECT_FALSE(raw.start(choice));
  EXPECT_EQ(raw.last_packet.refused().code(), wire::REFUSAL_GONE);
  EXPECT_EQ(keyd_.state_of(::getpid()), "");
}

TEST_F(Exchange, DoesNotCompleteForAUserDisabledBetweenChallengeAndProof) {
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  ASSERT_EQ(keyd_.keyadm({"user", "disable", "alice"}).exit_code, 0);
  EXPECT_FALSE(raw.prove("right"));
  EXPECT_NE(keyd_.state_of(::getpid()), "COMPLETE");
}

TEST_F(Exchange, FailsWhenTheProcessExecutesBetweenChallengeAndProof) {
  // Its socket is close-on-exec, as the library's is: in tier pidfd that is what tells, in tier watch the
  // exec itself.
  Forked client([&](Forked::Child& child) {
    RawClient raw(keyd_.runtime_dir());
    if (!raw.start(RawClient::choice("alice"))) return 1;
    child.say("challenged");
    child.hear();
    ::execl("/bin/sleep", "sleep", "30", static_cast<char*>(nullptr));
    return 2;
  });
  ASSERT_EQ(client.hear(), "challenged");
  ASSERT_EQ(keyd_.state_of(client.pid()), "PENDING");
  client.say("exec");
  EXPECT_TRUE(keyd_.wait_for_state(client.pid(), "REVOKED"));
}

TEST_F(Exchange, OfManyProcessesAtOnceAllSucceed) {
  std::vector<std::unique_ptr<Forked>> clients;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<Forked>([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      const bool in = raw.start(RawClient::choice("alice")) && raw.prove("right");
      child.say(in ? "in" : "out");
      child.hear();
      return 0;
    }));
  }
  for (const auto& client : clients) EXPECT_EQ(client->hear(), "in");
  const auto shown = nlohmann::json::parse(keyd_.keystat({"--state", "COMPLETE", "-o", "json"}).out);
  EXPECT_EQ(shown["tasks"].size(), clients.size());
}

TEST_F(Exchange, LeavesNothingBehindWhereverTheClientDies) {
  for (int stage = 0; stage < 4; ++stage) {
    Forked client([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      if (stage > 0 && !raw.start(RawClient::choice("alice"))) return 1;
      if (stage == 2 && !raw.send(raw.proof("right"))) return 1;  // dies before it hears the answer
      if (stage == 3 && !raw.prove("right")) return 1;
      child.say("there");
      child.hear();
      return 0;
    });
    ASSERT_EQ(client.hear(), "there") << stage;
    client.kill();
    EXPECT_TRUE(keyd_.wait_for_state(client.pid(), "", 10.0)) << stage;
  }
  EXPECT_NE(keyd_.keystat({"-o", "json"}).out.find("\"used\": 0"), std::string::npos);
}

}  // namespace
}  // namespace keyd::testing
