// AES-256-GCM (NIST SP 800-38D). Keys are passed for each call and nothing derived from one outlives it:
// expanded keys would otherwise lie in OpenSSL's ordinary heap for as long as a session lives.
#pragma once

#include <cstddef>

#include "core/base/bytes.h"

namespace keyd::crypto {

inline constexpr std::size_t kAeadKeySize = 32, kAeadNonceSize = 12, kAeadTagSize = 16;  // octets

// Encrypts. `out` must hold plaintext.size() + kAeadTagSize octets and gets ciphertext | tag. It may start
// where `plaintext` starts. A (key, nonce) pair must never be used twice: the caller's duty.
void aead_seal(ByteView key, ByteView nonce, ByteView aad, ByteView plaintext, MutableByteView out);

// Decrypts `sealed` (ciphertext | tag) into `out`, which must hold sealed.size() - kAeadTagSize octets.
// False, and `out` wiped, when anything was changed; false too when `sealed` is shorter than a tag.
[[nodiscard]] bool aead_open(ByteView key, ByteView nonce, ByteView aad, ByteView sealed,
                             MutableByteView out);

}  // namespace keyd::crypto
