// What keyd keeps of its users, behind an interface: SQLite today (sqlite_user_store.h), a networked database
// for fleets later. Every change is one transaction and durable when the call returns; a call that fails has
// changed nothing, unless its error says that this shows at the next start only (the disk failed in the
// middle of it). Calls block: they are made on the store's own thread (store_thread.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/exchange/kryptoknight.h"
#include "core/exchange/srp.h"
#include "core/secret/secret.h"
#include "core/table/task_table_layout.h"
#include "keyd/store_sealer.h"

namespace keyd::daemon {

enum class UserState { kActive = 0, kLocked = 1, kDisabled = 2 };
[[nodiscard]] const char* name_of(UserState state);

using SchemeSet = std::uint32_t;  // bit 1 << Scheme
[[nodiscard]] constexpr SchemeSet scheme_bit(table::Scheme scheme) {
  return 1u << static_cast<unsigned>(scheme);
}

// Why a password is to be changed (seed 002, step 310).
enum class ChangeReason : std::uint8_t {
  kNone = 0,
  kAdministrator = 1,  // one of them asks for it
  kAge = 2,            // it was set too long ago
  kOctets = 3,         // sessions under it have carried that much,
  kMessages = 4        // or so many records
};
// "administrator", "age", "octets", "messages"; of kNone nothing.
[[nodiscard]] const char* name_of(ChangeReason reason);

// A change of password that a user is to make.
struct DueChange {
  std::uint64_t serial = 0;  // grows with each change that becomes due to the user; 0: none is due
  ChangeReason reason = ChangeReason::kNone;
  std::uint64_t since = 0;     // seconds since the Unix epoch
  std::uint32_t failures = 0;  // requests of it that were received and not answered
};

// A user as stored. The password stays sealed; unseal_password opens it for the moment of use.
struct StoredUser {
  std::string id;  // 16 random octets given at enrolment: a name enrolled anew is another user
  std::string name;
  UserState state = UserState::kActive;
  SchemeSet schemes = 0;
  bool allow_historic = false;
  std::uint64_t created = 0, password_changed = 0;  // seconds since the Unix epoch
  std::uint32_t credential_count = 0;
  // Grows with every change of what a login rests on: a secret, the state. A change that was thought of for one
  // version does not hold for another.
  std::uint64_t version = 0;
  Bytes sealed_password;           // for `challenge`; empty: none
  Bytes sealed_crypt;              // for `kryptoknight`: the crypt(3) string; empty: none
  std::string crypt_shape;         // crypt_shape_of() its setting: what a stand-in imitates
  Bytes sealed_md5;                // for its historic suite: salt and MD5; empty: none
  std::string md5_shape;           // md5_shape_of() it
  Bytes sealed_verifier;           // for `srp`; empty: none
  std::string verifier_shape;      // verifier_shape_of() it
  Bytes sealed_historic_verifier;  // for its historic suite: x by SHA-1; empty: none
  std::string historic_verifier_shape;
  DueChange due;
  std::uint64_t carried_octets = 0, carried_records = 0;  // in sessions under this password
  Bytes history_salt;  // kHistorySaltSize octets: of the hashes of all recent passwords of the user
};
inline constexpr std::size_t kHistorySaltSize = 16, kHistoryHashSize = 32;  // octets

// The verifier of that suite, sealed; empty: none.
[[nodiscard]] inline const Bytes& sealed_verifier_of(const StoredUser& user, wire::Suite suite) {
  return suite == wire::SUITE_HISTORIC ? user.sealed_historic_verifier : user.sealed_verifier;
}

// The secrets that an enrolment or a change of password gives a user. What is empty is taken away, and with a scheme's
// last secret the scheme.
struct UserSecrets {
  Bytes sealed_password = {}, sealed_crypt = {}, sealed_md5 = {};
  Bytes sealed_verifier = {}, sealed_historic_verifier = {};
  std::string crypt_shape = {}, md5_shape = {}, verifier_shape = {}, historic_verifier_shape = {};
};
// `schemes` with those schemes of `secrets` in place of the ones that secrets of this kind are for.
[[nodiscard]] SchemeSet schemes_of(const UserSecrets& secrets, SchemeSet schemes);

[[nodiscard]] Result<Bytes> seal_password(const StoreSealer& sealer, std::string_view user_id,
                                          ByteView password);
[[nodiscard]] Result<secret::SecretBuffer> unseal_password(const StoreSealer& sealer, const StoredUser& user);

// The hash of `suite`, to and from the form in which it is sealed:
//   1 | suite (1 octet) | salt size (1 octet) | salt | hash
// modern: no salt, the hash is the whole crypt(3) string, from which the setting is told; historic: 0 to 32 octets of
// salt, 16 of hash. Bound to user and suite: {"user", id, "kryptoknight.crypt" or "kryptoknight.md5"}.
// seal_hash: kInvalid when it is no such hash. unseal_hash: kNotFound when the user has none, kBroken when what is
// there does not open or is not of this form.
[[nodiscard]] Result<Bytes> seal_hash(const StoreSealer& sealer, std::string_view user_id,
                                      const exchange::PasswordHash& hash);
[[nodiscard]] Result<exchange::PasswordHash> unseal_hash(const StoreSealer& sealer, const StoredUser& user,
                                                         wire::Suite suite);

// The verifier of `suite`, to and from the form in which it is sealed:
//   1 | suite (1) | how x is made (4, XDerivation) | salt size (1) | salt | be16(size of N) | N | be16(size of g) | g | v
// Bound to user and suite: {"user", id, "srp.verifier" or "srp.historic-verifier"}. Errors as of the hashes.
[[nodiscard]] Result<Bytes> seal_verifier(const StoreSealer& sealer, std::string_view user_id,
                                          wire::Suite suite, const exchange::SrpVerifier& verifier);
[[nodiscard]] Result<exchange::SrpVerifier> unseal_verifier(const StoreSealer& sealer, const StoredUser& user,
                                                            wire::Suite suite);

// The hash by which a password that the user has had is known again. Bound to the user: {"user", id, "password-history"}.
// seal_history: kInvalid when it has not kHistoryHashSize octets. unseal_history: kBroken when it does not open, or is of
// another size.
[[nodiscard]] Result<Bytes> seal_history(const StoreSealer& sealer, std::string_view user_id, ByteView hash);
[[nodiscard]] Result<secret::SecretBuffer> unseal_history(const StoreSealer& sealer, std::string_view user_id,
                                                          ByteView sealed);

struct CredentialEntry {
  std::string name;
  std::uint32_t size = 0;  // octets
  std::uint64_t changed = 0;
};

// A credential's value as stored, and what it takes to open it.
[[nodiscard]] Result<Bytes> seal_credential(const StoreSealer& sealer, std::string_view user_id,
                                            std::string_view name, ByteView value);
[[nodiscard]] Result<secret::SecretBuffer> unseal_credential(const StoreSealer& sealer,
                                                             std::string_view user_id, std::string_view name,
                                                             ByteView sealed);

// Where a try comes from: host << 32 | account (accounts.h).
using TrySource = std::uint64_t;
inline constexpr TrySource kAnySource = ~TrySource{0};

// Failed tries as counted for a source and a user (try_ledger.h); kAnySource or an empty name stand for all.
struct TryCount {
  TrySource source = 0;
  std::string user;
  std::uint32_t failures = 0;
  bool familiar = false;  // the user has succeeded from there
};

// What of a crypt(3) setting is alike for many users: the head, how many octets the salt's text has, and the tail,
// with blanks between them ("$y$j9T$ 22 $").
[[nodiscard]] std::string crypt_shape_of(const crypto::CryptSetting& setting);
// The setting of that shape, its salt left out; `salt_size` is what that has. One that is no shape: all empty.
[[nodiscard]] crypto::CryptSetting setting_of_shape(const std::string& shape, std::size_t& salt_size);

// Likewise of a historic hash: how many octets its salt has, as text. One that is no shape: 0.
[[nodiscard]] std::string md5_shape_of(std::size_t salt_size);
[[nodiscard]] std::size_t salt_size_of(const std::string& md5_shape);

// What of a verifier is alike for many users: bits of the group, how x is made, octets of the salt ("3072 030f0801 16").
// Empty for one of a group that is not RFC 5054's.
[[nodiscard]] std::string verifier_shape_of(const exchange::SrpVerifier& verifier);
struct VerifierShape {
  unsigned bits = 0;
  exchange::XDerivation derivation;
  std::size_t salt_size = 0;
};
[[nodiscard]] std::optional<VerifierShape> verifier_shape(const std::string& shape);

// How many users have a secret of this shape.
struct ShapeCount {
  std::string shape;
  std::uint64_t users = 0;
};

class UserStore {
 public:
  virtual ~UserStore() = default;

