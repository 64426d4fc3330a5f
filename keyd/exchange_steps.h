// What keyd does alike in every exchange, in the order in which an exchange comes by it: is it offered at all,
// may this client try now, mark the task PENDING, deny, or mark it COMPLETE and go over to the session. Nothing that a
// client can see here depends on whether its user exists, before its proof has been judged, and then the answer is one
// and the same Denied.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "keyd/connection.h"
#include "keyd/exchange.h"
#include "keyd/user_directory.h"

namespace keyd::daemon {

class Server;

// What a client's first message asks for, in every scheme.
struct Offer {
  std::string user;
  table::Scheme scheme;
  wire::Suite suite;
  std::string server_name, renews;
};

[[nodiscard]] table::Suite suite_of(wire::Suite suite);

// Ends an exchange without a verdict. A first one takes its connection along; of a renewal nothing is left but the
// session as it was, on this same connection.
void refuse_exchange(Server& server, Connection& connection, wire::RefusalCode code, std::string text);
void refuse_exchange(Server& server, Connection& connection, wire::ServerPacket refusal);
// Because the store or a stored secret cannot be read: `error` goes to the log, not to the peer.
inline constexpr const char* kUnreadable = "keyd cannot read its store; its log says why";
void tell_unreadable(const std::string& user, const Error& error);
void refuse_unreadable(Server& server, Connection& connection, const std::string& user, const Error& error);

// Whether this exchange may begin: keyd offers it, the client was configured for this server, and neither its source
// nor the name has failed too often. False: it was refused. The message's own fields are the scheme's to check.
[[nodiscard]] bool may_begin(Server& server, Connection& connection, const Offer& offer);

// Too many failed tries from here, or at this name: refused, alike for names that exist and others (try_ledger.h).
[[nodiscard]] bool refuse_if_throttled(Server& server, Connection& connection, const std::string& user,
                                       table::Scheme scheme);

// The refusal alone; nothing: it may try.
[[nodiscard]] std::optional<wire::ServerPacket> throttled(Server& server, const Connection& connection,
                                                          const std::string& user, table::Scheme scheme);

// Marks the process PENDING (or its session as being renewed) and gives the exchange to the connection, whose phase is
// Challenged then. False: refused. The answer to the client leaves after this.
[[nodiscard]] bool mark_pending(Server& server, Connection& connection, kernel::PeerIdentity peer,
                                std::unique_ptr<Exchange> exchange, const std::string& renews);

// Why this user may not log in so: for the audit log alone. Empty: nothing stands against it.
[[nodiscard]] std::string_view obstacle_to(const StoredUser* user, table::Scheme scheme, table::Suite suite);

// A proof that did not hold. Nobody hears or sees of it before the failure is counted for good.
void deny(Server& server, Connection& connection, std::string_view reason);

// The same of an exchange that is not the connection's own: `tell` says so to the client.
void count_denied(Server& server, Connection& connection, const Exchange& exchange, std::string_view reason,
                  std::move_only_function<void()> tell);

// What a success changes in the counts of failed tries.
void count_success(Server& server, Connection& connection, const std::string& user);

// A try to count as failed should nothing come of it: see OpenTry. `obstacle` as above; empty: "given-up".
[[nodiscard]] OpenTry open_try(Server& server, Connection& connection, const Exchange& exchange,
                               std::string_view obstacle);

// What the session has beside its channel.
struct Established {
  exchange::SecureChannel channel;
  Bytes confirmation;  // the server's Finished
  std::optional<CommandKeys> command_keys = {};
  std::optional<exchange::SrpKeys> change_keys = {};  // of a client that can ask for a new password
};
// The proof held: marks the task COMPLETE, makes the session, and confirms. Refused when something has ended the
// exchange in between.
void establish(Server& server, Connection& connection, const StoredUser& user, Established established);

// Gives up the renewal that the connection is in, if it is in one; its session goes on. False, with a refusal sent,
// when it is a first exchange that the client would leave.
[[nodiscard]] bool leave_renewal(Server& server, Connection& connection);

}  // namespace keyd::daemon
