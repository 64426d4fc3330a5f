// keyd's configuration: one TOML file and its drop-ins (FILE.d/*.toml, in name order, later ones win). An
// unknown key, a value of the wrong kind or out of its range is an error that names file, line and key.
// docs/man/keyd.toml.5 describes every key; the defaults stand here.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/table/task_table_layout.h"
#include "keyd/change_policy.h"
#include "keyd/enrolment.h"

namespace keyd::daemon {

enum class TierChoice { kAuto, kKernel, kWatch, kPidfd };
enum class CredentialsWatch { kTier, kEverySyscall };
enum class TableAccess { kEveryone, kAdministrators };
enum class AuditFormat { kText, kJson };

struct Config {
  // [daemon]
  std::string user;                       // account to run as; empty: stay as started, without capabilities
  std::string server_name = "localhost";  // what clients must have been configured to reach
  std::string admin_group;  // its members may use admin.sock; empty: root (and keyd's own user) alone
  std::string log_level = "info";
  TierChoice tier = TierChoice::kAuto;
  CredentialsWatch credentials = CredentialsWatch::kTier;  // how changes of a process's ids are noticed

  // [table]
  std::uint32_t table_capacity = 16384;  // processes; a power of two, 16 … 1048576
  TableAccess table_access = TableAccess::kEveryone;

  // [session]
  std::chrono::seconds pending_deadline{30};
  std::chrono::seconds lifetime{std::chrono::hours(12)};
  std::chrono::seconds plan_deadline{10};  // from a planned exec's announcement to its adoption
  std::chrono::seconds linger{60};         // how long an ended record of a living process stays to be seen

  // [historic]
  bool historic_enabled = false;    // beside it a user needs --allow-historic
  bool resident_passwords = false;  // keep those users' clear passwords in locked memory (claim 14)

  // [kryptoknight]: how the hashes of passwords are made
  std::string crypt_method = "yescrypt";  // crypt(5)
  std::uint32_t crypt_cost = 0;           // the method's own; 0: its default
  wire::SaltCarriage salt_carriage = wire::SALT_CARRIAGE_BESIDE_NONCE;
  bool historic_salt = true;  // the historic suite's have one
  [[nodiscard]] exchange::Resalting resalting() const {
    return {crypt_method, crypt_cost, salt_carriage, historic_salt};
  }

  // [srp]
  std::uint32_t srp_group = exchange::kDefaultGroupBits;   // of new verifiers: bits, one of RFC 5054's
  std::uint32_t srp_pool = 64;                             // numbers drawn ahead
  std::uint32_t srp_vendor_id = exchange::kExampleVendor;  // of the Expanded EAP packets

  // [password]: when it must be changed, and how its user is asked
  ChangePolicy change_policy;
  std::chrono::seconds change_ask_again{3600};  // between two requests that nobody answers
  std::uint32_t change_failures = 10;  // of them that were received; then the user is disabled. 0: never
  std::uint32_t change_history = 5;    // recent passwords that a new one must not be a permutation of
  bool change_salt = true;             // a new one for each verifier
  bool change_as_eap_srp = true;       // in historic sessions: type 19; else as a vendor's message
  bool change_by_place = false;        // the request names a file with salt and group, else it has them
  [[nodiscard]] std::uint64_t change_interval() const {
    return static_cast<std::uint64_t>(change_ask_again.count()) * kSecond;
  }

  // What new secrets are made by.
  [[nodiscard]] Derivations derivations() const { return {resalting(), srp_group}; }

  // [limits]
  std::uint32_t connections = 16384;  // in all; also bounded by RLIMIT_NOFILE
  std::uint32_t connections_per_uid = 4096;
  std::uint32_t pending_per_uid = 64;
  std::uint32_t records_per_uid = 4096;
  std::uint32_t octets = 64u << 20;  // of answers that their peers do not read, in all
  std::uint32_t octets_per_uid = 8u << 20;
  std::chrono::seconds idle_deadline{60};  // for a connection that asks nothing, or does not read
  std::uint32_t free_tries = 5;            // failures of a source at a user before it has to wait
  std::uint32_t tries_per_source = 100, tries_per_user = 200;
  std::chrono::seconds longest_delay{900};       // between two tries of a source at a user
  std::string subordinate_uids = "/etc/subuid";  // whose uids are whose; empty: each uid for itself

  // [audit]
  AuditFormat audit_format = AuditFormat::kText;
  std::string audit_file;  // empty: standard error

  // [noise]
  bool raw_noise = true;  // mix RDSEED and /dev/hwrng in, beside getrandom(2)
};

// Reads `path` and its drop-ins over the defaults. A missing file is an error only when `required`.
[[nodiscard]] Result<Config> load_config(const std::string& path, bool required);

// When a changed value takes effect: when keyd rereads its configuration (SIGHUP), or at its next start.
enum class Applies { kAtStart, kLive };

struct ConfigKey {
  std::string name;  // "section.key"
  Applies applies;
};
// Every key there is.
[[nodiscard]] std::vector<ConfigKey> config_keys();

struct ConfigChanges {
  std::vector<std::string> taken, kept;  // keys: in effect now; different in the files, but left as they are
};
// Gives `running` the values that `loaded` has for the live keys.
ConfigChanges take_live_keys(Config& running, Config loaded);

}  // namespace keyd::daemon
