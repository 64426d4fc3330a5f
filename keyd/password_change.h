// What a session holds of the change of its user's password (password_changes.h has the whole), and what all sessions of
// a user share of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/exchange/srp_password_change.h"
#include "keyd/exchange.h"
#include "keyd/quota.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

class Connection;

// An exchange `srp` within the session (nested_exchange.h).
struct NestedExchange {
  wire::NestedPurpose purpose;
  std::unique_ptr<Exchange> exchange;
  Charge charge;  // of an old password's proof; a re-authentication is charged by the task registry
  BootTime deadline = 0;
};

// The part of a session that `srp` has made and whose client can ask its user for a new password.
struct PasswordChange {
  PasswordChange(exchange::SrpKeys keys, const exchange::ChangeContext& about, Bytes verifier,
                 Charge for_keys)
      : context(about),
        machine(std::move(keys), about),
        made_by(std::move(verifier)),
        charge(std::move(for_keys)) {}
  void forget_question() {
    machine.withdraw();
    question.Clear();
    place.clear();
    to_be_sent = received = false;
    proved_secret.clear();
  }

  exchange::ChangeContext context;
  exchange::PasswordChangeServer machine;
  Bytes made_by;  // the verifier, sealed, that this session was made by: what "as before" means to its client
  Charge charge;  // for the keys
  std::uint64_t questions = 0;  // asked so far: the serial of the last
  wire::ChangeRequest question = {};
  bool to_be_sent = false;  // with the next reply
  bool received = false;    // the client has said that it verified the question
  std::string place = {};   // of placed parameters: the file's name
  // The user's verifier, sealed, by which the old password was proved; empty: it was not.
  Bytes proved_secret = {};
  BootTime proof_holds_until = 0;
  std::unique_ptr<NestedExchange> nested = {};
};

// What the sessions of one user have carried under the password, and whether it is to be changed.
struct PasswordUse {
  std::string user_id, user;
  std::uint64_t password_changed = 0;                       // seconds since the Unix epoch
  std::uint64_t octets = 0, records = 0;                    // as stored, and since
  std::uint64_t unstored_octets = 0, unstored_records = 0;  // of these
  std::vector<std::weak_ptr<Connection>> sessions = {};
  DueChange due = {};
  // The store is about to say that it is due; or it could not, and is asked once more with the next sweep.
  bool being_asked = false;
  unsigned answers = 0;    // on their way to the store: whoever has answered is not late
  BootTime ask_again = 0;  // 0: nobody was asked
};

}  // namespace keyd::daemon
