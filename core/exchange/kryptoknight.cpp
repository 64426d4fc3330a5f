#include "core/exchange/kryptoknight.h"

#include "core/crypto/digest.h"

namespace keyd::exchange {

// Seed 001, column 5: "the hash of the password and the salt". Historic: the password first, as in a Unix password file's time.
Result<secret::SecretBuffer> hash_password(ByteView password, const PasswordHash& how) {
  if (password.empty() || password.size() > wire::kMaxPassword) {
    return fail(Code::kInvalid, "a password has 1 to 1024 octets");
  }
  switch (how.suite) {
    case wire::SUITE_MODERN: return crypto::crypt_password(password, how.setting);
    case wire::SUITE_HISTORIC: {
      secret::SecretBuffer hash(crypto::kMd5Size);
      crypto::digest(crypto::Hash::kMd5, {password, how.salt}, hash.reveal());
      return hash;
    }
    default: return fail(Code::kInvalid, "unknown suite");
  }
}

}  // namespace keyd::exchange
