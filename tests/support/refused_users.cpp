#include "tests/support/refused_users.h"

#include "tests/support/raw_client.h"

namespace keyd::testing {

std::string refused_users_config() { return std::string("[historic]\nenabled = true\n") + kWideLimits; }

bool start_with_refused_users(PrivateKeyd& keyd, const std::string& scheme) {
  if (!keyd.start()) return false;
  for (const char* user : {"alice", "dinah", "lucie", "nelly"})
    keyd.enrol(user, "right", {"--scheme", scheme, "--allow-historic"});
  keyd.enrol(kNoHistoricUser.user, "right", {"--scheme", scheme});
  if (keyd.keyadm({"user", "disable", "dinah"}).exit_code != 0) return false;
  // What keyadm does not offer: a lock without failures, a user of no scheme that this keyd has.
  keyd.stop();
  const auto changed = run({"/usr/bin/sqlite3", keyd.state_dir() + "/keyd.db",
                            "UPDATE users SET state = 1 WHERE name = 'lucie';"
                            "UPDATE users SET schemes = 0 WHERE name = 'nelly';"});
  return changed.exit_code == 0 && keyd.start();
}

wire::ChallengeStart modern_choice(const std::string& user) { return RawClient::choice(user); }

wire::ChallengeStart historic_choice(const std::string& user) {
  auto choice = RawClient::choice(user);
  choice.set_suite(wire::SUITE_HISTORIC);
  choice.set_transform(wire::TRANSFORM_MD5);
  choice.set_nonce_bits(128);
  return choice;
}

}  // namespace keyd::testing
