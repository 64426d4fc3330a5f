// The groups that SRP computes in: N a safe prime, g a generator of all of 1 … N-1 (seed 002, step 316: every A below
// P is some power of G). Those of RFC 5054, appendix A, are known by heart; what a peer sends is one of them, or is
// tested, or approved, or refused. RFC 5054 section 3.2: a client that takes any N lets the server choose one in which
// it can search the password.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/crypto/bignum.h"
#include "core/crypto/digest.h"

namespace keyd::exchange {

inline constexpr unsigned kDefaultGroupBits = 3072;
// The fewest of a verifier's that was made elsewhere, where an administrator or a user says so, and never a peer: below, a
// logarithm is a matter of days, and v gives the password away.
inline constexpr unsigned kLeastGroupBits = 1024;
inline constexpr unsigned kLargestGroupBits = 8192;
inline constexpr std::size_t kLargestGroupOctets = kLargestGroupBits / 8;

// A group in the form in which it is computed with. Cheap to copy; any number of threads may use one.
class SrpGroup {
 public:
  // The group of RFC 5054 with a modulus of so many bits. kInvalid: there is none.
  [[nodiscard]] static Result<SrpGroup> listed(unsigned bits);
  // N and g as an owner of the group gives them, e.g. keyd's own store. Sizes and shape are checked, primality is not
  // (accept_group does). kInvalid: N is even or above kLargestGroupBits, or g is not 2 … N-2.
  [[nodiscard]] static Result<SrpGroup> of(ByteView modulus, ByteView generator);

  [[nodiscard]] const crypto::Modulus& modulus() const { return parts_->modulus; }
  [[nodiscard]] const crypto::Number& generator() const { return parts_->generator; }
  // Big-endian without leading zeros.
  [[nodiscard]] ByteView modulus_octets() const { return parts_->modulus_octets; }
  [[nodiscard]] ByteView generator_octets() const { return parts_->generator_octets; }
  [[nodiscard]] std::size_t octets() const { return parts_->modulus_octets.size(); }
  [[nodiscard]] std::size_t bits() const { return parts_->modulus.value().bits(); }
  [[nodiscard]] bool operator==(const SrpGroup& other) const;

  // What an administrator approves it by: SHA-256(be16(length of N) | N | g).
  using Fingerprint = std::array<std::uint8_t, crypto::kSha256Size>;
  [[nodiscard]] Fingerprint fingerprint() const;

 private:
  struct Parts {
    crypto::Modulus modulus;
    crypto::Number generator;
    Bytes modulus_octets, generator_octets;
  };
  explicit SrpGroup(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const Parts> parts_;
};

// Which groups of a peer are taken.
struct GroupPolicy {
  unsigned least_bits = 2048;  // of any group
  // Others than those of RFC 5054, of at most kLargestTested bits, when they pass the tests.
  bool unlisted = false;
  // Others of any size up to kLargestGroupBits, which an administrator has tested.
  std::vector<SrpGroup::Fingerprint> approved;

  // What testing costs grows with the third to fourth power of the size: 0.1 s at 2048 bits.
  static constexpr unsigned kLargestTested = 2048;
};

// The group that a peer names, if the policy takes it. In order: sizes, the list and the approved ones, then the tests,
// the cheap ones first (docs/protocols/srp.md, "Groups"). kInvalid: no group. kRefused: not by this policy.
[[nodiscard]] Result<SrpGroup> accept_group(ByteView modulus, ByteView generator, const GroupPolicy& policy);

}  // namespace keyd::exchange
