// Not OpenSSL's KDF "TLS1-PRF", which gives the same octets: it keeps the secret in its own heap meanwhile, refuses an
// empty one, and takes label and seed of 1024 octets at most.
#include "core/crypto/tls10_prf.h"

#include <algorithm>

#include "core/crypto/digest.h"
#include "core/secret/secret.h"

namespace keyd::crypto {
namespace {

// P_hash(secret, seed) = HMAC(secret, A(1) | seed) | HMAC(secret, A(2) | seed) | …, A(0) = seed, A(i) = HMAC(secret,
// A(i-1)); xored into `out`. `seed` is label | seed.
void xor_p_hash(Hash hash, ByteView secret, ByteView label, ByteView seed, MutableByteView out) {
  const std::size_t size = size_of(hash);
  secret::SecretBuffer state(3 * size);
  const MutableByteView a = state.reveal().first(size), next = state.reveal().subspan(size, size),
                        block = state.reveal().last(size);
  hmac(hash, secret, {label, seed}, a);
  for (std::size_t done = 0; done < out.size();) {
    hmac(hash, secret, {a, label, seed}, block);
    const std::size_t take = std::min(size, out.size() - done);
    for (std::size_t i = 0; i < take; ++i) out[done + i] ^= block[i];
    done += take;
    hmac(hash, secret, {a}, next);
    std::ranges::copy(next, a.begin());
  }
}

}  // namespace

void tls10_prf(ByteView secret, ByteView label, ByteView seed, MutableByteView out) {
  std::ranges::fill(out, std::uint8_t{0});
  // Two halves that share the middle octet where the length is odd.
  const std::size_t half = (secret.size() + 1) / 2;
  xor_p_hash(Hash::kMd5, secret.first(half), label, seed, out);
  xor_p_hash(Hash::kSha1, secret.last(half), label, seed, out);
}

}  // namespace keyd::crypto
