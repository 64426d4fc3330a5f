// What keyd answers with in `srp` for users that do not exist, or may not log in so: the group, derivation and salt that
// a user might have, the same over failures and restarts, and a verifier of no password. stand_in_hashes.h has the idea.
#pragma once

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
  // Of both suites. A verifier without a known shape is one of the usual shape here: of another group than RFC 5054's, which
  // no name can be said to have, or of the historic suite and from before its shape was kept.
  void set_shapes(const UserStore::Shapes& shapes);

  // The stored verifier of `user`; a stand-in where `obstacle` is set, or there is no user. kBroken: it cannot be opened.
  [[nodiscard]] Result<exchange::SrpVerifier> verifier_of(const StoredUser* user, const std::string& name,
                                                          wire::Suite suite, bool obstacle);

 private:
  struct KeyTag;
  using Key = secret::Secret<32, KeyTag>;
  // The shapes that users have in one suite: a row in which each name has its place.
  struct Row {
    VerifierShape usual;
    std::vector<std::pair<VerifierShape, std::uint64_t>> shapes = {};  // the rare ones first
    std::uint64_t users = 0;
    void set(std::vector<ShapeCount> counts);
    [[nodiscard]] const VerifierShape& at(std::uint32_t place) const;
  };
  [[nodiscard]] const VerifierShape& shape_for(const std::string& name, wire::Suite suite) const;
  // v of nobody, in this group; any number of names have the same, for nobody ever sees it.
  [[nodiscard]] secret::SecretBuffer nobodys_v(const exchange::SrpGroup& group) const;

  const StoreSealer& sealer_;
  Key salts_;
  Row modern_, historic_;
  secret::SecretBuffer nobodys_;  // random octets, as many as the largest group's
  StoredUser sealed_;             // to be unsealed where there is nothing else to unseal
};

}  // namespace keyd::daemon
