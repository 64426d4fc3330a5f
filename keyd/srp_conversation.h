// An exchange `srp` from the view of its steps: what they say and how it ends, wherever it runs. That is either on its
// connection, where it makes or renews a session (srp_requests.cpp), or within a session, each packet in a sealed record,
// while the session's traffic goes on beside it (nested_exchange.cpp).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "keyd/connection.h"
#include "keyd/exchange.h"
#include "keyd/request_table.h"

namespace keyd::daemon {

class Server;

// Cheap to copy: a step that waits for the store or a worker keeps one, and asks then whether it is still going on.
class SrpConversation {
 public:
  enum class Place { kConnection, kSession };
  SrpConversation(Server& server, Connection& connection, Place place);

  [[nodiscard]] Server& server() const { return *server_; }
  [[nodiscard]] Connection& connection() const { return *connection_; }
  // Null when it is over.
  [[nodiscard]] Exchange* exchange() const;
  // Null too when it is not the one that drew this session id.
  [[nodiscard]] Exchange* exchange(std::string_view session_id) const;
  [[nodiscard]] bool is_nested() const { return place_ == Place::kSession; }

  void reply(Bytes packet) const;
  // A proof that did not hold: a failed try, and the end of the exchange.
  void deny(std::string_view reason) const;
  // The end of the exchange without a verdict.
  void refuse(wire::RefusalCode code, std::string text) const;
  void refuse_unreadable(const std::string& user, const Error& error) const;
  // Whether another try must wait; then it was refused.
  [[nodiscard]] bool refuse_if_throttled() const;
  // The proof held, and `user` may log in so: what this exchange was for.
  void conclude(const StoredUser& user) const;

 private:
  Server* server_;
  std::shared_ptr<Connection> connection_;
  Place place_;
};

// Takes the client's next message, whatever is awaited: the steps after the Challenge.
void take_srp_message(const SrpConversation& conversation, const wire::SrpPacket& message, ByteView packet);

// The machine for a start, and its Challenge; nothing when it was refused.
struct BegunSrp {
  std::unique_ptr<Exchange> exchange;
  Bytes challenge;
};
[[nodiscard]] std::optional<BegunSrp> begin_srp(const SrpConversation& conversation, ByteView packet,
                                                const wire::SrpStart& start, const StoredUser* user);

}  // namespace keyd::daemon
