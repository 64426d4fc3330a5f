// The remote change of passwords, the server's side (seed 002, steps 310 to 318; docs/protocols/password-change.md):
// decides when one is due, has it written down, shows it in the task table, asks the sessions whose clients can ask
// their user, asks again, and disables a user who was asked too often and did not answer. The request handlers are in
// change_requests.cpp. Event loop only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "core/base/clock.h"
#include "keyd/change_policy.h"
#include "keyd/connection.h"
#include "keyd/password_change.h"
#include "keyd/placed_parameters.h"

namespace keyd::daemon {

class Server;

inline constexpr const char* kSuiteNotOffered =
    "this session is of the historic suite, which keyd does not offer any more; log in by the modern one";

class PasswordChanges {
 public:
  // Without a directory parameters are never placed.
  PasswordChanges(Server& server, std::optional<PlacedDirectory> directory);

  // ---- a session's life
  // Its part, for a client that can ask for a new password; null when its account has no room for the keys: then the
  // session is shown CHANGE_DUE and not asked.
  [[nodiscard]] std::unique_ptr<PasswordChange> part_of(const Connection& connection, const std::string& user,
                                                        wire::Suite suite, exchange::SrpKeys keys,
                                                        Bytes made_by);
  // The task is COMPLETE; `user` as it was judged.
  void session_began(Connection& connection, const StoredUser& user);
  // A record was opened or is about to be sealed.
  void carried(Connection& connection, std::size_t octets);
  // The client has verified the question of this serial.
  void received(Connection& connection, std::uint64_t serial);
  void session_ended(Connection& connection);
  // It was re-authenticated within: it has other keys, and what was asked under the earlier ones is asked anew.
  void renewed(Connection& connection, exchange::SrpKeys keys, Bytes made_by);
  // An exchange is nested in it, and goes when its time is up.
  void watch_nested(Connection& connection) { nesting_.insert(connection.weak_from_this()); }
  // An exec is planned: what comes after it has no keys of a change.
  void handed_over(Connection& connection);

  // ---- questions
  // kFailed: the log says why. kNotOffered: the session's suite is none that keyd offers any more.
  enum class Asked { kAsked, kNotDue, kNotOffered, kFailed };
  // Lays a question for the session's next reply, if there is none already; `done` when that has come to something, empty
  // where nobody waits for it: what fails then is tried with the next question. `wanted`: the user's own wish.
  void ask(Connection& connection, bool wanted, std::function<void(Asked)> done);
  // Whether keyd offers the suite of this session still.
  [[nodiscard]] bool offers(const PasswordChange& change) const;
  // The store has it that this change is due: shown and asked wherever the user has a session.
  void due(const std::string& user, const DueChange& due);
  // An administrator gave another password, disabled or removed the user: what was carried is of no account.
  void forget_user(const std::string& user);
  // The user has changed the password: nothing is due.
  void settled(const std::string& user, std::uint64_t password_changed);

  // Asks again, looks at ages, and has what was carried stored.
  void tick(BootTime now);
  // Has everything stored that was carried; forgets users without a session.
  void store_use();

 private:
  [[nodiscard]] std::shared_ptr<PasswordUse> use_of(const StoredUser& user);
  [[nodiscard]] PasswordUse* find(const std::string& user);  // null: no session of that user
  void judge(PasswordUse& use);
  void lay_question(Connection& connection, const StoredUser& user);
  void forget_question(Connection& connection);
  // False: no session can be asked.
  bool ask_all(PasswordUse& use);
  void drop_late_exchanges(BootTime now);
  void overdue(PasswordUse& use);
  template <typename Visit>
  void each_session(const PasswordUse& use, Visit visit);

  Server& server_;
  std::optional<PlacedDirectory> directory_;
  std::unordered_map<std::string, std::shared_ptr<PasswordUse>> uses_;  // by user id; of users with a session
  std::set<std::weak_ptr<Connection>, std::owner_less<>> nesting_;      // each once, however often it begins
  BootTime swept_ = 0;
};

}  // namespace keyd::daemon
