// Which passwords a user may change to: the rules of the seed's step 314, judged where the password is typed, since
// keyd never learns it. (That it is no permutation of a recent one is for keyd to say: core/exchange/password_history.h.)
//
//   - 1 to 1024 octets, none of them zero, and at least 8 characters
//   - at least one letter and one digit of ASCII; what is outside ASCII counts as letters
//   - it holds neither the user's name nor the caller's login name, no word of the caller's entry in passwd(5) and
//     none of `words`, forwards or backwards; capitals count as small letters, and what has less than 3 characters is
//     passed over
//   - it is not the old password, does not hold it and is not held by it
//   - what libpwquality and cracklib's dictionary say (password_quality.h), by /etc/security/pwquality.conf where there
//     is one: the administrator may be stricter than these rules, not laxer. Without a dictionary no password is taken.
//
// The two libraries copy a password into ordinary memory and do not wipe it, so they are asked in a child process
// that lives for that alone (judgement_apart.h).
#pragma once

#include <span>
#include <string>

#include "core/base/bytes.h"
#include "libkeyclient/src/failure.h"

namespace keyd::client {

inline constexpr std::size_t kLeastCharacters = 8;
inline constexpr std::size_t kMostPersonalWords = 64, kLongestPersonalWord = 64;  // words; octets

// Whether `fresh` will do in place of `old`; an empty `old` is none.
//   KEYCLIENT_INVALID      a rule says no: the text says which, and nothing of the password
//   KEYCLIENT_UNSUPPORTED  there is no dictionary here
//   KEYCLIENT_REFUSED      too many `words`, or one that is too long
//   KEYCLIENT_DEADLINE, KEYCLIENT_BUSY, KEYCLIENT_INTERNAL  nobody could judge
// Takes at most kLongestJudgement. For a moment the process has a child: see there. The caller's entry in passwd(5) is
// read before, by getpwuid_r(3).
[[nodiscard]] Outcome<void> judge_password(const std::string& user, ByteView fresh, ByteView old,
                                           std::span<const std::string> words);

}  // namespace keyd::client
