// An exchange `srp` within a session, for a change of password: the old one is proved before it, and the new one used
// after it, while the session's other requests go on. Each of its packets travels in a sealed record.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "keyd/connection.h"
#include "keyd/exchange.h"

namespace keyd::daemon {

class Server;

// What a connection's session has of it. Null: nothing runs.
[[nodiscard]] Exchange* nested_exchange(Connection& connection);

// The client goes on otherwise: nothing runs any more, and the session is as it was.
void leave_nested(Server& server, Connection& connection);

// The steps' ways out (srp_conversation.h).
void reply_nested(Connection& connection, ByteView packet);
void deny_nested(Server& server, Connection& connection, std::string_view reason);
void refuse_nested(Server& server, Connection& connection, wire::RefusalCode code, std::string text);
void refuse_nested(Server& server, Connection& connection, wire::Refused refusal);
// The proof held. An old password: noted. A re-authentication: the task's record is renewed, and with the confirmation,
// the last record under the old keys, both ends go over to the new ones (seed 002, steps 320 to 328).
void conclude_nested(Server& server, Connection& connection, const StoredUser& user,
                     exchange::SrpServer& machine, Bytes confirmation);

}  // namespace keyd::daemon
