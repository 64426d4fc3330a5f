// What EAP-SRP makes of the session key K besides: a pseudonym for the user's next Identity, hidden in the Server
// Validator, and the Light Rechallenge. Both are historic: SHA-1, and not what keyd's own sessions rest on.
//
//   hidden pseudonym   C1 | C2 | …, blocks of 20 octets;   Pi blocks of  len(1) | text | random fill
//                      C1 = P1 xor SHA1(Identifier | K | user)     Ci = Pi xor SHA1(Identifier | K | Ci-1)
//   light response     SHA1(Identifier | K | challenge | user)
//
// Identifier is that of the packet in which it goes. There is no integrity in it: whoever changes the hidden octets
// changes the text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/exchange/srp_numbers.h"

namespace keyd::exchange {

// kInvalid: the text is not 1 to 255 octets. kBroken: no random octets.
[[nodiscard]] Result<Bytes> hide_pseudonym(std::uint8_t identifier, ByteView K, ByteView user, ByteView text,
                                           const RandomSource& random);
// kInvalid: not whole blocks, or its length says more than there is, or blocks beyond it.
[[nodiscard]] Result<Bytes> reveal_pseudonym(std::uint8_t identifier, ByteView K, ByteView user,
                                             ByteView hidden);

[[nodiscard]] std::array<std::uint8_t, crypto::kSha1Size> light_response(std::uint8_t identifier, ByteView K,
                                                                         ByteView challenge, ByteView user);

}  // namespace keyd::exchange
