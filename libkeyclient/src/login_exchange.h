// The exchanges as a client runs them: from the choice to an established channel, one function for each scheme, read
// beside the drawing of its scheme in core/exchange/.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "core/exchange/kryptoknight.h"
#include "core/exchange/secure_channel.h"
#include "core/exchange/srp.h"
#include "core/exchange/srp_password_change.h"
#include "core/secret/secret.h"
#include "libkeyclient/src/keyd_link.h"

namespace keyd::client {

// Gives the password. Asked at most once a login, when the task is PENDING.
using PasswordSource = std::function<Outcome<secret::SecretBuffer>()>;

// Of the scheme kryptoknight: with the hashes that the client makes.
struct KryptoknightChoice {
  wire::KryptoknightStart start;
  crypto::CryptLimits limits;
  void set_server_name(const std::string& name) { start.set_server_name(name); }
  void set_renews(const std::string& id) { start.set_renews(id); }
};

// Of the scheme srp: with the groups and the ways of deriving x that the client takes.
struct SrpChoice {
  wire::SrpStart start;
  exchange::GroupPolicy groups;
  exchange::DerivationPolicy derivations;
  std::uint32_t vendor_id = exchange::kExampleVendor;
  void set_server_name(const std::string& name) { start.set_server_name(name); }
  void set_renews(const std::string& id) { start.set_renews(id); }
};

// Everything but the random octets, server_name and renews.
using Choice = std::variant<wire::ChallengeStart, KryptoknightChoice, SrpChoice>;

struct Login {
  Choice choice;
  PasswordSource password;
  bool may_retry = false;  // the source may take longer than keyd waits
};

// Where each command has a key of its own: what that is made from.
struct CommandKeys {
  wire::Suite suite;
  secret::SecretBuffer hash;  // P' of the login
  std::string host_port;
  bool used = false;  // the key at hand has carried its command
};

// Of a login that can ask for a new password: its end of a change, and by what choice it was made.
struct ChangeEnd {
  exchange::PasswordChangeClient machine;
  SrpChoice choice;
  Bytes history_salt = {};  // of the question that stands
};

struct Established {
  exchange::SecureChannel channel;
  std::string session_id;
  std::optional<CommandKeys> command_keys = {};
  std::optional<ChangeEnd> change = {};
};

// What carries an exchange's packets: the link itself, or a session that it is nested in. Gives keyd's answer.
using Carrier = std::function<Outcome<ServerAnswer>(ByteView packet)>;
// The exchange srp over any carrier. `choice` has its server_name and renews.
[[nodiscard]] Outcome<Established> run_srp(const Carrier& carry, const SrpChoice& choice,
                                           const std::function<Outcome<void>(secret::SecretBuffer&)>& provide,
                                           secret::SecretBuffer& password);

// Runs the exchange on `link`. `renews`: the id of the session that it renews, or empty. `password` is filled from
// the login when it is empty. KEYCLIENT_DENIED: the password, or whoever answered, was not the right one.
[[nodiscard]] Outcome<Established> run_exchange(KeydLink& link, const std::string& server_name,
                                                const Login& login, const std::string& renews,
                                                secret::SecretBuffer& password);

[[nodiscard]] Failure unexpected_answer();

}  // namespace keyd::client
