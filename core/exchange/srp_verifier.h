// How a password becomes the exponent x, and x the verifier v = g^x mod N that the server keeps in its place.
//
//   h = P                                        sha1, sha256
//   h = scrypt(P, salt = s, N, r, p, 32)         scrypt
//   x = H(s | H(U | ":" | h))                    H is SHA-1 for sha1, else SHA-256
//
// sha1 is RFC 2945 section 3 and RFC 5054 section 2.4, and what the seed prints (step 316; claims 8, 16, 40, 47: the
// first intermediate value is H(U | ":" | h), the second is x, the third g^x, and v the third modulo N). The seed's
// "|" between user name and password is a colon. s is octets, leading zeros and all.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/crypto/digest.h"
#include "core/crypto/scrypt.h"
#include "core/exchange/srp_group.h"
#include "core/secret/secret.h"

namespace keyd::exchange {

inline constexpr std::size_t kLongestSalt = 255;  // octets

// A property of the stored verifier, told to the client. The numbers are those on the wire.
enum class DerivationKind : std::uint8_t { kSha1 = 1, kSha256 = 2, kScrypt = 3 };

struct XDerivation {
  DerivationKind kind = DerivationKind::kSha1;
  crypto::ScryptCost cost;  // of scrypt; else zeros
  bool operator==(const XDerivation&) const = default;

  // On the wire: kind(1) | log2 N(1) | r(1) | p(1).
  static constexpr std::size_t kSize = 4;
  [[nodiscard]] std::array<std::uint8_t, kSize> octets() const;
  // kInvalid: not kSize octets, another kind, a cost where there is none.
  [[nodiscard]] static Result<XDerivation> from(ByteView octets);
};

// For new verifiers: 32 MiB, a tenth of a second of the client's.
inline constexpr XDerivation kDefaultDerivation{DerivationKind::kScrypt, {.log2_n = 15, .r = 8, .p = 1}};

// What a client takes from a server. The cost is the client's: it is weighed by its text alone, before any work.
struct DerivationPolicy {
  bool sha1 = false, sha256 = false, scrypt = true;
  // A cheap scrypt would be a downgrade, a dear one an attack.
  std::uint64_t least_memory = 16u << 20, most_memory = 64u << 20;  // octets
  std::uint8_t most_p = 4;
};
// kRefused: not by this policy.
[[nodiscard]] Result<void> check_derivation(const XDerivation& derivation, const DerivationPolicy& policy);

// What a verifier is made by, beside user and password.
struct VerifierParameters {
  SrpGroup group;
  Bytes salt;  // 1 to kLongestSalt octets
  XDerivation derivation;
};

// x, as many octets as H gives. `salt` holds kLongestSalt octets at most. kExhausted: no memory for scrypt.
[[nodiscard]] Result<secret::SecretBuffer> derive_x(const XDerivation& derivation, ByteView user,
                                                    ByteView password, ByteView salt);
// With H named, and h = P: also the SRP-6a of others.
[[nodiscard]] secret::SecretBuffer derive_x(crypto::Hash hash, ByteView user, ByteView password,
                                            ByteView salt);

// v = g^x mod N, big-endian without leading zeros.
[[nodiscard]] secret::SecretBuffer verifier_of(const SrpGroup& group, ByteView x);

// Steps one to four of step 316 at once. Errors as of derive_x.
[[nodiscard]] Result<secret::SecretBuffer> make_verifier(const VerifierParameters& by, ByteView user,
                                                         ByteView password);

// Whether it can be one: 1 < v < N. kInvalid otherwise.
[[nodiscard]] Result<void> check_verifier(const SrpGroup& group, ByteView v);

}  // namespace keyd::exchange
