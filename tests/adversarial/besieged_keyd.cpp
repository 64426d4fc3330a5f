#include "tests/adversarial/besieged_keyd.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <ostream>

#include "tests/support/descriptors.h"
#include "tests/support/eventually.h"
#include "tests/support/raw_client.h"
#include "tests/support/tier_under_test.h"
#include "tests/support/wide_limits.h"

namespace keyd::testing {
namespace {

// One more proof of the honest client: renews the session it has, or begins one; then uses it.
bool prove_once_more(std::optional<RawClient>& raw, const std::string& runtime_dir) {
  auto choice = RawClient::choice("honest");
  if (raw && raw->machine) choice.set_renews(raw->machine->session_id());
  if (!raw || !raw->start(choice) || !raw->prove("honest")) {
    raw.emplace(runtime_dir);  // an attack may have revoked it: an administrator's request that was changed
    if (!raw->authenticate("honest", "honest")) return false;
  }
  wire::SessionRequest echo;
  echo.mutable_echo();
  const auto reply = raw->ask(echo);
  return reply && reply->has_echo();
}

int be_honest(const std::string& runtime_dir, Forked::Child& child) {
  std::optional<RawClient> raw;
  while (child.hear() == "prove") child.say(prove_once_more(raw, runtime_dir) ? "in" : "out");
  return 0;
}

}  // namespace

bool is_soak() {
  const char* const value = ::getenv("KEYD_SOAK");
  return value != nullptr && std::string_view(value) == "1";
}

std::string lenient_config(const std::string& more) {
  return kUnlimitedPending + (kUnlimitedTries + more) + "[kryptoknight]\ncost = 1\n";
}
std::string config_without_events() { return lenient_config(in_a_steady_tier()); }

std::ostream& operator<<(std::ostream& out, const Standing& standing) {
  return out << "state " << standing.state << " session " << to_hex(bytes_of(standing.session));
}

void BesiegedKeyd::SetUp() {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to count keyd's descriptors";
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  keyd_.enrol("alice", "right", {"--scheme", "challenge", "--scheme", "kryptoknight"});
  keyd_.enrol("bob", "other", {"--scheme", "challenge", "--scheme", "kryptoknight"});
  keyd_.enrol("honest", "honest");
  keyd_.enrol("victim", "victim");
  keyd_.set_credential("alice", "token", "the-value");
  keyclient_options options{};
  options.size = sizeof options;
  const std::string directory = runtime_dir();
  options.runtime_dir = directory.c_str();
  ASSERT_EQ(keyclient_open(&options, &table_), KEYCLIENT_OK);
  honest_ =
      std::make_unique<Forked>([directory](Forked::Child& child) { return be_honest(directory, child); });
  expect_honest_client_served();
  // keyd keeps a pidfd for a process that has a record, this one's too once it has tried; and the connection
  // is counted, for an attacked one may go on.
  RawClient raw(directory);
  ASSERT_TRUE(raw.authenticate("alice", "right"));
  accept_descriptors();
}

void BesiegedKeyd::TearDown() {
  keyclient_close(table_);
  honest_.reset();
}

Standing BesiegedKeyd::standing_of(pid_t process) const {
  keyclient_identity identity{};
  identity.size = sizeof identity;
  const auto status = keyclient_lookup_pid(table_, static_cast<std::uint32_t>(process), &identity);
  EXPECT_TRUE(status == KEYCLIENT_OK || status == KEYCLIENT_NOT_AUTHENTICATED) << keyclient_error();
  return {identity.state, {std::begin(identity.session_id), std::end(identity.session_id)}};
}

void BesiegedKeyd::expect_unharmed(pid_t process, const Standing& before) {
  expect_alive();
  expect_honest_client_served();  // a round trip: keyd has done what came before it
  expect_complete_only(process, &before);
  expect_no_descriptor_kept();
}

void BesiegedKeyd::expect_unharmed_but_for(pid_t process) {
  expect_alive();
  expect_honest_client_served();
  expect_complete_only(process, nullptr);
  expect_no_descriptor_kept();
}

void BesiegedKeyd::expect_alive() {
  int status = 0;
  ASSERT_EQ(::waitpid(keyd_.pid(), &status, WNOHANG), 0) << "keyd has ended with wait status " << status;
}

void BesiegedKeyd::expect_complete_only(pid_t process, const Standing* before) {
  struct Context {
    pid_t honest, process;
    const Standing* before;
  } context{honest_->pid(), process, before};
  const auto status = keyclient_each(
      table_,
      [](void* raw, const keyclient_identity* identity) {
        const auto& allowed = *static_cast<const Context*>(raw);
        const auto pid = static_cast<pid_t>(identity->pid);
        if (identity->state != KEYCLIENT_STATE_COMPLETE || pid == allowed.honest) return;
        EXPECT_EQ(pid, allowed.process) << "complete as " << identity->user << " without a proof";
        if (pid != allowed.process || allowed.before == nullptr) return;
        EXPECT_EQ(allowed.before->state, KEYCLIENT_STATE_COMPLETE) << "complete without a proof";
        EXPECT_EQ(allowed.before->session,
                  std::string(std::begin(identity->session_id), std::end(identity->session_id)));
      },
      &context);
  EXPECT_EQ(status, KEYCLIENT_OK) << keyclient_error();
}

void BesiegedKeyd::expect_honest_client_served() {
  honest_->say("prove");
  ASSERT_EQ(honest_->hear(), "in") << "the honest client is not served any more";
}

void BesiegedKeyd::accept_descriptors() {
  expect_honest_client_served();
  descriptors_before_ = descriptors_of(keyd_.pid());
}

void BesiegedKeyd::expect_no_descriptor_kept() {
  std::size_t held = 0;
  EXPECT_TRUE(eventually([&] { return (held = descriptors_of(keyd_.pid())) <= descriptors_before_; }, 5))
      << "keyd keeps descriptors of those who attacked it: " << held << " instead of " << descriptors_before_;
  descriptors_before_ = std::max(descriptors_before_, held);  // said once is enough
}

}  // namespace keyd::testing
