// Inside core/exchange only: the SecretHash, and the SessionKey under it, for a login and for a command's own
// key. kryptoknight.h has the formulas.
#pragma once

#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/exchange/random_source.h"
#include "core/secret/secret.h"
#include "core/wire/keyd.pb.h"

namespace keyd::exchange {

// What a SessionKey is wrapped under and bound to. All are views of the caller's.
struct Wrapping {
  wire::Suite suite = wire::SUITE_UNSPECIFIED;
  ByteView hash;                        // P'
  ByteView client_nonce, server_nonce;  // Nc, Ns
  std::string_view host_port;           // hp
  std::string_view label;               // modern, like the following
  ByteView transcript;                  // what SecretHash is bound to besides
  ByteView fresh;                       // AES-GCM's nonce; empty: zeros, as SecretHash is used once
  ByteView bound;                       // additional data
};

struct WrappedSessionKey {
  Bytes key, proof;  // modern: 48 and no octets; historic: 8 and 16
};

// Octets of them in a suite; a suite that is none has no wrapped key.
struct WrappedSize {
  std::size_t key, proof;
};
[[nodiscard]] WrappedSize wrapped_size(wire::Suite suite);
// Whether P' has the size that the suite makes.
[[nodiscard]] bool is_hash_of(wire::Suite suite, ByteView hash);

[[nodiscard]] Result<secret::SecretBuffer> draw_session_key(wire::Suite suite, const RandomSource& random);
[[nodiscard]] Result<WrappedSessionKey> wrap_session_key(const Wrapping& how, ByteView session_key);
// kRefused: whoever made it does not know P', or it was changed. kInvalid: not of the right sizes.
[[nodiscard]] Result<secret::SecretBuffer> unwrap_session_key(const Wrapping& how, ByteView wrapped,
                                                              ByteView proof);

}  // namespace keyd::exchange
