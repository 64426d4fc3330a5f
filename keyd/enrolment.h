// What a password becomes when a user is enrolled, or is given another one: the secrets of exactly the user's schemes.
#pragma once

#include <string>
#include <string_view>

#include "core/exchange/kryptoknight_password.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

struct Enrolled {
  std::string user_id;
  std::string name;  // a part of what `srp` derives
  SchemeSet schemes = 0;
  bool allow_historic = false;
};

// The id of a user who is enrolled now: random. kBroken: there are no random numbers.
[[nodiscard]] Result<std::string> new_user_id();

// How new hashes and verifiers are made.
struct Derivations {
  exchange::Resalting resalting;
  unsigned group_bits = exchange::kDefaultGroupBits;
};

// Whether a password will do for these schemes: 1 to wire::kMaxPassword octets; for `kryptoknight` at most
// crypto::kMaxCryptPassword and no zero octet, which crypt(3) would end at. kInvalid says what is wrong.
[[nodiscard]] Result<void> check_password(ByteView password, SchemeSet schemes);

// As slow as the methods of hashing are: for a worker thread. kInvalid as above; kExhausted: no memory.
[[nodiscard]] Result<UserSecrets> make_secrets(const StoreSealer& sealer, const Enrolled& user,
                                               ByteView password, const Derivations& how);

// A change of password: the secrets replace whatever the user has now, also a new salt that came while they were made.
// kConflict: the user is not the one any more that they were made for; kNotFound: there is none.
[[nodiscard]] Result<void> give_secrets(UserStore& store, const std::string& name, const Enrolled& made_for,
                                        const UserSecrets& secrets);

// The secrets of a user whose crypt(3) string was made elsewhere. kInvalid: it is none of a method that libcrypt has, or
// clients would not spend what it costs.
[[nodiscard]] Result<UserSecrets> adopt_crypt_string(const StoreSealer& sealer, std::string_view user_id,
                                                     secret::SecretBuffer crypt_string);

// The names of `schemes`, in the order of their numbers.
[[nodiscard]] std::vector<std::string> scheme_names(SchemeSet schemes);
// The scheme of that name that keyd has; 0: none.
[[nodiscard]] SchemeSet scheme_named(std::string_view name);

}  // namespace keyd::daemon
