#include "keyd/enrolment.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/untrusted_text.h"
#include "core/crypto/random.h"
#include "core/wire/limits.h"

namespace keyd::daemon {
namespace {

constexpr std::pair<SchemeSet, std::string_view> kSchemes[] = {
    {scheme_bit(table::Scheme::kChallenge), "challenge"},
    {scheme_bit(table::Scheme::kKryptoknight), "kryptoknight"},
    {scheme_bit(table::Scheme::kSrp), "srp"},
};
constexpr std::size_t kSaltSize = 16;  // octets of a new verifier's

// A change of password wins over whatever else changes the record, but does not try for ever.
constexpr int kAttempts = 8;

bool has(SchemeSet schemes, table::Scheme scheme) { return (schemes & scheme_bit(scheme)) != 0; }

Result<void> add_hash(const StoreSealer& sealer, const Enrolled& user, ByteView password,
                      const exchange::Resalting& resalting, wire::Suite suite, UserSecrets& into) {
  const auto hash = exchange::make_password_hash(suite, password, resalting, crypto::fill_random);
  if (!hash) return std::unexpected(hash.error());
  auto sealed = seal_hash(sealer, user.user_id, *hash);
  if (!sealed) return std::unexpected(sealed.error());
  if (suite == wire::SUITE_MODERN) {
    into.sealed_crypt = std::move(*sealed);
    into.crypt_shape = crypt_shape_of(hash->setting);
  } else {
    into.sealed_md5 = std::move(*sealed);
    into.md5_shape = md5_shape_of(hash->salt.size());
  }
  return {};
}

// Seed 002, steps 302 and 316: the verifier by a fresh salt.
Result<void> add_verifier(const StoreSealer& sealer, const Enrolled& user, ByteView password,
                          unsigned group_bits, wire::Suite suite, UserSecrets& into) {
  auto group = exchange::SrpGroup::listed(group_bits);
  if (!group) return std::unexpected(group.error());
  exchange::SrpVerifier verifier{std::move(*group), Bytes(kSaltSize), {}, {}};
  if (suite == wire::SUITE_MODERN) verifier.derivation = exchange::kDefaultDerivation;
  if (!crypto::fill_random(verifier.salt)) return fail(Code::kBroken, "no random numbers");
  auto v = exchange::make_verifier({verifier.group, verifier.salt, verifier.derivation}, bytes_of(user.name),
                                   password);
  if (!v) return std::unexpected(v.error());
  verifier.v = std::move(*v);
  auto sealed = seal_verifier(sealer, user.user_id, suite, verifier);
  if (!sealed) return std::unexpected(sealed.error());
  if (suite == wire::SUITE_MODERN) {
    into.sealed_verifier = std::move(*sealed);
    into.verifier_shape = verifier_shape_of(verifier);
  } else {
    into.sealed_historic_verifier = std::move(*sealed);
    into.historic_verifier_shape = verifier_shape_of(verifier);
  }
  return {};
}

}  // namespace

Result<std::string> new_user_id() {
  std::string id(16, '\0');
  if (!crypto::fill_random({reinterpret_cast<std::uint8_t*>(id.data()), id.size()}))
    return fail(Code::kBroken, "keyd has no random numbers");
  return id;
}

Result<void> check_password(ByteView password, SchemeSet schemes) {
  if (password.empty() || password.size() > wire::kMaxPassword)
    return fail(Code::kInvalid, fmt::format("a password has 1 to {} octets", wire::kMaxPassword));
  if (!has(schemes, table::Scheme::kKryptoknight)) return {};
  if (password.size() > crypto::kMaxCryptPassword)
    return fail(Code::kInvalid,
                fmt::format("a password for kryptoknight has 1 to {} octets", crypto::kMaxCryptPassword));
  if (std::ranges::find(password, std::uint8_t{0}) != password.end())
    return fail(Code::kInvalid, "a password for kryptoknight has no zero octet: crypt(3) would end at it");
  return {};
}

Result<UserSecrets> make_secrets(const StoreSealer& sealer, const Enrolled& user, ByteView password,
                                 const Derivations& how) {
  if (auto fine = check_password(password, user.schemes); !fine) return std::unexpected(fine.error());
  UserSecrets secrets;
  if (has(user.schemes, table::Scheme::kChallenge)) {
    auto sealed = seal_password(sealer, user.user_id, password);
    if (!sealed) return std::unexpected(sealed.error());
    secrets.sealed_password = std::move(*sealed);
  }
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    if (suite == wire::SUITE_HISTORIC && !user.allow_historic) break;
    if (has(user.schemes, table::Scheme::kKryptoknight)) {
      if (auto added = add_hash(sealer, user, password, how.resalting, suite, secrets); !added)
        return std::unexpected(added.error());
    }
    if (has(user.schemes, table::Scheme::kSrp)) {
      if (auto added = add_verifier(sealer, user, password, how.group_bits, suite, secrets); !added)
        return std::unexpected(added.error());
    }
  }
  return secrets;
}

Result<UserSecrets> adopt_crypt_string(const StoreSealer& sealer, std::string_view user_id,
                                       secret::SecretBuffer crypt_string) {
  auto setting = crypto::setting_of(crypt_string.reveal());
  if (!setting) return std::unexpected(setting.error());
  if (const auto cost = crypto::check_crypt_setting(*setting, {}); !cost)
    return fail(Code::kInvalid, cost.error().detail);
  UserSecrets secrets;
  secrets.crypt_shape = crypt_shape_of(*setting);
  auto sealed = seal_hash(sealer, user_id,
                          {.suite = wire::SUITE_MODERN,
                           .setting = std::move(*setting),
                           .salt = {},
                           .hash = std::move(crypt_string)});
  if (!sealed) return std::unexpected(sealed.error());
  secrets.sealed_crypt = std::move(*sealed);
  return secrets;
}

Result<void> give_secrets(UserStore& store, const std::string& name, const Enrolled& made_for,
                          const UserSecrets& secrets) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto user = store.find(name);
    if (!user) return std::unexpected(user.error());
    if (!*user) return fail(Code::kNotFound, "no user \"" + escape(name) + "\"");
    const StoredUser& now = **user;
    if (now.id != made_for.user_id || now.schemes != made_for.schemes ||
        now.allow_historic != made_for.allow_historic)
      break;
    auto set = store.set_secrets(now.id, now.version, secrets);
    if (set || set.error().code != Code::kConflict) return set;
  }
  return fail(Code::kConflict, "the user was changed in the meantime; try again");
}

std::vector<std::string> scheme_names(SchemeSet schemes) {
  std::vector<std::string> names;
  for (const auto& [bit, name] : kSchemes)
    if ((schemes & bit) != 0) names.emplace_back(name);
  return names;
}

SchemeSet scheme_named(std::string_view name) {
  const auto* const found =
      std::ranges::find(kSchemes, name, &std::pair<SchemeSet, std::string_view>::second);
  return found == std::end(kSchemes) ? 0 : found->first;
}

}  // namespace keyd::daemon
