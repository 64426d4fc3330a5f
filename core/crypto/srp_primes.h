// The numbers of RFC 5054, appendix A, as libcrypto has them.
#pragma once

#include <cstdint>
#include <optional>

#include "core/crypto/bignum.h"

namespace keyd::crypto {

inline constexpr unsigned kSrpPrimeBits[] = {1024, 1536, 2048, 3072, 4096, 6144, 8192};

struct SrpPrime {
  Number modulus, generator;
};

// Nothing: the appendix has no prime of so many bits.
[[nodiscard]] std::optional<SrpPrime> srp_prime(unsigned bits);

}  // namespace keyd::crypto
