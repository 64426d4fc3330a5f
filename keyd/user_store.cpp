#include "keyd/user_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <system_error>
#include <utility>

namespace keyd::daemon {
namespace {

constexpr std::uint8_t kHashForm = 1;
constexpr std::size_t kHashHead = 3, kMd5Size = 16, kLongestMd5Salt = 32;  // octets

// What the hash of a suite is sealed for.
std::string_view purpose_of(wire::Suite suite) {
  return suite == wire::SUITE_MODERN ? "kryptoknight.crypt" : "kryptoknight.md5";
}

bool has_its_sizes(wire::Suite suite, std::size_t salt, std::size_t hash) {
  switch (suite) {
    case wire::SUITE_MODERN: return salt == 0 && hash >= 1 && hash <= crypto::kMaxCryptString;
    case wire::SUITE_HISTORIC: return salt <= kLongestMd5Salt && hash == kMd5Size;
    default: return false;
  }
}

std::unexpected<Error> no_hash() {
  return fail(Code::kBroken, "a sealed hash in the store is of no known form");
}

Result<exchange::PasswordHash> hash_from(ByteView octets, wire::Suite suite) {
  if (octets.size() < kHashHead || octets[0] != kHashForm || octets[1] != suite) return no_hash();
  const std::size_t salt = octets[2];
  octets = octets.subspan(kHashHead);
  if (octets.size() < salt || !has_its_sizes(suite, salt, octets.size() - salt)) return no_hash();
  exchange::PasswordHash out;
  out.suite = suite;
  out.salt.assign(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(salt));
  out.hash = secret::SecretBuffer::copy_of(octets.subspan(salt));
  if (suite == wire::SUITE_MODERN) {
    auto setting = crypto::setting_of(out.hash.reveal());
    if (!setting) return no_hash();
    out.setting = std::move(*setting);
  }
  return out;
}

}  // namespace

const char* name_of(UserState state) {
  switch (state) {
    case UserState::kActive: return "active";
    case UserState::kLocked: return "locked";
    case UserState::kDisabled: return "disabled";
  }
  return "disabled";
}

const char* name_of(ChangeReason reason) {
  switch (reason) {
    case ChangeReason::kNone: return "";
    case ChangeReason::kAdministrator: return "administrator";
    case ChangeReason::kAge: return "age";
    case ChangeReason::kOctets: return "octets";
    case ChangeReason::kMessages: return "messages";
  }
  return "";
}

Result<Bytes> seal_password(const StoreSealer& sealer, std::string_view user_id, ByteView password) {
  return sealer.seal({"user", user_id, "challenge.password"}, password);
}

Result<secret::SecretBuffer> unseal_password(const StoreSealer& sealer, const StoredUser& user) {
  return sealer.open({"user", user.id, "challenge.password"}, user.sealed_password);
}

Result<Bytes> seal_hash(const StoreSealer& sealer, std::string_view user_id,
                        const exchange::PasswordHash& hash) {
  const ByteView octets = hash.hash.reveal();
  if (!has_its_sizes(hash.suite, hash.salt.size(), octets.size()))
    return fail(Code::kInvalid, "this is no hash of a password");
  secret::SecretBuffer plain(kHashHead + hash.salt.size() + octets.size());
  const MutableByteView out = plain.reveal();
  out[0] = kHashForm;
  out[1] = static_cast<std::uint8_t>(hash.suite);
  out[2] = static_cast<std::uint8_t>(hash.salt.size());
  std::ranges::copy(hash.salt, out.subspan(kHashHead).begin());
  std::ranges::copy(octets, out.subspan(kHashHead + hash.salt.size()).begin());
  return sealer.seal({"user", user_id, purpose_of(hash.suite)}, plain.reveal());
}

Result<exchange::PasswordHash> unseal_hash(const StoreSealer& sealer, const StoredUser& user,
                                           wire::Suite suite) {
  const Bytes& sealed = suite == wire::SUITE_MODERN ? user.sealed_crypt : user.sealed_md5;
  if (sealed.empty()) return fail(Code::kNotFound, "the user has no such hash");
  const auto plain = sealer.open({"user", user.id, purpose_of(suite)}, sealed);
  if (!plain) return std::unexpected(plain.error());
  return hash_from(plain->reveal(), suite);
}

std::string crypt_shape_of(const crypto::CryptSetting& setting) {
  return setting.head + ' ' + std::to_string(setting.salt.size()) + ' ' + setting.tail;
}

crypto::CryptSetting setting_of_shape(const std::string& shape, std::size_t& salt_size) {
  salt_size = 0;
  const std::size_t number = shape.find(' '), tail = shape.rfind(' ');
  if (number == std::string::npos || shape.find(' ', number + 1) != tail || tail == number) return {};
  const char* const end = shape.data() + tail;
  std::size_t size = 0;
  const auto [stopped, wrong] = std::from_chars(shape.data() + number + 1, end, size);
  if (wrong != std::errc() || stopped != end || size > crypto::kMaxCryptString) return {};
  salt_size = size;
  return {.head = shape.substr(0, number), .salt = {}, .tail = shape.substr(tail + 1)};
}

std::string md5_shape_of(std::size_t salt_size) { return std::to_string(salt_size); }

std::size_t salt_size_of(const std::string& md5_shape) {
  std::size_t size = 0;
  const char* const end = md5_shape.data() + md5_shape.size();
  const auto [stopped, wrong] = std::from_chars(md5_shape.data(), end, size);
  return wrong == std::errc() && stopped == end && size <= kLongestMd5Salt ? size : 0;
}

// ---- verifiers

namespace {

constexpr std::uint8_t kVerifierForm = 1;

const char* verifier_purpose(wire::Suite suite) {
  return suite == wire::SUITE_MODERN ? "srp.verifier" : "srp.historic-verifier";
}

std::unexpected<Error> no_verifier() {
  return fail(Code::kBroken, "a sealed verifier in the store is of no known form");
}

// Takes octets from the front; nothing when there are not so many.
class Cutter {
 public:
  explicit Cutter(ByteView rest) : rest_(rest) {}
  ByteView take(std::size_t size) {
    if (size > rest_.size()) {
      whole_ = false;
      return {};
    }
    const ByteView front = rest_.first(size);
    rest_ = rest_.subspan(size);
    return front;
  }
  std::size_t number(std::size_t octets) {
    std::size_t value = 0;
    for (const std::uint8_t octet : take(octets)) value = value << 8 | octet;
    return value;
  }
  ByteView rest() { return std::exchange(rest_, {}); }
  [[nodiscard]] bool whole() const { return whole_; }

