#include "keyd/stand_in_verifiers.h"

#include <algorithm>
#include <array>

#include "core/crypto/random.h"
#include "keyd/pseudorandom.h"

namespace keyd::daemon {
namespace {

constexpr std::size_t kSaltSize = 16;  // octets of a new verifier's, as enrolment.cpp makes them
constexpr std::size_t kExponent = 32;  // octets

bool is_usual(const VerifierShape& shape, const VerifierShape& usual) {
  return shape.bits == usual.bits && shape.derivation == usual.derivation &&
         shape.salt_size == usual.salt_size;
}

// An imported verifier serves both suites, with one salt: who has such a one in the modern suite has the same in the
// historic one, or seems to.
bool is_imported(const exchange::XDerivation& derivation) {
  return derivation.kind == exchange::DerivationKind::kSha1;
}

}  // namespace

Result<void> StandInVerifiers::prepare(unsigned group_bits) {
  sealer_.derive("srp stand-in salts", salts_.reveal());
  usual_ = {group_bits, exchange::kDefaultDerivation, kSaltSize};
  usual_historic_ = {group_bits, {}, kSaltSize};
  sealed_.id = std::string(16, '\0');
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    auto group = exchange::SrpGroup::listed(group_bits);
    if (!group) return std::unexpected(group.error());
    auto v = nobodys_v(*group);
    if (!v) return std::unexpected(v.error());
    const auto& derivation = (suite == wire::SUITE_MODERN ? usual_ : usual_historic_).derivation;
    auto sealed = seal_verifier(sealer_, sealed_.id, suite,
                                {std::move(*group), Bytes(kSaltSize), derivation, std::move(*v)});
    if (!sealed) return std::unexpected(sealed.error());
    (suite == wire::SUITE_MODERN ? sealed_.sealed_verifier : sealed_.sealed_historic_verifier) =
        std::move(*sealed);
  }
  return {};
}

void StandInVerifiers::set_shapes(std::vector<ShapeCount> shapes) {
  shapes_.clear();
  users_ = 0;
  std::ranges::sort(shapes, {}, &ShapeCount::shape);
  std::uint64_t usual = 0;
  for (const ShapeCount& each : shapes) {
    const auto shape = verifier_shape(each.shape);
    if (!shape) continue;
    users_ += each.users;
    if (is_usual(*shape, usual_)) {
      usual = each.users;
    } else {
      shapes_.emplace_back(*shape, each.users);
    }
  }
  shapes_.emplace_back(usual_, usual);
}

VerifierShape StandInVerifiers::shape_for(const std::string& name) const {
  std::array<std::uint8_t, 4> place{};
  pseudorandom(salts_.reveal(), "place", name, place);
  std::uint64_t left = read_be32(place) * users_ >> 32;
  for (const auto& [shape, users] : shapes_) {
    if (left < users) return shape;
    left -= users;
  }
  return usual_;
}

Result<secret::SecretBuffer> StandInVerifiers::nobodys_v(const exchange::SrpGroup& group) {
  auto known = v_.find(group.bits());
  if (known == v_.end()) {
    secret::SecretBuffer x(kExponent);
    if (!crypto::fill_random_private(x.reveal())) return fail(Code::kBroken, "no random numbers");
    known = v_.emplace(group.bits(), exchange::verifier_of(group, x.reveal())).first;
  }
  return secret::SecretBuffer::copy_of(known->second.reveal());
}

Result<exchange::SrpVerifier> StandInVerifiers::verifier_of(const StoredUser* user, const std::string& name,
                                                            wire::Suite suite, bool obstacle) {
  const bool modern = suite == wire::SUITE_MODERN;
  const bool has_modern = user != nullptr && !user->sealed_verifier.empty();
  const bool has_one = modern ? has_modern : user != nullptr && !user->sealed_historic_verifier.empty();
  // One unsealing, whoever it is.
  auto real = unseal_verifier(sealer_, has_one || has_modern ? *user : sealed_,
                              has_one || !has_modern ? suite : wire::SUITE_MODERN);
  if (!real) return real;
  if (has_one && !obstacle) return real;
  if (!has_one && !(has_modern && is_imported(real->derivation))) {
    const VerifierShape seen = has_modern ? usual_ : shape_for(name);
    const bool imported = is_imported(seen.derivation);
    const VerifierShape& shape = modern || imported ? seen : usual_historic_;
    auto group = exchange::SrpGroup::listed(shape.bits);
    if (!group) return std::unexpected(group.error());
    real->group = std::move(*group);
    real->derivation = shape.derivation;
    real->salt.resize(shape.salt_size);
    pseudorandom(salts_.reveal(), modern || imported ? "srp" : "srp3", name, real->salt);
  }
  auto v = nobodys_v(real->group);
  if (!v) return std::unexpected(v.error());
  real->v = std::move(*v);
  return real;
}

}  // namespace keyd::daemon
