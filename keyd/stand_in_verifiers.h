// What keyd answers with in `srp` for users that do not exist, or may not log in so: the group, derivation and salt that
// a user might have, the same over failures and restarts, and a verifier of no password. stand_in_hashes.h has the idea.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/exchange/srp.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

class StandInVerifiers {
 public:
  explicit StandInVerifiers(const StoreSealer& sealer) : sealer_(sealer) {}

  // To be called once. kBroken: no random numbers. kInvalid: no such group.
  [[nodiscard]] Result<void> prepare(unsigned group_bits);
  void set_shapes(std::vector<ShapeCount> shapes);

  // The stored verifier of `user`; a stand-in where `obstacle` is set, or there is no user. kBroken: it cannot be opened.
  [[nodiscard]] Result<exchange::SrpVerifier> verifier_of(const StoredUser* user, const std::string& name,
                                                          wire::Suite suite, bool obstacle);

 private:
  struct KeyTag;
  using Key = secret::Secret<32, KeyTag>;
  // As users of the modern suite have them.
  [[nodiscard]] VerifierShape shape_for(const std::string& name) const;
  // v of nobody, in this group; any number of names have the same, for nobody ever sees it.
  [[nodiscard]] Result<secret::SecretBuffer> nobodys_v(const exchange::SrpGroup& group);

  const StoreSealer& sealer_;
  Key salts_;
  VerifierShape usual_, usual_historic_;
  std::vector<std::pair<VerifierShape, std::uint64_t>> shapes_;  // the rare ones first
  std::uint64_t users_ = 0;
  std::map<std::size_t, secret::SecretBuffer> v_;  // by the bits of the group
  StoredUser sealed_;                              // to be unsealed where there is nothing else to unseal
};

}  // namespace keyd::daemon
