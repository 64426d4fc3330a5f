// A real keyd under attack, an honest client beside the attacker, and what must hold after every attack.
#pragma once

#include <gtest/gtest.h>
#include <keyclient/keyclient.h>

#include <memory>
#include <string>

#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {

// Whether the long forms of the sweeps are to run (KEYD_SOAK=1).
bool is_soak();

// keyd's configuration in all of these tests. What limits a client that fails often stands here, for many of
// the attacks are failures of one uid.
std::string lenient_config(const std::string& more = {});
// The same in a tier that loses no process events: for sweeps that no event matters to. On a machine that is
// busy with other processes tier watch loses some, and then keyd revokes everybody's record, the attacker's too.
std::string config_without_events();

// What the table says of a process at one moment.
struct Standing {
  keyclient_state state = KEYCLIENT_STATE_NONE;
  std::string session;  // 16 octets
  bool operator==(const Standing&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Standing& standing);

// Users: "alice" (password "right", credential "token"), "bob" ("other"), "honest" ("honest"), "victim".
class BesiegedKeyd : public ::testing::Test {
 protected:
  explicit BesiegedKeyd(const std::string& config = lenient_config()) : keyd_(config) {}
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] std::string runtime_dir() const { return keyd_.runtime_dir(); }
  [[nodiscard]] Standing standing_of(pid_t process) const;

  // The one check after every attack. keyd is the process that it was; nobody is COMPLETE but the honest
  // client, and `process` if it was so `before` in the same session; the honest client authenticates; keyd
  // holds no more descriptors than before the siege.
  void expect_unharmed(pid_t process, const Standing& before);
  // Likewise, where the process at the attacked connection may have become or stayed COMPLETE by right.
  void expect_unharmed_but_for(pid_t process);
  // Counts keyd's descriptors as they are now as those that it may hold: for tests that open some for good.
  void accept_descriptors();

  PrivateKeyd keyd_;

 private:
  void expect_alive();
  void expect_complete_only(pid_t process, const Standing* before);
  void expect_honest_client_served();
  void expect_no_descriptor_kept();

  std::unique_ptr<Forked> honest_;
  keyclient_t* table_ = nullptr;  // reads the task table
  std::size_t descriptors_before_ = 0;
};

}  // namespace keyd::testing
