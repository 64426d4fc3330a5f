#include "keyd/nested_exchange.h"

#include "core/table/task_terms.h"
#include "keyd/exchange_steps.h"
#include "keyd/password_change.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"
#include "keyd/srp_conversation.h"

namespace keyd::daemon {
namespace {

std::unique_ptr<NestedExchange>* place_of(Connection& connection) {
  if (connection.session == nullptr || connection.session->change == nullptr) return nullptr;
  return &connection.session->change->nested;
}

// Gives it up; the session stays as it was.
void drop_nested(Server& server, Connection& connection, table::Reason reason) {
  auto* const place = place_of(connection);
  if (place == nullptr || *place == nullptr) return;
  const auto nested = std::move(*place);
  if (nested->purpose == wire::NESTED_PURPOSE_REAUTHENTICATE)
    server.tasks().fail(connection.peer().inode, nested->exchange->session_id, reason);
}

// Whether the nested exchange is one about this very session.
bool belongs_here(Server& server, const Connection& connection, const wire::SrpStart& start) {
  const Session& session = *connection.session;
  return exchange::check_start(start) && start.user() == session.user && start.renews() == session.id &&
         start.suite() == session.change->context.suite && start.server_name() == server.config().server_name;
}

const char* refusal_to_renew(BeginOutcome outcome, wire::RefusalCode& code) {
  switch (outcome) {
    case BeginOutcome::kFull:
      code = wire::REFUSAL_BUSY;
      return "too many exchanges are pending; try again later";
    case BeginOutcome::kBusy:
      code = wire::REFUSAL_BUSY;
      return "keyd is behind with the kernel's process events; try again in a moment";
    case BeginOutcome::kAlready: code = wire::REFUSAL_ALREADY; return "the session is being renewed already";
    default: code = wire::REFUSAL_GONE; return "the session cannot be renewed now";
  }
}

// Charged, and for a re-authentication the task is marked: then the exchange is the session's.
bool take_place(Server& server, Connection& connection, const wire::SrpStart& start,
                wire::NestedPurpose purpose, std::unique_ptr<Exchange> exchange) {
  auto nested = std::make_unique<NestedExchange>(NestedExchange{purpose, std::move(exchange), {}});
  if (purpose == wire::NESTED_PURPOSE_REAUTHENTICATE) {
    const ExchangeSubject subject{nested->exchange->user, nested->exchange->scheme, nested->exchange->suite,
                                  nested->exchange->session_id, start.renews()};
    auto peer = connection.take_identified_peer();
    if (const auto outcome = server.tasks().begin(peer, subject); outcome != BeginOutcome::kPending) {
      if (connection.closed()) return false;
      wire::RefusalCode code{};
      const char* const text = refusal_to_renew(outcome, code);
      refuse_sealed(connection, code, text);
      return false;
    }
  } else {
    auto charge = server.quota().take(Resource::kPending, connection.peer().ids.euid);
    if (!charge) {
      refuse_sealed(connection, wire::REFUSAL_BUSY, "too many exchanges are pending; try again later");
      return false;
    }
    nested->charge = std::move(*charge);
  }
  if (connection.closed()) return false;
  nested->deadline =
      boot_now() + static_cast<std::uint64_t>(server.config().pending_deadline.count()) * kSecond;
  connection.session->change->nested = std::move(nested);
  server.changes().watch_nested(connection);
  return true;
}

void begin_nested(Server& server, Connection& connection, wire::NestedPurpose purpose, ByteView packet,
                  const wire::SrpStart& start) {
  drop_nested(server, connection, table::Reason::kNone);  // a new start gives the one before up
  if (!belongs_here(server, connection, start)) {
    refuse_sealed(connection, wire::REFUSAL_MALFORMED, "not an exchange about this session");
    return;
  }
  if (!server.changes().offers(*connection.session->change)) {
    refuse_sealed(connection, wire::REFUSAL_POLICY, kSuiteNotOffered);
    return;
  }
  if (auto refusal = throttled(server, connection, start.user(), table::Scheme::kSrp)) {
    refuse_nested(server, connection, std::move(*refusal->mutable_refused()));
    return;
  }
  if (!server.noise().trustworthy()) {
    refuse_sealed(connection, wire::REFUSAL_INTERNAL, "keyd has no random numbers; its log says why");
    return;
  }
  server.users().find(connection.account(), start.user(),
                      [&server, self = connection.shared_from_this(), start, purpose,
                       packet = Bytes(packet.begin(), packet.end())](const Result<UserPtr>& user) {
                        if (self->closed() || place_of(*self) == nullptr) return;
                        const SrpConversation conversation(server, *self, SrpConversation::Place::kSession);
                        self->attempt([&] {
                          if (!user) return conversation.refuse_unreadable(start.user(), user.error());
                          auto begun = begin_srp(conversation, packet, start, user->get());
                          if (begun && take_place(server, *self, start, purpose, std::move(begun->exchange)))
                            reply_nested(*self, begun->challenge);
                        });
                      });
}

}  // namespace

Exchange* nested_exchange(Connection& connection) {
  auto* const place = place_of(connection);
  return place == nullptr || *place == nullptr ? nullptr : (*place)->exchange.get();
}

void handle_nested(Server& server, Connection& connection, const SessionRequest& request) {
  const wire::NestedPurpose purpose = request.message.nested().purpose();
  if (connection.session->change == nullptr) {
    refuse_sealed(connection, wire::REFUSAL_POLICY,
                  "only a session made by srp that can ask for a password has this");
    return;
  }
  wire::ClientPacket packet;
  if (request.payload.size() > wire::kMaxPlainPacket ||
      wire::decode(request.payload, packet) != wire::Decoded::kMessage ||
      !wire::NestedPurpose_IsValid(purpose) || purpose == wire::NESTED_PURPOSE_UNSPECIFIED) {
    refuse_sealed(connection, wire::REFUSAL_MALFORMED, "not a packet of a nested exchange");
    return;
  }
  if (packet.has_srp_start()) {
    begin_nested(server, connection, purpose, request.payload, packet.srp_start());
    return;
  }
  const auto& nested = connection.session->change->nested;
  if (!packet.has_srp() || nested == nullptr || nested->purpose != purpose) {
    refuse_sealed(connection, wire::REFUSAL_OUT_OF_ORDER, "no such nested exchange has begun");
    return;
  }
  if (nested->deadline <= boot_now()) {
    refuse_nested(server, connection, wire::REFUSAL_DEADLINE, "the exchange took too long; start it again");
    return;
  }
  take_srp_message({server, connection, SrpConversation::Place::kSession}, packet.srp(), request.payload);
}

void leave_nested(Server& server, Connection& connection) {
  drop_nested(server, connection, table::Reason::kNone);
}

// ---- the steps' ways out

void reply_nested(Connection& connection, ByteView packet) {
  wire::SessionReply reply;
  reply.mutable_nested();
  connection.reply_sealed(reply, packet);
}

void deny_nested(Server& server, Connection& connection, std::string_view reason) {
  count_denied(server, connection, *nested_exchange(connection), reason,
               [&server, self = connection.shared_from_this()] {
                 if (self->closed() || self->session == nullptr) return;
                 self->attempt([&] {
                   drop_nested(server, *self, table::Reason::kWrongProof);
                   if (self->closed()) return;
                   wire::ServerPacket packet;
                   packet.mutable_denied();
                   reply_nested(*self, wire::encode(packet));
                 });
               });
}

void refuse_nested(Server& server, Connection& connection, wire::Refused refusal) {
  drop_nested(server, connection, table::Reason::kNone);
  if (connection.closed()) return;
  wire::SessionReply reply;
  *reply.mutable_refused() = std::move(refusal);
  connection.reply_sealed(reply);
}

void refuse_nested(Server& server, Connection& connection, wire::RefusalCode code, std::string text) {
  wire::Refused refusal;
  refusal.set_code(code);
  refusal.set_text(std::move(text));
  refuse_nested(server, connection, std::move(refusal));
}

namespace {

// Long enough to think of a password, too short for who finds the terminal later.
constexpr std::uint64_t kProofHolds = 600 * kSecond;

void note_old_password(Server& server, Connection& connection, Bytes confirmation) {
  PasswordChange& change = *connection.session->change;
  change.proved_secret = std::move(change.nested->exchange->secret_at_start);
  change.proof_holds_until = boot_now() + kProofHolds;
  change.nested.reset();
  AuditEvent event = event_of(connection, "password.old-proved");
  event.user = connection.session->user;
  event.session = to_hex(bytes_of(connection.session->id));
  server.audit().write(event);
  reply_nested(connection, confirmation);
}

}  // namespace

void conclude_nested(Server& server, Connection& connection, const StoredUser& user,
                     exchange::SrpServer& machine, Bytes confirmation) {
  if (connection.session->change->nested->purpose == wire::NESTED_PURPOSE_OLD_PASSWORD) {
    note_old_password(server, connection, std::move(confirmation));
    return;
  }
  auto channel = machine.take_channel();
  auto keys = machine.take_keys();
  if (const auto completed =
          server.tasks().complete(connection.peer().inode, nested_exchange(connection)->session_id);
      completed != CompleteOutcome::kComplete) {
    if (connection.closed()) return;
    const bool late = completed == CompleteOutcome::kDeadline;
    refuse_nested(server, connection, late ? wire::REFUSAL_DEADLINE : wire::REFUSAL_BUSY,
                  late ? "the exchange took too long; start it again" : "the session cannot be renewed now");
    return;
  }
  Session& session = *connection.session;
  std::string id = session.change->nested->exchange->session_id;
  Bytes made_by = std::move(session.change->nested->exchange->secret_at_start);
  session.change->nested.reset();
  reply_nested(connection, confirmation);  // the last record under the old keys
  if (connection.closed()) return;
  session.channel = std::move(channel);
  session.id = std::move(id);
  server.changes().renewed(connection, std::move(keys), std::move(made_by));
  count_success(server, connection, user.name);
}

}  // namespace keyd::daemon
