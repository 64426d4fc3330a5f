// The srp exchange of the fuzzing scene: a user in a group that is small, and everything cheap.
#pragma once

#include <google/protobuf/stubs/logging.h>

#include "core/exchange/srp.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {

inline constexpr int kSrpVariants = 3;
inline wire::SrpStart srp_choice(int number) {
  wire::SrpStart start;
  start.set_user("ada");
  start.set_server_name("keyd.example");
  start.set_suite(number == 0 ? wire::SUITE_MODERN : wire::SUITE_HISTORIC);
  if (number == 2) start.set_interleave(wire::SRP_INTERLEAVE_STANFORD);
  return start;
}

// 4611686018427377339 = 2q + 1, with the generator 2.
inline const exchange::SrpGroup& srp_group() {
  static const exchange::SrpGroup group = [] {
    const Bytes N{0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xd6, 0xbb}, g{2};
    auto made = exchange::SrpGroup::of(N, g);
    must(made.has_value());
    return *made;
  }();
  return group;
}

inline exchange::SrpClientPolicy srp_policy() {
  exchange::SrpClientPolicy policy;
  policy.groups = {.least_bits = 0, .unlisted = true, .approved = {}};
  policy.derivations.sha1 = policy.derivations.sha256 = true;
  policy.derivations.scrypt = false;
  return policy;
}

inline exchange::SrpVerifier srp_record(wire::Suite suite) {
  const exchange::XDerivation how{
      suite == wire::SUITE_MODERN ? exchange::DerivationKind::kSha256 : exchange::DerivationKind::kSha1, {}};
  const Bytes salt(16, 's');
  const auto x = exchange::derive_x(how, bytes_of("ada"), bytes_of(kPassword), salt);
  must(x.has_value());
  return {srp_group(), salt, how, exchange::verifier_of(srp_group(), x->reveal())};
}

}  // namespace keyd::fuzz
