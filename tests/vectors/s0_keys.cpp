// The two keys of the challenge exchange in its historic suite: "keyed-md5" is HMAC-MD5
// (docs/protocols/challenge.md).
#include "core/exchange/challenge.h"
#include "tests/vectors/families.h"

namespace keyd::vectors {

Json s0_keys(const Json& test) {
  const Json& in = test.at("in");
  const Bytes password = octets(in, "password");
  const auto key_from = [&](const char* nonce) {
    const auto key = exchange::transform(wire::TRANSFORM_HMAC_MD5, password, octets(in, nonce));
    if (!key) throw CaseFailed(key.error().message());
    return to_hex(key->reveal());
  };
  return {{"key1", key_from("nonce1")}, {"key2", key_from("nonce2")}};
}

}  // namespace keyd::vectors
