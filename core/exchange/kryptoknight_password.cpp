#include "core/exchange/kryptoknight_password.h"

#include "core/crypto/digest.h"
#include "core/exchange/kryptoknight_messages.h"

namespace keyd::exchange {
namespace {

// Salts of the size that fits the way they are to travel: all 16 octets of the server nonce, a part of it, or
// any. As text a salt has 6 bits a character: 12 characters are the fewest that all methods take and that
// have 64 bits.
struct SaltSize {
  std::size_t octets, characters;
};
SaltSize salt_size_for(wire::SaltCarriage carriage) {
  switch (carriage) {
    case wire::SALT_CARRIAGE_IS_NONCE:
      return {.octets = kKryptoknightNonce, .characters = kKryptoknightNonce};
    case wire::SALT_CARRIAGE_STARTS_NONCE: return {.octets = 8, .characters = 12};
    default: return {.octets = 16, .characters = crypto::kMaxCryptString};
  }
}

}  // namespace

std::size_t longest_salt(wire::SaltCarriage carriage) { return salt_size_for(carriage).characters; }
std::size_t historic_salt_size(wire::SaltCarriage carriage) { return salt_size_for(carriage).octets; }

Result<PasswordHash> make_password_hash(wire::Suite suite, ByteView password, const Resalting& resalting,
                                        const RandomSource& random) {
  PasswordHash made;
  made.suite = suite;
  const SaltSize size = salt_size_for(resalting.carriage);
  if (suite == wire::SUITE_MODERN) {
    auto setting = crypto::make_crypt_setting(resalting.method, resalting.cost, size.characters);
    if (!setting) return std::unexpected(setting.error());
    made.setting = *std::move(setting);
  } else if (resalting.historic_salt) {
    made.salt.resize(size.octets);
    if (!random(made.salt)) return fail(Code::kBroken, "no random numbers");
  }
  auto hash = hash_password(password, made);
  if (!hash) return std::unexpected(hash.error());
  made.hash = *std::move(hash);
  return made;
}

Result<bool> is_password_of(const PasswordHash& stored, ByteView password) {
  if (!is_possible_password(stored.suite, password)) return false;  // nobody can have it
  const auto hash = hash_password(password, stored);
  if (!hash) return std::unexpected(hash.error());
  return crypto::constant_time_equal(hash->reveal(), stored.hash.reveal());
}

}  // namespace keyd::exchange
