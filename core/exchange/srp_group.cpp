#include "core/exchange/srp_group.h"

#include <algorithm>
#include <map>
#include <optional>

#include "core/crypto/srp_primes.h"

namespace keyd::exchange {
namespace {

using crypto::Number;

// Made at the first use of each, and kept: preparing the largest takes a tenth of a millisecond, and many ask.
const std::map<unsigned, SrpGroup>& list() {
  static const std::map<unsigned, SrpGroup> groups = [] {
    std::map<unsigned, SrpGroup> out;
    for (const unsigned bits : crypto::kSrpPrimeBits) {
      const auto prime = crypto::srp_prime(bits);
      out.emplace(bits, *SrpGroup::of(prime->modulus.public_octets(), prime->generator.public_octets()));
    }
    return out;
  }();
  return groups;
}

// g^q ≡ -1 modulo N, q = (N-1)/2: where N is a safe prime, g is no square, and so generates everything (but for g = -1,
// which SrpGroup::of refuses).
bool is_no_square(const SrpGroup& group, const Number& q) {
  const crypto::Modulus& N = group.modulus();
  const Number power = N.power(group.generator(), q);
  return Number::compare(power, N.value().minus_one()) == 0;
}

}  // namespace

Result<SrpGroup> SrpGroup::listed(unsigned bits) {
  const auto found = list().find(bits);
  if (found == list().end()) return fail(Code::kInvalid, "RFC 5054 has no group of this size");
  return found->second;
}

Result<SrpGroup> SrpGroup::of(ByteView modulus, ByteView generator) {
  if (modulus.size() > kLargestGroupOctets || generator.size() > kLargestGroupOctets)
    return fail(Code::kInvalid, "the group is too large");
  const Number n = Number::of(modulus);
  Number g = Number::of(generator);
  auto prepared = crypto::Modulus::of(n);
  if (!prepared || g.bits() < 2 || Number::compare(g, n.minus_one()) >= 0)
    return fail(Code::kInvalid, "not a modulus and a generator");
  Bytes n_octets = n.public_octets(), g_octets = g.public_octets();
  return SrpGroup(std::make_shared<const Parts>(
      Parts{std::move(*prepared), std::move(g), std::move(n_octets), std::move(g_octets)}));
}

bool SrpGroup::operator==(const SrpGroup& other) const {
  return std::ranges::equal(modulus_octets(), other.modulus_octets()) &&
         std::ranges::equal(generator_octets(), other.generator_octets());
}

SrpGroup::Fingerprint SrpGroup::fingerprint() const {
  const std::array<std::uint8_t, 2> length{static_cast<std::uint8_t>(octets() >> 8),
                                           static_cast<std::uint8_t>(octets())};
  Fingerprint out{};
  crypto::digest(crypto::Hash::kSha256, {length, modulus_octets(), generator_octets()}, out);
  return out;
}

Result<SrpGroup> accept_group(ByteView modulus, ByteView generator, const GroupPolicy& policy) {
  auto group = SrpGroup::of(modulus, generator);
  if (!group) return group;
  if (group->bits() < policy.least_bits)
    return fail(Code::kRefused, "the group has " + std::to_string(group->bits()) + " bits, fewer than the " +
                                    std::to_string(policy.least_bits) + " that are asked of one");
  const auto known = list().find(static_cast<unsigned>(group->bits()));
  if (known != list().end() && known->second == *group) return known->second;

  const bool approved = std::ranges::find(policy.approved, group->fingerprint()) != policy.approved.end();
  if (!approved && (!policy.unlisted || group->bits() > GroupPolicy::kLargestTested))
    return fail(Code::kRefused, "the group is none of RFC 5054, and not approved");
  // One power, where the test of a prime takes 64: nearly every bad group ends here.
  const Number q = group->modulus().value().half();
  if (!is_no_square(*group, q)) return fail(Code::kRefused, "g does not generate the group");
  if (approved) return group;
  if (!crypto::is_prime(q)) return fail(Code::kRefused, "(N-1)/2 is not prime");
  // Pocklington: q > sqrt(N) is prime and divides N-1; g^(N-1) ≡ 1, and gcd(g^((N-1)/q) - 1, N) = 1. So N is prime, at
  // the price of nothing.
  const crypto::Modulus& N = group->modulus();
  const Number square = N.multiply(group->generator(), group->generator());
  if (!crypto::are_coprime(N.subtract(square, Number::of(1)), N.value()))
    return fail(Code::kRefused, "N is not prime");
  return group;
}

}  // namespace keyd::exchange
