// Products and sums modulo N take nearly always the same time; powers, which a password or a lasting secret goes
// through bit by bit, always do (crypto::Modulus::power).
#include "core/exchange/srp_numbers.h"

#include <algorithm>

namespace keyd::exchange {
namespace {

using crypto::Number;
using Variant = SrpRules::Variant;

std::size_t exponent_size(const SrpGroup& group) { return group.bits() > 4096 ? 48 : 32; }

Number number_from_hash(crypto::Hash hash, std::initializer_list<ByteView> parts) {
  Bytes out(crypto::size_of(hash));
  crypto::digest(hash, parts, out);
  return Number::of(out);
}

// T[first], T[first + 2], …
secret::SecretBuffer every_second(ByteView T, std::size_t first) {
  secret::SecretBuffer out(T.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i) out.reveal()[i] = T[2 * i + first];
  return out;
}

}  // namespace

Result<EphemeralPair> draw_ephemeral(const SrpGroup& group, const RandomSource& random) {
  secret::SecretBuffer exponent(exponent_size(group));
  if (!random(exponent.reveal())) return fail(Code::kBroken, "no random numbers");
  exponent.reveal()[0] |= 0x80;  // always of one size, and so is the time of what is computed with it
  return ephemeral_of(group, std::move(exponent));
}

EphemeralPair ephemeral_of(const SrpGroup& group, secret::SecretBuffer exponent) {
  auto power = group.modulus().power(group.generator(), Number::of(exponent.reveal())).secret_octets();
  return {group, std::move(exponent), std::move(power)};
}

Result<Number> public_value(const SrpGroup& group, ByteView octets) {
  if (octets.empty() || octets.size() > group.octets())
    return fail(Code::kInvalid, "a public value has 1 octet to as many as the modulus");
  Number value = Number::of(octets);
  if (value.is_zero() || Number::compare(value, group.modulus().value()) >= 0)
    return fail(Code::kInvalid, "a public value is not 1 to N-1");
  return value;
}

Number k_of(const SrpRules& rules, const SrpGroup& group) {
  if (rules.variant == Variant::kSrp3) return Number::of(1);
  const Bytes padded = group.generator().public_octets(group.octets());
  return group.modulus().reduce(number_from_hash(rules.hash, {group.modulus_octets(), padded}));
}

Result<Number> u_of(const SrpRules& rules, const SrpGroup& group, const Number& A, const Number& B) {
  Number u;
  if (rules.variant == Variant::kSrp3) {
    std::array<std::uint8_t, crypto::kSha1Size> hash{};
    crypto::digest(crypto::Hash::kSha1, {B.public_octets()}, hash);
    u = Number::of(ByteView(hash).first(4));
  } else {
    const std::size_t size = group.octets();
    u = number_from_hash(rules.hash, {A.public_octets(size), B.public_octets(size)});
  }
  if (u.is_zero()) return fail(Code::kRefused, "u is 0");
  return u;
}

Result<Number> B_of(const SrpRules& rules, const EphemeralPair& pair, const Number& v) {
  const crypto::Modulus& N = pair.group.modulus();
  Number B = N.add(N.multiply(k_of(rules, pair.group), v), Number::of(pair.power.reveal()));
  if (B.is_zero()) return fail(Code::kRefused, "B is 0");
  return B;
}

Number client_S(const SrpRules& rules, const EphemeralPair& pair, const Number& x, const Number& B,
                const Number& u) {
  const crypto::Modulus& N = pair.group.modulus();
  const Number kv = N.multiply(k_of(rules, pair.group), N.power(pair.group.generator(), x));
  return N.power(N.subtract(B, kv), Number::of(pair.exponent.reveal()).plus(u.times(x)));
}

Number server_S(const EphemeralPair& pair, const Number& v, const Number& A, const Number& u) {
  const crypto::Modulus& N = pair.group.modulus();
  return N.power(N.multiply(A, N.power(v, u)), Number::of(pair.exponent.reveal()));
}

secret::SecretBuffer sha_interleave(ByteView S, Interleave order) {
  // RFC 2945 section 3.1: "remove all leading zero bytes"; "if the length is odd, also remove the first byte".
  ByteView stripped =
      S.subspan(static_cast<std::size_t>(std::ranges::find_if(S, [](auto o) { return o != 0; }) - S.begin()));
  if (stripped.size() % 2 != 0) stripped = stripped.subspan(1);
  secret::SecretBuffer T = secret::SecretBuffer::copy_of(stripped);
  if (order == Interleave::kStanford) std::ranges::reverse(T.reveal());
  const secret::SecretBuffer even = every_second(T.reveal(), 0), odd = every_second(T.reveal(), 1);
  secret::SecretBuffer G(crypto::kSha1Size), H(crypto::kSha1Size), K(2 * crypto::kSha1Size);
  crypto::digest(crypto::Hash::kSha1, {even.reveal()}, G.reveal());
  crypto::digest(crypto::Hash::kSha1, {odd.reveal()}, H.reveal());
  for (std::size_t i = 0; i < crypto::kSha1Size; ++i) {
    K.reveal()[2 * i] = G.reveal()[i];
    K.reveal()[2 * i + 1] = H.reveal()[i];
  }
  return K;
}

secret::SecretBuffer K_of(const SrpRules& rules, const Number& S) {
  const secret::SecretBuffer octets = S.secret_octets();
  if (rules.variant == Variant::kSrp3) return sha_interleave(octets.reveal(), rules.interleave);
  secret::SecretBuffer K(crypto::size_of(rules.hash));
  crypto::digest(rules.hash, {octets.reveal()}, K.reveal());
  return K;
}

Proofs proofs_of(const SrpRules& rules, const SrpGroup& group, ByteView user, ByteView salt, const Number& A,
                 const Number& B, ByteView K, ByteView extra) {
  const std::size_t size = crypto::size_of(rules.hash);
  Bytes group_hash(size), generator_hash(size), user_hash(size);
  crypto::digest(rules.hash, {group.modulus_octets()}, group_hash);
  crypto::digest(rules.hash, {group.generator_octets()}, generator_hash);
  crypto::digest(rules.hash, {user}, user_hash);
  for (std::size_t i = 0; i < size; ++i) group_hash[i] ^= generator_hash[i];
  Proofs out{Bytes(size), Bytes(size)};
  const Bytes A_octets = A.public_octets();
  crypto::digest(rules.hash, {group_hash, user_hash, salt, A_octets, B.public_octets(), K, extra}, out.M1);
  crypto::digest(rules.hash, {A_octets, out.M1, K}, out.M2);
  return out;
}

}  // namespace keyd::exchange
