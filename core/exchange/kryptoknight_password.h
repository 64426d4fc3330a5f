// What the server does with the clear password inside the session: seed 001, figures 4 and 6, claims 5, 11, 15, 19,
// 24. It hashes the password with the stored salt (605), compares (607, 609), and hashes it anew with a second salt
// that replaces the first (612). No I/O; crypt(3) makes it slow, so it belongs on a worker thread.
#pragma once

#include <optional>

#include "core/exchange/kryptoknight.h"

namespace keyd::exchange {

// How new hashes are made.
struct Resalting {
  std::string method = "yescrypt";  // modern: crypto::make_crypt_setting
  unsigned cost = 0;
  wire::SaltCarriage carriage = wire::SALT_CARRIAGE_BESIDE_NONCE;  // salts are made of a size that fits it
  bool historic_salt =
      true;  // false: MD5 of the password alone, as figures 3 and 4, which has no salt to renew
};

// What new salts have so that they fit the carriage: octets of the text of a crypt(3) salt at most, and of a historic
// one. They are of another size than the carriage wants only where the method leaves no choice.
[[nodiscard]] std::size_t longest_salt(wire::SaltCarriage carriage);
[[nodiscard]] std::size_t historic_salt_size(wire::SaltCarriage carriage);

// A new P' for `password`, with a fresh salt.
[[nodiscard]] Result<PasswordHash> make_password_hash(wire::Suite suite, ByteView password,
                                                      const Resalting& resalting, const RandomSource& random);

// Whether the password is the one that `stored` was made of; compared in constant time.
[[nodiscard]] Result<bool> is_password_of(const PasswordHash& stored, ByteView password);

}  // namespace keyd::exchange