  // Nothing when there is no such user.
  [[nodiscard]] virtual Result<std::optional<StoredUser>> find(const std::string& name) = 0;
  // At most `limit` users after `after` in name order.
  [[nodiscard]] virtual Result<std::vector<StoredUser>> list(const std::string& after, std::size_t limit) = 0;

  // Makes a durable change that changes nothing: fails when the next real one would, as on a full disk.
  [[nodiscard]] virtual Result<void> write_probe() = 0;

  // `created`, `version`, a change that is due and what was carried are the store's to give, and `history_salt` when it is
  // empty; all else is taken as it stands. kRefused when the name is taken.
  [[nodiscard]] virtual Result<void> add(const StoredUser& user) = 0;
  // All of these: kNotFound when there is no such user.
  // An administrator's change of password: replaces all secrets, at once; `version` as below. None is due any more, and
  // nothing was carried yet.
  [[nodiscard]] virtual Result<void> set_secrets(const std::string& user_id, std::uint64_t version,
                                                 const UserSecrets& secrets) = 0;
  // A new salt for the same password (seed 001, figure 6, 612). kConflict when the record of the user with this id is
  // not of `version` any more: nothing was changed; read it again, and the password has to be judged again.
  [[nodiscard]] virtual Result<void> replace_hash(const std::string& user_id, std::uint64_t version,
                                                  wire::Suite suite, const Bytes& sealed,
                                                  const std::string& shape) = 0;
  // How many users have a secret of each shape. Of verifiers also those without one: of a group that is not RFC 5054's, or
  // of the historic suite and from before their shapes were kept.
  struct Shapes {
    std::vector<ShapeCount> crypt = {}, md5 = {}, verifier = {}, historic_verifier = {};
  };
  [[nodiscard]] virtual Result<Shapes> shapes() = 0;
  // Who is made active begins anew with a change that is due: none of its requests has failed.
  [[nodiscard]] virtual Result<void> set_state(const std::string& name, UserState state) = 0;
  [[nodiscard]] virtual Result<void> remove(const std::string& name) = 0;
  // A locked user becomes active, and the failed tries at this name are forgotten. kRefused when the user is
  // disabled: that takes another decision. A change that is due begins anew, as above.
  [[nodiscard]] virtual Result<void> unlock(const std::string& name) = 0;

