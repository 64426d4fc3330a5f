// The two ends of a change of password in a group of 62 bits, with fixed keys; `number` counts the variants.
#pragma once

#include "core/exchange/srp_password_change.h"
#include "tests/fuzz/scene.h"
#include "tests/fuzz/srp_scene.h"

namespace keyd::fuzz {

inline constexpr int kChangeVariants = 4;  // modern; historic as type 19 and as a vendor's; modern, placed

inline bool change_is_historic(int number) { return number == 1 || number == 2; }

inline exchange::SrpKeys change_keys(int number) {
  const Bytes K(40, 1), th(32, 2), rc(32, 3), rs(32, 4);
  return change_is_historic(number) ? exchange::historic_srp_keys(K, rc, rs)
                                    : exchange::modern_srp_keys(K, th);
}
inline exchange::ChangeContext change_context(int number) {
  return {"ada", change_is_historic(number) ? wire::SUITE_HISTORIC : wire::SUITE_MODERN};
}
inline exchange::XDerivation change_derivation(int number) {
  return {change_is_historic(number) ? exchange::DerivationKind::kSha1 : exchange::DerivationKind::kSha256,
          {}};
}
inline exchange::VerifierParameters change_parameters(int number, char salt) {
  return {srp_group(), Bytes(16, static_cast<std::uint8_t>(salt)), change_derivation(number)};
}
// What the server asks first.
inline exchange::PasswordChangeServer::Question change_question(int number, std::uint64_t serial) {
  exchange::PasswordChangeServer::Question question{.serial = serial,
                                                    .fresh = change_parameters(number, 'n')};
  question.as_eap_srp = number == 1;
  if (number == 3) question.place = "0123456789abcdef0123456789abcdef";
  return question;
}

}  // namespace keyd::fuzz
