// One line of a shadow(5) file, or "name:hash" alone: who the user is, and the crypt(3) string of the password.
//
//   name:hash:last change:minimum:maximum:warning:inactivity:expiry:reserved        days since 1970-01-01
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace keyd::keyadm {

struct ShadowLine {
  enum class Kind {
    kNothing,     // empty, or a comment: no user's
    kNoPassword,  // "*", "!" and the like: a user who cannot log in by a password, as those of the system
    kHash,
  };
  Kind kind = Kind::kNothing;
  std::string_view name;  // as it stands; not empty but in kNothing
  ByteView hash;          // without the marks of a lock in front; printable ASCII, 1 to 383 octets. A secret
  bool locked = false;    // "!" in front of the hash, or the account's expiry has passed
  std::uint64_t password_changed = 0;  // seconds since the Unix epoch; 0: not known
};

// Views of `line`, which is a secret, and has no newline. `today`: days since the Unix epoch. kInvalid says what is wrong
// with it, and nothing of what is in it.
[[nodiscard]] Result<ShadowLine> parse_shadow_line(ByteView line, std::uint64_t today);

}  // namespace keyd::keyadm
