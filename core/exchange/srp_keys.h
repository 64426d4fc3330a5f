// The keys that a session made by SRP has beside its channel's: for each direction one to encrypt with and one to
// authenticate with (seed 002, steps 304 and 306: from the session key and fresh values of both sides). They protect
// the messages of a change of password, and nothing else.
//
// The claims name them by the authentication in which they are made, and have each message go under the keys of the
// *other* direction's name: what the server sends is authenticated with "client to server" (claims 6, 14), what the
// client sends is encrypted and authenticated with "server to client" (claims 9, 10). So it is here, to the letter:
//
//   message                          encrypted with           authenticated with
//   change request, server's         encrypt client→server    authenticate client→server
//   change response, client's        encrypt server→client    authenticate server→client
//
// No key serves both directions, so a message that is sent back to who sent it is nothing.
//
//   modern     HKDF-SHA256(K, TH, "keyd/1 srp " name), 32 octets each; TH is the transcript hash of the channel
//   historic   RFC 2246 sections 8.1 and 6.3, with K in the place of the pre-master secret:
//              master = PRF(K, "master secret", Rc | Rs), 48 octets
//              PRF(master, "key expansion", Rs | Rc) = authenticate c→s (20) | s→c (20) | encrypt c→s (32) | s→c (32)
#pragma once

#include "core/base/bytes.h"
#include "core/secret/secret.h"

namespace keyd::exchange {

struct SrpKeys {
  secret::SecretBuffer encrypt_client_to_server, encrypt_server_to_client;  // 32 octets
  secret::SecretBuffer authenticate_client_to_server,
      authenticate_server_to_client;  // 32 octets; historic: 20
};

[[nodiscard]] SrpKeys modern_srp_keys(ByteView K, ByteView transcript_hash);
// The client's and the server's 32 fresh octets.
[[nodiscard]] SrpKeys historic_srp_keys(ByteView K, ByteView client_random, ByteView server_random);

}  // namespace keyd::exchange
