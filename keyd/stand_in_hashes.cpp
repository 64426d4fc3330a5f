#include "keyd/stand_in_hashes.h"

#include <algorithm>
#include <array>

#include "core/base/bytes.h"
#include "core/crypto/digest.h"
#include "core/crypto/random.h"
#include "keyd/pseudorandom.h"

namespace keyd::daemon {
namespace {

constexpr std::string_view kCryptAlphabet =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t kCryptHash = 43;  // octets behind the setting, as yescrypt has them

void to_crypt_text(MutableByteView octets) {
  for (std::uint8_t& octet : octets) octet = static_cast<std::uint8_t>(kCryptAlphabet[octet % 64]);
}

// Random octets as the text of a salt, as the method itself would have made it: a real one is the text of whole octets,
// so that its last character does not have all of the alphabet.
void to_salt_text(const std::string& head, MutableByteView salt) {
  if (salt.empty()) return;
  const std::size_t loose = salt.size() * 6 % 8;  // bits of the last character that no octet fills
  std::uint8_t& last = salt.back();
  const bool bcrypt = head.starts_with("$2");  // another order of bits, and of the alphabet
  const std::uint8_t bits = static_cast<std::uint8_t>(last >> loose & 0x3f >> loose);
  to_crypt_text(salt);
  if (bcrypt) {
    constexpr std::string_view kAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    last = static_cast<std::uint8_t>(kAlphabet[static_cast<std::size_t>(bits << loose)]);
  } else if (head.empty() && salt.size() > 2) {  // bigcrypt: dots tell it from descrypt
    std::ranges::fill(salt.subspan(2), static_cast<std::uint8_t>('.'));
  } else if (loose != 0) {
    last = static_cast<std::uint8_t>(kCryptAlphabet[bits]);
  }
}

}  // namespace

Result<void> StandInHashes::prepare() {
  if (!crypto::fill_random_private(hashes_.reveal())) return fail(Code::kBroken, "no random numbers");
  sealer_.derive("kryptoknight stand-in salts", salts_.reveal());
  sealed_.id = std::string(16, '\0');
  // Of no password that anybody knows; as cheap as can be, for only its form is of use.
  secret::SecretBuffer nobody_knows(16);
  pseudorandom(hashes_.reveal(), "password", {}, nobody_knows.reveal());
  to_crypt_text(nobody_knows.reveal());
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    const auto hash = exchange::make_password_hash(suite, nobody_knows.reveal(),
                                                   {.method = "yescrypt", .cost = 1}, crypto::fill_random);
    if (!hash) return std::unexpected(hash.error());
    auto sealed = seal_hash(sealer_, sealed_.id, *hash);
    if (!sealed) return std::unexpected(sealed.error());
    (suite == wire::SUITE_MODERN ? sealed_.sealed_crypt : sealed_.sealed_md5) = std::move(*sealed);
  }
  return {};
}

Result<void> StandInHashes::set_resalting(const exchange::Resalting& resalting) {
  const auto setting = crypto::make_crypt_setting(resalting.method, resalting.cost,
                                                  exchange::longest_salt(resalting.carriage));
  if (!setting) return std::unexpected(setting.error());
  crypt_.usual = crypt_shape_of(*setting);
  md5_.usual = md5_shape_of(resalting.historic_salt ? exchange::historic_salt_size(resalting.carriage) : 0);
  return {};
}

// A user who logs in goes over to the usual shape. So does a name, one after the other, as the others get fewer: each has
// its place in a row of which they are the beginning.
void StandInHashes::Row::set(std::vector<ShapeCount> counts) {
  std::ranges::sort(counts, {},
                    [&](const ShapeCount& each) { return std::pair(each.shape == usual, each.shape); });
  shapes = std::move(counts);
  users = 0;
  for (const ShapeCount& each : shapes) users += each.users;
}

const std::string& StandInHashes::Row::at(std::uint32_t place) const {
  std::uint64_t left = place * users >> 32;
  for (const ShapeCount& each : shapes) {
    if (left < each.users) return each.shape;
    left -= each.users;
  }
  return usual;
}

void StandInHashes::set_shapes(const UserStore::Shapes& shapes) {
  crypt_.set(shapes.crypt);
  md5_.set(shapes.md5);
}

exchange::PasswordHash StandInHashes::invented(const std::string& name, wire::Suite suite) const {
  exchange::PasswordHash out;
  out.suite = suite;
  std::array<std::uint8_t, 4> place{};
  pseudorandom(salts_.reveal(), "place", name, place);
  if (suite == wire::SUITE_HISTORIC) {
    out.salt.resize(salt_size_of(md5_.at(read_be32(place))));
    pseudorandom(salts_.reveal(), "md5", name, out.salt);
    out.hash = secret::SecretBuffer(crypto::kMd5Size);
    pseudorandom(hashes_.reveal(), "md5", name, out.hash.reveal());
    return out;
  }
  const std::string& shape = crypt_.at(read_be32(place));
  std::size_t salt_size = 0;
  out.setting = setting_of_shape(shape, salt_size);
  Bytes salt(salt_size);
  pseudorandom(salts_.reveal(), shape, name, salt);
  to_salt_text(out.setting.head, salt);
  out.setting.salt = std::string(text_of(salt));
  return out;
}

Result<exchange::PasswordHash> StandInHashes::hash_of(const StoredUser* user, const std::string& name,
                                                      wire::Suite suite, bool obstacle) const {
  auto stand_in = invented(name, suite);
  const bool has_one =
      user != nullptr && !(suite == wire::SUITE_MODERN ? user->sealed_crypt : user->sealed_md5).empty();
  // The work is the same whatever is answered.
  std::array<std::uint8_t, kCryptHash> invented_hash{};
  pseudorandom(hashes_.reveal(), "crypt", name, invented_hash);
  to_crypt_text(invented_hash);
  auto real = unseal_hash(sealer_, has_one ? *user : sealed_, suite);
  if (!real) return real;
  if (has_one) {
    stand_in.setting = real->setting;
    stand_in.salt = real->salt;
  }
  if (suite == wire::SUITE_MODERN) {
    const std::string setting = stand_in.setting.text();
    stand_in.hash = secret::SecretBuffer(setting.size() + kCryptHash);
    std::ranges::copy(bytes_of(setting), stand_in.hash.reveal().begin());
    std::ranges::copy(invented_hash, stand_in.hash.reveal().subspan(setting.size()).begin());
  }
  if (has_one && !obstacle) return real;
  return stand_in;
}

}  // namespace keyd::daemon