 private:
  ByteView rest_;
  bool whole_ = true;
};

// RFC 5054's is ready to compute with; another has to be made so, each time.
Result<exchange::SrpGroup> group_from(ByteView modulus, ByteView generator) {
  auto listed = exchange::SrpGroup::listed(static_cast<unsigned>(modulus.size() * 8));
  if (listed && std::ranges::equal(listed->modulus_octets(), modulus) &&
      std::ranges::equal(listed->generator_octets(), generator))
    return listed;
  return exchange::SrpGroup::of(modulus, generator);
}

Result<exchange::SrpVerifier> verifier_from(ByteView octets, wire::Suite suite) {
  Cutter cut(octets);
  if (cut.number(1) != kVerifierForm || cut.number(1) != static_cast<std::size_t>(suite))
    return no_verifier();
  const auto derivation = exchange::XDerivation::from(cut.take(exchange::XDerivation::kSize));
  const ByteView salt = cut.take(cut.number(1));
  const ByteView modulus = cut.take(cut.number(2));
  const ByteView generator = cut.take(cut.number(2));
  const ByteView v = cut.rest();
  if (!cut.whole() || !derivation || salt.empty()) return no_verifier();
  auto group = group_from(modulus, generator);
  if (!group || !exchange::check_verifier(*group, v)) return no_verifier();
  return exchange::SrpVerifier{std::move(*group), Bytes(salt.begin(), salt.end()), *derivation,
                               secret::SecretBuffer::copy_of(v)};
}

void append(Bytes& out, ByteView octets) { out.insert(out.end(), octets.begin(), octets.end()); }
void append16(Bytes& out, std::size_t number) {
  out.push_back(static_cast<std::uint8_t>(number >> 8));
  out.push_back(static_cast<std::uint8_t>(number));
}

}  // namespace

Result<Bytes> seal_verifier(const StoreSealer& sealer, std::string_view user_id, wire::Suite suite,
                            const exchange::SrpVerifier& verifier) {
  if (verifier.salt.empty() || verifier.salt.size() > exchange::kLongestSalt ||
      !exchange::check_verifier(verifier.group, verifier.v.reveal()))
    return fail(Code::kInvalid, "this is no verifier");
  Bytes open{kVerifierForm, static_cast<std::uint8_t>(suite)};  // all but v, which is the secret
  append(open, verifier.derivation.octets());
  open.push_back(static_cast<std::uint8_t>(verifier.salt.size()));
  append(open, verifier.salt);
  append16(open, verifier.group.modulus_octets().size());
  append(open, verifier.group.modulus_octets());
  append16(open, verifier.group.generator_octets().size());
  append(open, verifier.group.generator_octets());
  secret::SecretBuffer plain(open.size() + verifier.v.size());
  std::ranges::copy(open, plain.reveal().begin());
  std::ranges::copy(verifier.v.reveal(), plain.reveal().subspan(open.size()).begin());
  return sealer.seal({"user", user_id, verifier_purpose(suite)}, plain.reveal());
}

Result<exchange::SrpVerifier> unseal_verifier(const StoreSealer& sealer, const StoredUser& user,
                                              wire::Suite suite) {
  const Bytes& sealed = suite == wire::SUITE_MODERN ? user.sealed_verifier : user.sealed_historic_verifier;
  if (sealed.empty()) return fail(Code::kNotFound, "the user has no such verifier");
  const auto plain = sealer.open({"user", user.id, verifier_purpose(suite)}, sealed);
  if (!plain) return std::unexpected(plain.error());
  return verifier_from(plain->reveal(), suite);
}

std::string verifier_shape_of(const exchange::SrpVerifier& verifier) {
  const auto bits = static_cast<unsigned>(verifier.group.bits());
  const auto listed = exchange::SrpGroup::listed(bits);
  if (!listed || !(*listed == verifier.group)) return {};
  return fmt::format("{} {} {}", bits, to_hex(verifier.derivation.octets()), verifier.salt.size());
}

std::optional<VerifierShape> verifier_shape(const std::string& shape) {
  VerifierShape out;
  char derivation[9] = {};
  Bytes octets;
  int end = 0;
  if (std::sscanf(shape.c_str(), "%5u %8[0-9a-f] %3zu%n", &out.bits, derivation, &out.salt_size, &end) != 3 ||
      static_cast<std::size_t>(end) != shape.size() || !from_hex(derivation, octets))
    return std::nullopt;
  const auto how = exchange::XDerivation::from(octets);
  if (!how || !exchange::SrpGroup::listed(out.bits) || out.salt_size == 0 ||
      out.salt_size > exchange::kLongestSalt)
    return std::nullopt;
  out.derivation = *how;
  return out;
}

SchemeSet schemes_of(const UserSecrets& secrets, SchemeSet schemes) {
  const SchemeSet challenge = scheme_bit(table::Scheme::kChallenge),
                  kryptoknight = scheme_bit(table::Scheme::kKryptoknight),
                  srp = scheme_bit(table::Scheme::kSrp);
  schemes &= ~(challenge | kryptoknight | srp);
  if (!secrets.sealed_verifier.empty() || !secrets.sealed_historic_verifier.empty()) schemes |= srp;
  if (!secrets.sealed_password.empty()) schemes |= challenge;
  if (!secrets.sealed_crypt.empty() || !secrets.sealed_md5.empty()) schemes |= kryptoknight;
  return schemes;
}

Result<Bytes> seal_history(const StoreSealer& sealer, std::string_view user_id, ByteView hash) {
  if (hash.size() != kHistoryHashSize) return fail(Code::kInvalid, "this is no hash of a recent password");
  return sealer.seal({"user", user_id, "password-history"}, hash);
}

Result<secret::SecretBuffer> unseal_history(const StoreSealer& sealer, std::string_view user_id,
                                            ByteView sealed) {
  auto hash = sealer.open({"user", user_id, "password-history"}, sealed);
  if (hash && hash->size() != kHistoryHashSize)
    return fail(Code::kBroken, "a sealed hash of a recent password is of no known form");
  return hash;
}

Result<Bytes> seal_credential(const StoreSealer& sealer, std::string_view user_id, std::string_view name,
                              ByteView value) {
  return sealer.seal({"user", user_id, "credential", name}, value);
}

Result<secret::SecretBuffer> unseal_credential(const StoreSealer& sealer, std::string_view user_id,
                                               std::string_view name, ByteView sealed) {
  return sealer.open({"user", user_id, "credential", name}, sealed);
}

}  // namespace keyd::daemon
