// The pseudo-random function of TLS 1.0 (RFC 2246, section 5): P_MD5 xor P_SHA-1, on the HMAC of digest.h. Serves
// historic suites alone.
#pragma once

#include "core/base/bytes.h"

namespace keyd::crypto {

// Fills `out` with PRF(secret, label, seed). `out` is where the caller keeps secrets; any sizes. Throws PoolExhausted.
void tls10_prf(ByteView secret, ByteView label, ByteView seed, MutableByteView out);

}  // namespace keyd::crypto
