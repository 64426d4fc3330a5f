// The hash by which keyd tells that a new password is a permutation of a recent one (the seed, step 314), without
// knowing either.
//
//   c = the code points of the password in ascending order, in UTF-8
//       (of a password that is not UTF-8: its octets in ascending order)
//   h = scrypt(c, salt = "keyd/1 password history" | history_salt, N, r, p, 32)
//
// with the cost of a new verifier (kDefaultDerivation). The client computes it, the server seals, keeps and compares
// it. Code points are taken as they are: capitals are not small letters, and an accent is not always one code point.
//
// What a thief gains who has the history and the key that it is sealed with: each entry can be searched at the price
// of one scrypt a guess, as a verifier can, but one guess stands for every order of its characters. Of a password of
// eight random letters and digits there are 2^33 such guesses in place of 2^48, and what is found is put in order with
// at most 8! more at the verifier of the same password, where that is the one in use. Of words that people choose,
// few permutations are words, and the guesses are as many as before. Salts differ between users: no guess is for two.
#pragma once

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/secret/secret.h"

namespace keyd::exchange {

inline constexpr std::size_t kHistorySaltSize = 16, kHistoryHashSize = 32;  // octets

// kHistoryHashSize octets. kInvalid: the salt has another size, or the password not 1 to kMaxPassword octets.
// kExhausted: no memory for scrypt. Throws PoolExhausted.
[[nodiscard]] Result<secret::SecretBuffer> history_hash(ByteView password, ByteView history_salt);

}  // namespace keyd::exchange
