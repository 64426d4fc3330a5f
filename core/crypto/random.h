// Random octets from OpenSSL's DRBG, which the kernel's pool seeds and core/crypto/noise.h stirs.
#pragma once

#include "core/base/bytes.h"

namespace keyd::crypto {

// For values that are sent or shown: nonces, salts, session ids. False when the generator failed: refuse.
[[nodiscard]] bool fill_random(MutableByteView out);

// For keys: a generator of its own, so that published values say nothing about it. False likewise.
[[nodiscard]] bool fill_random_private(MutableByteView out);

}  // namespace keyd::crypto
