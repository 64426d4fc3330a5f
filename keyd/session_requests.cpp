// Requests inside a session. Every one of them passes through handle_record, which opens the record, finds
// the request in its table, and has the process confirmed before anything is done for it.
#include <array>
#include <utility>

#include "core/crypto/random.h"
#include "core/table/task_terms.h"
#include "keyd/exchange_steps.h"
#include "keyd/nested_exchange.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {

void refuse_sealed(Connection& connection, wire::RefusalCode code, std::string text) {
  wire::SessionReply reply;
  reply.mutable_refused()->set_code(code);
  reply.mutable_refused()->set_text(std::move(text));
  connection.reply_sealed(reply);
}

namespace {

using Fresh = std::array<std::uint8_t, 32>;

// Both sides' fresh octets for a new epoch; false, with a refusal sent, when the client's are not 32.
bool draw_fresh(Connection& connection, const wire::Fresh& client, Fresh& server_fresh) {
  if (client.random().size() != server_fresh.size()) {
    refuse_sealed(connection, wire::REFUSAL_MALFORMED, "fresh octets are 32");
    return false;
  }
  if (!crypto::fill_random(server_fresh)) {
    refuse_sealed(connection, wire::REFUSAL_INTERNAL, "keyd has no random numbers");
    return false;
  }
  return true;
}

// Where each command has a key of its own, the one at hand carries one command and then the next key alone.
bool command_key_is_fresh(Connection& connection, wire::SessionRequest::BodyCase type) {
  auto& keys = connection.session->command_keys;
  if (!keys || type == wire::SessionRequest::kFreshKey) return true;
  if (!std::exchange(keys->used, true)) return true;
  refuse_sealed(connection, wire::REFUSAL_OUT_OF_ORDER,
                "each command of this session has a key of its own: ask for it");
  return false;
}

// Whether the process still is what its record says, asked before anything is done for it. False: it was told
// that the session is over, or that keyd cannot say now.
bool confirmed(Server& server, Connection& connection) {
  switch (server.tasks().confirm(connection.peer().inode, connection.session->id)) {
    case ConfirmOutcome::kConfirmed: return true;
    case ConfirmOutcome::kBusy:
      if (connection.closed()) return false;
      refuse_sealed(connection, wire::REFUSAL_BUSY,
                    "keyd is behind with the kernel's process events; try again in a moment");
      return false;
    case ConfirmOutcome::kOver: break;
  }
  connection.refuse(wire::REFUSAL_GONE, "the record of this process was revoked or has expired");
  return false;
}

// The store has answered about a credential: to the process with it, if it may still have it.
void release_credential(Server& server, Connection& connection, const std::string& name,
                        const Result<std::optional<Bytes>>& sealed) {
  AuditEvent event = event_of(connection, "credential.refused");
  event.user = connection.session->user;
  event.session = to_hex(bytes_of(connection.session->id));
  event.object = name;
  const auto refuse = [&](wire::RefusalCode code, const char* text, const char* reason) {
    event.reason = reason;
    server.audit().write(event);
    refuse_sealed(connection, code, text);
  };
  if (!sealed) {
    log::error(sealed.error().message());
    refuse(wire::REFUSAL_INTERNAL, "keyd cannot read its store; its log says why", "store");
    return;
  }
  if (!*sealed) {
    refuse(wire::REFUSAL_NOT_FOUND, "the user has no credential of this name", "not-found");
    return;
  }
  const auto value = unseal_credential(server.sealer(), connection.session->user_id, name, **sealed);
  if (!value) {
    log::error(value.error().message());
    refuse(wire::REFUSAL_INTERNAL, "keyd cannot read its store; its log says why", "store");
    return;
  }
  // Once more, now that it is about to leave: the store took its time, and the process may have used it.
  if (!confirmed(server, connection)) return;
  wire::SessionReply reply;
  reply.mutable_credential();
  connection.reply_sealed(reply, value->reveal());
  event.event = "credential.released";
  server.audit().write(event);
}

}  // namespace

void handle_record(Server& server, Connection& connection, const ClientRequest& request) {
  // A client that sends a record in a renewal has given it up and goes on with the session it has.
  if (!leave_renewal(server, connection)) return;
  const auto plaintext =
      connection.session->channel.open(exchange::RecordType::kSession, bytes_of(request.message.record()));
  wire::SessionRequest message;
  ByteView payload;
  if (!plaintext || !wire::decode_session(plaintext->reveal(), message, payload)) {
    connection.refuse(wire::REFUSAL_MALFORMED, "not the next record of this session; it is over");
    return;
  }
  const std::uint64_t inode = connection.peer().inode;
  if (!confirmed(server, connection)) return;
  server.tasks().count_record(inode, plaintext->size());
  server.changes().carried(connection, plaintext->size());
  server.changes().received(connection, message.change_received());
  for (const SessionEntry& entry : session_requests()) {
    if (entry.type != message.body_case()) continue;
    if ((entry.phases & static_cast<std::uint8_t>(connection.phase)) == 0) break;
    if (!command_key_is_fresh(connection, entry.type)) return;
    entry.handle(server, connection, {message, payload});
    return;
  }
  refuse_sealed(connection, wire::REFUSAL_OUT_OF_ORDER, "no such request in this phase of the session");
}

