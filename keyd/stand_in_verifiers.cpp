#include "keyd/stand_in_verifiers.h"

#include <algorithm>
#include <array>

#include "core/crypto/random.h"
#include "keyd/pseudorandom.h"

namespace keyd::daemon {
namespace {

constexpr std::size_t kSaltSize = 16;  // octets of a new verifier's, as enrolment.cpp makes them

bool are_alike(const VerifierShape& one, const VerifierShape& other) {
  return one.bits == other.bits && one.derivation == other.derivation && one.salt_size == other.salt_size;
}

// An imported verifier serves both suites, with one salt: who has such a one in the modern suite has the same in the
// historic one, or seems to.
bool is_imported(const exchange::XDerivation& derivation) {
  return derivation.kind == exchange::DerivationKind::kSha1;
}

// The shapes of the historic suite without those of imported users, whose names have them from the modern one.
std::vector<ShapeCount> without_imported(std::vector<ShapeCount> historic,
                                         const std::vector<ShapeCount>& modern) {
  for (ShapeCount& each : historic) {
    const auto same = std::ranges::find(modern, each.shape, &ShapeCount::shape);
    if (same != modern.end()) each.users -= std::min(each.users, same->users);
  }
  return historic;
}

}  // namespace

Result<void> StandInVerifiers::prepare(unsigned group_bits) {
  const auto group = exchange::SrpGroup::listed(group_bits);
  if (!group) return std::unexpected(group.error());
  sealer_.derive("srp stand-in salts", salts_.reveal());
  nobodys_ = secret::SecretBuffer(exchange::kLargestGroupOctets);
  if (!crypto::fill_random_private(nobodys_.reveal())) return fail(Code::kBroken, "no random numbers");
  modern_ = {{group_bits, exchange::kDefaultDerivation, kSaltSize}};
  historic_ = {{group_bits, {}, kSaltSize}};
  sealed_.id = std::string(16, '\0');
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    const bool modern = suite == wire::SUITE_MODERN;
    const auto& derivation = (modern ? modern_ : historic_).usual.derivation;
    auto sealed =
        seal_verifier(sealer_, sealed_.id, suite, {*group, Bytes(kSaltSize), derivation, nobodys_v(*group)});
    if (!sealed) return std::unexpected(sealed.error());
    (modern ? sealed_.sealed_verifier : sealed_.sealed_historic_verifier) = std::move(*sealed);
  }
  return {};
}

void StandInVerifiers::Row::set(std::vector<ShapeCount> counts) {
  shapes.clear();
  users = 0;
  std::ranges::sort(counts, {}, &ShapeCount::shape);
  std::uint64_t usual_ones = 0;
  for (const ShapeCount& each : counts) {
    users += each.users;
    const auto shape = verifier_shape(each.shape);
    if (!shape || are_alike(*shape, usual)) {
      usual_ones += each.users;
    } else {
      shapes.emplace_back(*shape, each.users);
    }
  }
  shapes.emplace_back(usual, usual_ones);
}

const VerifierShape& StandInVerifiers::Row::at(std::uint32_t place) const {
  std::uint64_t left = place * users >> 32;
  for (const auto& [shape, having] : shapes) {
    if (left < having) return shape;
    left -= having;
  }
  return usual;
}

void StandInVerifiers::set_shapes(const UserStore::Shapes& shapes) {
  modern_.set(shapes.verifier);
  historic_.set(without_imported(shapes.historic_verifier, shapes.verifier));
}

const VerifierShape& StandInVerifiers::shape_for(const std::string& name, wire::Suite suite) const {
  std::array<std::uint8_t, 4> place{};
  pseudorandom(salts_.reveal(), suite == wire::SUITE_MODERN ? "place" : "place3", name, place);
  return (suite == wire::SUITE_MODERN ? modern_ : historic_).at(read_be32(place));
}

// Any number below N is g to some power that nobody knows, or nobody's at all; B = k·v + g^b shows none of it. So it takes
// no exponentiation, which the first who asked in a group would have had to wait for.
secret::SecretBuffer StandInVerifiers::nobodys_v(const exchange::SrpGroup& group) const {
  auto v =
      secret::SecretBuffer::copy_of(nobodys_.reveal().first(std::max<std::size_t>(group.octets(), 2) - 1));
  v.reveal().front() |= 2;
  return v;
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
  // The work is the same whatever is answered.
  const VerifierShape& by_name = shape_for(name, wire::SUITE_MODERN);
  const VerifierShape& by_name_historic = modern ? by_name : shape_for(name, wire::SUITE_HISTORIC);
  const VerifierShape& seen = has_modern ? modern_.usual : by_name;
  const bool imported = is_imported(seen.derivation);
  const VerifierShape& shape = modern || imported ? seen : by_name_historic;
  auto group = exchange::SrpGroup::listed(shape.bits);
  if (!group) return std::unexpected(group.error());
  Bytes salt(shape.salt_size);
  pseudorandom(salts_.reveal(), modern || imported ? "srp" : "srp3", name, salt);
  const bool keeps_shape = has_one || (has_modern && is_imported(real->derivation));
  auto v = nobodys_v(keeps_shape ? real->group : *group);
  if (has_one && !obstacle) return real;
  if (!keeps_shape) {
    real->group = std::move(*group);
    real->derivation = shape.derivation;
    real->salt = std::move(salt);
  }
  real->v = std::move(v);
  return real;
}

}  // namespace keyd::daemon