  static constexpr std::uint64_t kAnyTime = ~std::uint64_t{0};
  // The user is to change the password that was set at `set_at` (seconds since the Unix epoch) or before: what is due then.
  // A change that is due already stays as it is, its reason too. No new version: what a login rests on is the same.
  // kNotFound; kInvalid without a reason; kConflict: another password was set since.
  [[nodiscard]] virtual Result<DueChange> ask_change(const std::string& name, ChangeReason reason,
                                                     std::uint64_t set_at = kAnyTime) = 0;
  struct ChangeFailure {
    std::uint32_t failures = 0;  // of this change, this one counted
    bool disabled = false;       // the user, by this one
  };
  // A request of the change `serial` was received and not answered. At `most` failures or more (0: never) a user who is
  // active becomes disabled. kConflict: this change is not due any more; kNotFound.
  [[nodiscard]] virtual Result<ChangeFailure> fail_change(const std::string& user_id, std::uint64_t serial,
                                                          std::uint32_t most) = 0;
  // The user's own change: the secrets replace all that there are, and the user has exactly the schemes that they are
  // for. The password has changed now, none is due and nothing was carried; `sealed_history` (seal_history) is the newest
  // of at most `keep` in the history, 0: there is none. kInvalid: secrets for no scheme, or nothing to keep; kConflict when
  // the record is not of `version` any more (a user who was disabled meanwhile is of another); kNotFound.
  [[nodiscard]] virtual Result<void> change_password(const std::string& user_id, std::uint64_t version,
                                                     const UserSecrets& secrets, const Bytes& sealed_history,
                                                     std::uint32_t keep) = 0;
  // The sealed hashes of the user's recent passwords, the newest first; none for an unknown id.
  [[nodiscard]] virtual Result<std::vector<Bytes>> password_history(const std::string& user_id) = 0;
  // What sessions have carried since it was told last, under the password that was set at `set_at` or before.
  struct Carried {
    std::string user_id;
    std::uint64_t octets = 0, records = 0;
    std::uint64_t set_at = kAnyTime;
  };
  // Adds it to what the users' passwords have carried, in one change; sums that would be too large stay at the largest
  // (2^63-1). Users who are gone, or have another password since, are passed over. No new version.
  [[nodiscard]] virtual Result<void> carry(const std::vector<Carried>& carried) = 0;

  // Failed tries, at names that exist and at others.
  [[nodiscard]] virtual Result<std::vector<TryCount>> tries() = 0;
  // Replaces these counts; one without failures that is not familiar goes.
  [[nodiscard]] virtual Result<void> record_tries(const std::vector<TryCount>& counts) = 0;

  // At most kMaxCredentialsPerUser a user: kExhausted.
  static constexpr std::uint32_t kMaxCredentialsPerUser = 256;
  [[nodiscard]] virtual Result<void> set_credential(const std::string& user, const std::string& name,
                                                    const Bytes& sealed, std::uint32_t size) = 0;
  // kNotFound when there is no such credential either.
  [[nodiscard]] virtual Result<void> remove_credential(const std::string& user, const std::string& name) = 0;
  [[nodiscard]] virtual Result<std::vector<CredentialEntry>> credentials(const std::string& user) = 0;
  // The sealed value, by the user's id; nothing when there is none.
  [[nodiscard]] virtual Result<std::optional<Bytes>> credential(const std::string& user_id,
                                                                const std::string& name) = 0;
};

}  // namespace keyd::daemon