void handle_whoami(Server& server, Connection& connection, const SessionRequest&) {
  const auto task = server.tasks().look_up(connection.peer().inode);
  if (!task) {
    refuse_sealed(connection, wire::REFUSAL_GONE, "the record is gone");
    return;
  }
  wire::SessionReply reply;
  wire::WhoAmI& who = *reply.mutable_whoami();
  who.set_user(connection.session->user);
  who.set_scheme(std::string(table::name_of(task->record.scheme)));
  who.set_suite(std::string(table::name_of(task->record.suite)));
  who.set_tier(std::string(table::name_of(task->record.tier)));
  who.set_session_id(connection.session->id);
  who.set_complete_since(task->record.complete_since);
  who.set_expires(task->record.expires);
  who.set_exec_generation(task->word.exec_generation);
  who.set_epoch(connection.session->channel.epoch());
  who.set_inode(task->record.inode);
  connection.reply_sealed(reply);
}

void handle_rekey(Server& server, Connection& connection, const SessionRequest& request) {
  Fresh fresh{};
  if (!draw_fresh(connection, request.message.rekey(), fresh)) return;
  wire::SessionReply reply;
  reply.mutable_rekey()->set_random(fresh.data(), fresh.size());
  connection.reply_sealed(reply);
  if (connection.closed()) return;
  // The answer was the old epoch's last record; both ends go on from here.
  connection.session->channel.advance(bytes_of(request.message.rekey().random()), fresh);
  server.tasks().set_epoch(connection.peer().inode, connection.session->channel.epoch());
}

void handle_end(Server& server, Connection& connection, const SessionRequest&) {
  wire::SessionReply reply;
  reply.mutable_end();
  server.disown(connection);
  server.tasks().revoke(connection.peer().inode, table::Reason::kEnded);
  connection.close_after_reply();
  connection.reply_sealed(reply);
}

void handle_credential(Server& server, Connection& connection, const SessionRequest& request) {
  const std::string name = request.message.credential().name();
  server.store().post(
      connection.account(),
      [user_id = connection.session->user_id, name](UserStore& store) {
        return store.credential(user_id, name);
      },
      [&server, self = connection.shared_from_this(), name](const Result<std::optional<Bytes>>& sealed) {
        if (self->closed() || self->session == nullptr) return;
        self->attempt([&] { release_credential(server, *self, name, sealed); });
      });
}

void handle_credential_names(Server& server, Connection& connection, const SessionRequest&) {
  server.store().post(
      connection.account(),
      [user = connection.session->user](UserStore& store) { return store.credentials(user); },
      [&server, self = connection.shared_from_this()](const Result<std::vector<CredentialEntry>>& entries) {
        if (self->closed() || self->session == nullptr) return;
        self->attempt([&] {
          if (!confirmed(server, *self)) return;
          if (!entries) {
            refuse_sealed(*self, wire::REFUSAL_INTERNAL, "keyd cannot read its store; its log says why");
            return;
          }
          wire::SessionReply reply;
          wire::CredentialNames& names = *reply.mutable_credential_names();
          for (const CredentialEntry& entry : *entries) names.add_names(entry.name);
          self->reply_sealed(reply);
        });
      });
}

void handle_plan_exec(Server& server, Connection& connection, const SessionRequest& request) {
  Fresh fresh{};
  if (!draw_fresh(connection, request.message.plan_exec(), fresh)) return;
  leave_nested(server, connection);
  if (!server.tasks().plan_exec(connection.peer().inode)) {
    refuse_sealed(connection, wire::REFUSAL_GONE, "the record is not one that can survive an exec");
    return;
  }
  server.changes().handed_over(connection);
  wire::SessionReply reply;
  reply.mutable_plan_exec()->set_random(fresh.data(), fresh.size());
  connection.reply_sealed(reply);
  if (connection.closed()) return;
  connection.session->channel.advance(bytes_of(request.message.plan_exec().random()), fresh);
  server.tasks().set_epoch(connection.peer().inode, connection.session->channel.epoch());
  connection.phase = Phase::kHandedOver;
}

void handle_adopt(Server& server, Connection& connection, const SessionRequest& request) {
  if (connection.session->command_keys) {
    refuse_sealed(
        connection, wire::REFUSAL_POLICY,
        "a session with a key for each command is not handed over: the hash stays with the first image");
    return;
  }
  Fresh fresh{};
  if (!draw_fresh(connection, request.message.adopt(), fresh)) return;
  wire::SessionReply reply;
  reply.mutable_adopt()->set_random(fresh.data(), fresh.size());
  connection.reply_sealed(reply);
  if (connection.closed()) return;
  connection.session->channel.advance_for_new_image(bytes_of(request.message.adopt().random()), fresh);
  server.tasks().set_epoch(connection.peer().inode, connection.session->channel.epoch());
  server.tasks().adopted(connection.peer().inode);
  if (connection.closed()) return;  // what adopted() has heard may have ended it
  connection.phase = Phase::kEstablished;
}

void handle_echo(Server&, Connection& connection, const SessionRequest& request) {
  wire::SessionReply reply;
  reply.mutable_echo();
  connection.reply_sealed(reply, request.payload);
}

}  // namespace keyd::daemon
