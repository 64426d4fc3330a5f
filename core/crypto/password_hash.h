// Passwords hashed by crypt(3), through libcrypt: every method that it has. A hash string is a setting
// (method, cost, salt) and behind it the hash itself; the setting is no secret, the hash is.
//
//   $y$j9T$F5Jx5fExrKuPp53xLKQ.Y/$X3cbXTSVjAqdI/OzyhwtEUCwVbJTUaDCDKSnjcNbyX5
//   └head─┘└──────salt─────────┘│└──────────────────hash────────────────────┘
//                              tail
//
// Some methods have none of the parts that others have: the salt of a bcrypt setting has no tail, "$3$" (NT)
// no salt, and the DES ones no head. crypt_method.cpp has the table.
//
// The working storage of libcrypt (32 KiB) lies in the locked pool and is wiped. The memory that a
// memory-hard method fills is libcrypt's own: ordinary pages, given back to the kernel at the end of the
// call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/secret/secret.h"

namespace keyd::crypto {

inline constexpr std::size_t kMaxCryptString = 383;    // octets (CRYPT_OUTPUT_SIZE without the zero)
inline constexpr std::size_t kMaxCryptPassword = 511;  // octets (CRYPT_MAX_PASSPHRASE_SIZE without the zero)

// A setting in its parts: head | salt | tail is what crypt(3) is given.
struct CryptSetting {
  std::string head, salt, tail;
  [[nodiscard]] std::string text() const { return head + salt + tail; }
  bool operator==(const CryptSetting&) const = default;
};

// What the method and cost of a setting would take, by its text alone.
struct CryptCost {
  std::string method;        // "yescrypt", "sha512crypt", …
  std::uint64_t memory = 0;  // octets filled in all, so that a second pass counts like as much memory again
  std::uint64_t rounds = 0;  // of the method's own unit; 0 where memory is what counts
};

// What one is willing to spend on one hash.
struct CryptLimits {
  std::uint64_t memory = 256u << 20;  // octets
  std::uint64_t rounds = 1'000'000;   // of sha512crypt and the like
  unsigned bcrypt_log = 14;           // 2^14 rounds
  // Names of the methods that one accepts; none: all. Some look at the first characters of a password alone.
  std::vector<std::string> methods = {};
};

// Whether head | salt | tail is the setting of a method that libcrypt has, in parts of the right shape, and
// within the limits. Costs nothing: no hash is computed. kInvalid: not such a setting. kRefused: it would
// cost too much, or the method is not one of those.
[[nodiscard]] Result<CryptCost> check_crypt_setting(const CryptSetting& setting, const CryptLimits& limits);

// The setting of a hash string. kInvalid: not a hash string of a method that libcrypt has, of the right length.
// `text` is a secret; what is given back is none.
[[nodiscard]] Result<CryptSetting> setting_of(ByteView crypt_string);

// A fresh setting. `method` is a name as above; `cost` is the method's own (crypt_gensalt(5)), 0 its default.
// `longest_salt`: the salt's text has at most so many octets, as far as the method lets it be shortened.
// kInvalid: libcrypt has no such method, or it is not fit for new passwords, or not with that cost.
[[nodiscard]] Result<CryptSetting> make_crypt_setting(const std::string& method, unsigned cost,
                                                      std::size_t longest_salt);

// Whether crypt(3) can be given it: 1 to kMaxCryptPassword octets, none of them zero.
[[nodiscard]] bool is_crypt_password(ByteView password);

// crypt(3): the whole hash string. Takes as long as the setting says. kInvalid: is_crypt_password says no, or
// libcrypt does not take the setting; kExhausted: out of memory.
[[nodiscard]] Result<secret::SecretBuffer> crypt_password(ByteView password, const CryptSetting& setting);

}  // namespace keyd::crypto
