// The pseudo-random function of TLS 1.0, from which the historic suite of srp makes its keys.
#include "core/crypto/tls10_prf.h"

#include "tests/vectors/families.h"

namespace keyd::vectors {

Json tls10_prf(const Json& test) {
  const Json& in = test.at("in");
  const auto length = in.at("length").get<std::size_t>();
  if (length > 1u << 20) throw CaseFailed("too long");
  Bytes out(length);
  crypto::tls10_prf(octets(in, "secret"), octets(in, "label"), octets(in, "seed"), out);
  return {{"out", to_hex(out)}};
}

}  // namespace keyd::vectors
