// Clear passwords at the moment of use (seed 000, claim 11), and nowhere else: unsealed into locked memory
// for one exchange, wiped when it is over. With historic.resident_passwords those of users who may use the
// historic suite stay in locked memory instead (claim 14).
#pragma once

#include <string>
#include <unordered_map>

#include "keyd/user_store.h"

namespace keyd::daemon {

class PasswordSource {
 public:
  static constexpr std::size_t kResident = 1024;  // passwords

  PasswordSource(const StoreSealer& sealer, bool resident) : sealer_(sealer), resident_(resident) {}

  // Prepares the stand-in for users that do not exist or may not log in: as much work as a real one, and a
  // password that nobody has. To be called once, before password_of.
  [[nodiscard]] Result<void> prepare();

  // The user's clear password, or for a null `user` the stand-in's. Valid until done() or the next call.
  [[nodiscard]] Result<ByteView> password_of(const StoredUser* user);
  // The moment of use is over: wipes what is not resident.
  void done() { current_ = {}; }

  // A user was changed or removed: wipes every resident password; those still in use come back at their next
  // use.
  void forget() { held_.clear(); }
  // Whether passwords stay resident from now on; those that do are wiped.
  void set_resident(bool resident) {
    resident_ = resident;
    forget();
  }

 private:
  struct Held {
    Bytes sealed;
    secret::SecretBuffer clear;
  };
  const StoreSealer& sealer_;
  bool resident_;
  StoredUser stand_in_;
  secret::SecretBuffer current_;
  std::unordered_map<std::string, Held> held_;
};

// The moment of use: done() when it goes, however.
class MomentOfUse {
 public:
  explicit MomentOfUse(PasswordSource& source) : source_(source) {}
  ~MomentOfUse() { source_.done(); }
  MomentOfUse(const MomentOfUse&) = delete;
  MomentOfUse& operator=(const MomentOfUse&) = delete;

 private:
  PasswordSource& source_;
};

}  // namespace keyd::daemon
