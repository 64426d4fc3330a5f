// Key derivation: HKDF with SHA-256 (RFC 5869), on the HMAC of digest.h.
#pragma once

#include "core/base/bytes.h"

namespace keyd::crypto {

inline constexpr std::size_t kMaxHkdfOutput = 255 * 32;  // octets, RFC 5869 section 2.3

// HKDF-Expand(HKDF-Extract(salt, secret), info, out.size()). `out` holds at most kMaxHkdfOutput octets, and
// is where the caller keeps secrets. An empty salt means 32 zero octets, as RFC 5869 section 2.2 says.
void hkdf_sha256(ByteView secret, ByteView salt, ByteView info, MutableByteView out);

}  // namespace keyd::crypto
