// Hashes and keyed hashes of core/crypto; RFC 1828's keyed MD5 is a transform of the challenge exchange.
#include "core/crypto/digest.h"
#include "core/exchange/challenge.h"
#include "tests/vectors/families.h"

namespace keyd::vectors {
namespace {

std::string digest_of(crypto::Hash hash, const Json& in) {
  Bytes out(crypto::size_of(hash));
  crypto::digest(hash, {octets(in, "data")}, out);
  return to_hex(out);
}

std::string hmac_of(crypto::Hash hash, const Json& in) {
  Bytes out(crypto::size_of(hash));
  crypto::hmac(hash, octets(in, "key"), {octets(in, "data")}, out);
  return to_hex(out);
}

std::string out_of(const Json& in) {
  const auto kind = in.at("kind").get<std::string>();
  if (kind == "md5") return digest_of(crypto::Hash::kMd5, in);
  if (kind == "sha1") return digest_of(crypto::Hash::kSha1, in);
  if (kind == "sha256") return digest_of(crypto::Hash::kSha256, in);
  if (kind == "hmac-md5") return hmac_of(crypto::Hash::kMd5, in);
  if (kind == "hmac-sha1") return hmac_of(crypto::Hash::kSha1, in);
  if (kind == "hmac-sha256") return hmac_of(crypto::Hash::kSha256, in);
  if (kind == "rfc1828") {
    const auto key =
        exchange::transform(wire::TRANSFORM_KEYED_MD5_RFC1828, octets(in, "key"), octets(in, "data"));
    if (!key) throw CaseFailed(key.error().message());
    return to_hex(key->reveal());
  }
  throw CaseFailed("unknown kind " + kind);
}

}  // namespace

Json hash_facts(const Json& test) { return {{"out", out_of(test.at("in"))}}; }

}  // namespace keyd::vectors
