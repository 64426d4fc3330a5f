// SRP_get_default_gN is the one way to libcrypto's copy of the appendix. It is marked deprecated with OpenSSL's own
// SRP, of which nothing else is used here (it drops leading zeros of salts).
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/crypto/srp_primes.h"

#include <openssl/bn.h>
#include <openssl/srp.h>

#include <algorithm>
#include <string>

#include "core/crypto/openssl_check.h"

namespace keyd::crypto {
namespace {

Number number_of(const BIGNUM* from) {
  Bytes octets(static_cast<std::size_t>(BN_num_bytes(from)));
  require(BN_bn2bin(from, octets.data()) == static_cast<int>(octets.size()));
  return Number::of(octets);
}

}  // namespace

std::optional<SrpPrime> srp_prime(unsigned bits) {
  if (std::ranges::find(kSrpPrimeBits, bits) == std::end(kSrpPrimeBits)) return std::nullopt;
  const SRP_gN* const found = SRP_get_default_gN(std::to_string(bits).c_str());
  require(found != nullptr);
  SrpPrime out{number_of(found->N), number_of(found->g)};
  require(out.modulus.bits() == bits);
  return out;
}

}  // namespace keyd::crypto
