// What keyd answers with in `kryptoknight` for users that do not exist, or may not log in so: a setting and salt that
// stay the same over failures and restarts, and a hash that no password has. As much work as a real one.
//
// A name that nobody has is given a salt by HMAC under a key of the store, and the method and cost that a user of the
// store might have: of N users with a hash, drawn by the name, so that imported old hashes do not stand out. A user
// who may not log in keeps the setting that he has; only the hash is another.
#pragma once

#include <string>
#include <vector>

#include "core/exchange/kryptoknight.h"
#include "core/exchange/kryptoknight_password.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

class StandInHashes {
 public:
  explicit StandInHashes(const StoreSealer& sealer) : sealer_(sealer) {}

  // To be called once, before hash_of. kBroken: no random numbers.
  [[nodiscard]] Result<void> prepare();
  // How new hashes are made from now on: names get such a setting where the store has none to imitate.
  [[nodiscard]] Result<void> set_resalting(const exchange::Resalting& resalting);
  // The shapes that the store's hashes have.
  void set_shapes(const UserStore::Shapes& shapes);

  // The stored hash of `user`; a stand-in where `obstacle` is set, or there is no user. `name` is as the client said
  // it. kBroken: the store's secret cannot be opened.
  [[nodiscard]] Result<exchange::PasswordHash> hash_of(const StoredUser* user, const std::string& name,
                                                       wire::Suite suite, bool obstacle) const;

 private:
  [[nodiscard]] exchange::PasswordHash invented(const std::string& name, wire::Suite suite) const;
  struct KeyTag;
  using Key = secret::Secret<32, KeyTag>;

  const StoreSealer& sealer_;
  Key salts_, hashes_;  // HMAC keys: of the store, and of this run
  // The shapes of a suite's hashes in a row, the rare ones first, and how many users have one.
  struct Row {
    std::string usual;
    std::vector<ShapeCount> shapes;
    std::uint64_t users = 0;
    void set(std::vector<ShapeCount> counts);
    // `place`: 0 to 2^32 - 1 stands for the row from its beginning to its end.
    [[nodiscard]] const std::string& at(std::uint32_t place) const;
  };
  Row crypt_, md5_;
  StoredUser sealed_;  // to be unsealed where there is nothing else to unseal
};

}  // namespace keyd::daemon
