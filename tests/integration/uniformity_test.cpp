// Whoever is denied hears the same, whatever the reason: message for message, size for size, in the same
// order, and with the same record in the table. (How long it takes is the uniformity benchmark's.)
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "core/crypto/random.h"
#include "tests/support/raw_client.h"
#include "tests/support/refused_users.h"

namespace keyd::testing {
namespace {

using Transcript = std::vector<std::string>;

class Uniformity : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(start_with_refused_users(keyd_)) << keyd_.log(); }

  // What the table says of this process, times and numbers of the exchange apart.
  std::string record() const {
    auto shown = nlohmann::json::parse(keyd_.keystat({std::to_string(::getpid()), "-o", "json"}).out);
    auto& task = shown["tasks"][0];
    for (const char* varies : {"user", "session", "pending_since", "complete_since", "expires", "exchanges"})
      task.erase(varies);
    return task.dump();
  }

  // Everything that comes back in an exchange that fails, and in the one after it on the same connection, and
  // what the table says then.
  Transcript transcript(const wire::ChallengeStart& choice, const std::string& password) const {
    Transcript all;
    RawClient raw(keyd_.runtime_dir());
    const auto heard = [&](const char* step) {
      const auto packet = raw.receive();
      wire::ServerPacket message;
      if (!packet || wire::decode(*packet, message) != wire::Decoded::kMessage) {
        all.push_back(std::string(step) + ": nothing");
        return;
      }
      all.push_back(std::string(step) + ": type " + std::to_string(message.body_case()) + ", " +
                    std::to_string(packet->size()) + " octets");
      if (message.has_challenge_numbers()) {
        EXPECT_TRUE(raw.machine->take_numbers(*packet, message.challenge_numbers()));
      }
    };
    for (const char* step : {"first", "again"}) {
      raw.machine.emplace(choice);
      const auto start = raw.machine->start(crypto::fill_random);
      EXPECT_TRUE(start && raw.send(*start));
      heard(step);
      const Bytes proof = raw.proof(password);
      EXPECT_TRUE(!proof.empty() && raw.send(proof));
      heard(step);
      all.push_back(record());
    }
    all.push_back(raw.closed_within(0.05) ? "closed" : "open");
    return all;
  }

  static void expect_alike(const std::map<std::string, Transcript>& all) {
    const Transcript& first = all.at("wrong password");
    EXPECT_EQ(first.size(), 7u);
    for (const auto& [kind, other] : all) EXPECT_EQ(other, first) << kind;
  }

  // That the kinds are what they are called.
  void expect_reason(const RefusedUser& who) const {
    EXPECT_TRUE(keyd_.wait_for_log(std::string("reason=\"") + who.reason + '"')) << who.kind;
  }

  PrivateKeyd keyd_{refused_users_config()};
};

TEST_F(Uniformity, WhoeverIsDeniedHearsTheSameInTheModernSuite) {
  std::map<std::string, Transcript> all;
  for (const RefusedUser& who : kRefusedUsers)
    all[who.kind] = transcript(modern_choice(who.user), who.password);
  expect_alike(all);
  for (const RefusedUser& who : kRefusedUsers) expect_reason(who);
}

TEST_F(Uniformity, WhoeverIsDeniedHearsTheSameInTheHistoricSuite) {
  std::map<std::string, Transcript> all;
  for (const RefusedUser& who : kRefusedUsers)
    all[who.kind] = transcript(historic_choice(who.user), who.password);
  all[kNoHistoricUser.kind] = transcript(historic_choice(kNoHistoricUser.user), kNoHistoricUser.password);
  expect_alike(all);
  expect_reason(kNoHistoricUser);
}

}  // namespace
}  // namespace keyd::testing
