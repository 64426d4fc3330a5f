#include "core/exchange/srp_verifier.h"

#include <algorithm>

namespace keyd::exchange {
namespace {

constexpr std::size_t kScryptOutput = 32;  // octets

}  // namespace

std::array<std::uint8_t, XDerivation::kSize> XDerivation::octets() const {
  return {static_cast<std::uint8_t>(kind), cost.log2_n, cost.r, cost.p};
}

Result<XDerivation> XDerivation::from(ByteView octets) {
  if (octets.size() != kSize) return fail(Code::kInvalid, "a derivation is 4 octets");
  const XDerivation out{static_cast<DerivationKind>(octets[0]), {octets[1], octets[2], octets[3]}};
  switch (out.kind) {
    case DerivationKind::kSha1:
    case DerivationKind::kSha256:
      if (out.cost != crypto::ScryptCost{})
        return fail(Code::kInvalid, "a derivation with a cost that has none");
      return out;
    case DerivationKind::kScrypt: return out;
  }
  return fail(Code::kInvalid, "unknown derivation");
}

Result<void> check_derivation(const XDerivation& derivation, const DerivationPolicy& policy) {
  switch (derivation.kind) {
    case DerivationKind::kSha1:
      if (!policy.sha1)
        return fail(Code::kRefused, "the verifier was made by SHA-1, and fast derivations are not accepted");
      return {};
    case DerivationKind::kSha256:
      if (!policy.sha256)
        return fail(Code::kRefused,
                    "the verifier was made by SHA-256 alone, and fast derivations are not accepted");
      return {};
    case DerivationKind::kScrypt: break;
  }
  const crypto::ScryptCost& cost = derivation.cost;
  if (!policy.scrypt) return fail(Code::kRefused, "x derived by scrypt is not accepted");
  if (cost.log2_n < 1 || cost.log2_n > 24 || cost.p < 1 || cost.p > policy.most_p ||
      cost.memory() < policy.least_memory || cost.memory() > policy.most_memory) {
    return fail(Code::kRefused, "the cost of scrypt is out of bounds");
  }
  return {};
}

secret::SecretBuffer derive_x(crypto::Hash hash, ByteView user, ByteView password, ByteView salt) {
  secret::SecretBuffer inner(crypto::size_of(hash)), x(crypto::size_of(hash));
  crypto::digest(hash, {user, bytes_of(":"), password}, inner.reveal());
  crypto::digest(hash, {salt, inner.reveal()}, x.reveal());
  return x;
}

Result<secret::SecretBuffer> derive_x(const XDerivation& derivation, ByteView user, ByteView password,
                                      ByteView salt) {
  if (salt.size() > kLongestSalt) return fail(Code::kInvalid, "the salt is too long");
  switch (derivation.kind) {
    case DerivationKind::kSha1: return derive_x(crypto::Hash::kSha1, user, password, salt);
    case DerivationKind::kSha256: return derive_x(crypto::Hash::kSha256, user, password, salt);
    case DerivationKind::kScrypt: break;
  }
  const auto hardened = crypto::scrypt(password, salt, derivation.cost, kScryptOutput);
  if (!hardened) return std::unexpected(hardened.error());
  return derive_x(crypto::Hash::kSha256, user, hardened->reveal(), salt);
}

secret::SecretBuffer verifier_of(const SrpGroup& group, ByteView x) {
  return group.modulus().power(group.generator(), crypto::Number::of(x)).secret_octets();
}

Result<secret::SecretBuffer> make_verifier(const VerifierParameters& by, ByteView user, ByteView password) {
  const auto x = derive_x(by.derivation, user, password, by.salt);
  if (!x) return std::unexpected(x.error());
  return verifier_of(by.group, x->reveal());
}

Result<void> check_verifier(const SrpGroup& group, ByteView v) {
  if (v.size() > group.octets()) return fail(Code::kInvalid, "the verifier is longer than the modulus");
  const crypto::Number number = crypto::Number::of(v);
  if (number.bits() < 2 || crypto::Number::compare(number, group.modulus().value()) >= 0)
    return fail(Code::kInvalid, "the verifier is not between 1 and the modulus");
  return {};
}

}  // namespace keyd::exchange
