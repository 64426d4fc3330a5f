// DES and 3DES, for the historic suite of `kryptoknight` alone. Single DES comes from OpenSSL's legacy provider, in a
// library context of its own: nothing else in the process can reach it.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/crypto/random.h"

namespace keyd::crypto {

inline constexpr std::size_t kDesKeySize = 8, kDesBlock = 8;  // octets; a key has 56 bits, and 8 of parity

enum class DesMode {
  kEcb,          // key 8 octets
  kCbc,          // key 8 octets, iv 8
  k3DesEcbEde2,  // key 16 octets: K1 K2 K1
  k3DesEcbEde3,  // key 24 octets
};
enum class Direction { kEncrypt, kDecrypt };

// Loads the providers, once, and says whether single DES can be had. To be called before a sandbox closes the files.
[[nodiscard]] Result<void> load_legacy_ciphers();

// `out` has the size of `data`, a multiple of 8 octets; no padding. Parity is ignored. kUnsupported: no legacy
// provider. kInvalid: a wrong size.
[[nodiscard]] Result<void> des(DesMode mode, Direction direction, ByteView key, ByteView iv, ByteView data,
                               MutableByteView out);

// Whether it is one of the 4 weak or 12 semi-weak keys (FIPS 74, section 3.6; NIST SP 800-67, section 3.3.2),
// whatever its parity.
[[nodiscard]] bool is_weak_des_key(ByteView key);

}  // namespace keyd::crypto
