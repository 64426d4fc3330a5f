// What both ends of SRP compute, in the letters of the papers: RFC 2945 (SRP-3) and RFC 5054 (SRP-6a). No order of
// messages here (srp.h), and no passwords (srp_verifier.h).
//
//   U user  s salt  x exponent from the password  v = g^x  a, b secret exponents  A = g^a  | joins octets
//   numbers are big-endian without leading zeros; PAD fills with zeros on the left to the length of N
//
//              SRP-3                                    SRP-6a with hash H
//   k          1                                        H(N | PAD(g))
//   B          (k·v + g^b) mod N                        the same
//   u          first 32 bits of SHA1(B)                 H(PAD(A) | PAD(B))
//   S client   (B - k·g^x)^(a + u·x)                    the same
//   S server   (A · v^u)^b                              the same
//   K          SHA_Interleave(S), 40 octets             H(S)
//   M1         H(H(N) xor H(g) | H(U) | s | A | B | K | extra)        H = SHA1 for SRP-3
//   M2         H(A | M1 | K)
//
// RFC 5054 has no M1 and M2 (TLS has its Finished): here both are as in RFC 2945, nothing padded (the reading
// "rfc2945_unpadded"). `extra` is empty, but for EAP-SRP: Identifier of the Challenge | 19.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/crypto/bignum.h"
#include "core/crypto/digest.h"
#include "core/exchange/random_source.h"
#include "core/exchange/srp_group.h"
#include "core/secret/secret.h"

namespace keyd::exchange {

// Which octets of S go into which half of SHA_Interleave (RFC 2945, section 3.1).
enum class Interleave {
  kRfc2945,   // from the first octet on
  kStanford,  // of S reversed: Stanford's libsrp, and pppd
};

struct SrpRules {
  enum class Variant { kSrp3, kSrp6a } variant = Variant::kSrp6a;
  crypto::Hash hash = crypto::Hash::kSha256;  // kSha1 in SRP-3
  Interleave interleave = Interleave::kRfc2945;

  [[nodiscard]] static SrpRules srp3(Interleave interleave = Interleave::kRfc2945) {
    return {Variant::kSrp3, crypto::Hash::kSha1, interleave};
  }
  [[nodiscard]] static SrpRules srp6a(crypto::Hash hash = crypto::Hash::kSha256) {
    return {Variant::kSrp6a, hash, Interleave::kRfc2945};
  }
};

// A secret exponent and g to its power: one side's fresh part of an exchange. For one exchange alone.
struct EphemeralPair {
  SrpGroup group;
  secret::SecretBuffer exponent;
  secret::SecretBuffer power;  // without leading zeros. g^b is a secret: v follows from it and B
};

// Fresh, from octets for keys: 256 bits, 384 in groups above 4096 bits; the highest bit is set. kBroken: no random
// octets. It is a full exponentiation: a server may make some ahead.
[[nodiscard]] Result<EphemeralPair> draw_ephemeral(const SrpGroup& group, const RandomSource& random);
// From an exponent that is given (big-endian). A pair takes 64 octets of locked memory, and as many as N has (in blocks of
// a power of two).
[[nodiscard]] EphemeralPair ephemeral_of(const SrpGroup& group, secret::SecretBuffer exponent);

// A or B as a peer sent it: at most as many octets as N, below N and not 0. kInvalid otherwise (RFC 2945 section 3,
// RFC 5054 section 2.5.4: with A = 0 or N anybody knows S).
[[nodiscard]] Result<crypto::Number> public_value(const SrpGroup& group, ByteView octets);

[[nodiscard]] crypto::Number k_of(const SrpRules& rules, const SrpGroup& group);
// kRefused: u is 0, which would leave the password out of S.
[[nodiscard]] Result<crypto::Number> u_of(const SrpRules& rules, const SrpGroup& group,
                                          const crypto::Number& A, const crypto::Number& B);
// B from the server's pair. kRefused: it is 0; with other random octets it will not be.
[[nodiscard]] Result<crypto::Number> B_of(const SrpRules& rules, const EphemeralPair& pair,
                                          const crypto::Number& v);

[[nodiscard]] crypto::Number client_S(const SrpRules& rules, const EphemeralPair& pair,
                                      const crypto::Number& x, const crypto::Number& B,
                                      const crypto::Number& u);
[[nodiscard]] crypto::Number server_S(const EphemeralPair& pair, const crypto::Number& v,
                                      const crypto::Number& A, const crypto::Number& u);

[[nodiscard]] secret::SecretBuffer K_of(const SrpRules& rules, const crypto::Number& S);
// SHA_Interleave of S as octets, leading zeros or not: 40 octets.
[[nodiscard]] secret::SecretBuffer sha_interleave(ByteView S, Interleave order);

struct Proofs {
  Bytes M1, M2;
};
// Both proofs: M1 is the client's, M2 the server's. Whoever shows one before it has seen the other's is not safe.
[[nodiscard]] Proofs proofs_of(const SrpRules& rules, const SrpGroup& group, ByteView user, ByteView salt,
                               const crypto::Number& A, const crypto::Number& B, ByteView K, ByteView extra);

}  // namespace keyd::exchange
