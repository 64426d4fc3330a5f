// The `srp` exchange as keyd serves it; core/exchange/srp.h has the conversation. What takes long, the exponentiations
// of a proof, is done on a worker thread; the machine goes there and comes back.
#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/random.h"
#include "keyd/exchange_steps.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"
#include "keyd/srp_conversation.h"

namespace keyd::daemon {
namespace {

using exchange::SrpServer;

// What a proof that did not hold is put down to.
std::string_view reason_of(const Exchange& exchange) {
  return exchange.obstacle.empty() ? std::string_view("wrong-proof") : exchange.obstacle;
}

SrpServer& machine_of(Exchange& exchange) { return std::get<SrpServer>(exchange.machine); }

}  // namespace

// 1 and 2, with the user's record.
std::optional<BegunSrp> begin_srp(const SrpConversation& conversation, ByteView packet,
                                  const wire::SrpStart& start, const StoredUser* user) {
  Server& server = conversation.server();
  const table::Suite suite = suite_of(start.suite());
  const std::string_view obstacle = obstacle_to(user, table::Scheme::kSrp, suite);
  auto verifier =
      server.stand_in_verifiers().verifier_of(user, start.user(), start.suite(), !obstacle.empty());
  if (!verifier) {
    conversation.refuse_unreadable(start.user(), verifier.error());
    return std::nullopt;
  }
  auto charge = server.quota().take(Resource::kVerifier, conversation.connection().peer().ids.euid);
  if (!charge) {
    conversation.refuse(wire::REFUSAL_BUSY, "too many exchanges by srp are under way; try again later");
    return std::nullopt;
  }
  SrpServer machine(server.config().srp_vendor_id);
  auto challenge = machine.challenge(packet, start, std::move(*verifier), crypto::fill_random);
  if (!challenge) {
    conversation.refuse_unreadable(start.user(), challenge.error());
    return std::nullopt;
  }
  std::string session_id = machine.session_id();
  auto exchange = std::make_unique<Exchange>(
      Exchange{start.user(), table::Scheme::kSrp, suite, std::move(session_id), std::move(machine)});
  exchange->verifier = std::move(*charge);
  exchange->obstacle = obstacle;
  if (user != nullptr) exchange->secret_at_start = sealed_verifier_of(*user, start.suite());
  return BegunSrp{std::move(exchange), std::move(*challenge)};
}

void handle_srp_start(Server& server, Connection& connection, const ClientRequest& request) {
  const wire::SrpStart& start = request.message.srp_start();
  if (!leave_renewal(server, connection)) return;
  if (const auto checked = exchange::check_start(start); !checked) {
    refuse_exchange(server, connection, wire::REFUSAL_MALFORMED, checked.error().detail);
    return;
  }
  if (!may_begin(server, connection,
                 {start.user(), table::Scheme::kSrp, start.suite(), start.server_name(), start.renews()})) {
    return;
  }
  server.users().find(
      connection.account(), start.user(),
      [&server, self = connection.shared_from_this(), start,
       packet = Bytes(request.packet.begin(), request.packet.end())](const Result<UserPtr>& user) {
        if (self->closed()) return;
        const SrpConversation conversation(server, *self, SrpConversation::Place::kConnection);
        if (!user) {
          conversation.refuse_unreadable(start.user(), user.error());
          return;
        }
        self->attempt([&] {
          auto begun = begin_srp(conversation, packet, start, user->get());
          // The task is PENDING before the challenge goes out.
          if (begun && mark_pending(server, *self, self->take_identified_peer(), std::move(begun->exchange),
                                    start.renews()))
            self->reply(std::move(begun->challenge));
        });
      });
}

void handle_srp(Server& server, Connection& connection, const ClientRequest& request) {
  if (!std::holds_alternative<SrpServer>(connection.exchange->machine)) {
    connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "that is no message of the exchange that has begun");
    return;
  }
  take_srp_message({server, connection, SrpConversation::Place::kConnection}, request.message.srp(),
                   request.packet);
}

namespace {

// 3 and 4.
void take_key(const SrpConversation& conversation, const wire::SrpPacket& message, ByteView packet) {
  conversation.server().ephemerals().draw(
      conversation.connection().account(), machine_of(*conversation.exchange()).group(),
      [conversation, id = conversation.exchange()->session_id, message,
       packet = Bytes(packet.begin(), packet.end())](Result<exchange::EphemeralPair> pair) {
        Exchange* const exchange = conversation.exchange(id);
        if (exchange == nullptr) return;
        conversation.connection().attempt([&] {
          if (!pair) {
            log::error(pair.error().message());
            conversation.refuse(wire::REFUSAL_BUSY, "keyd cannot draw its number now; try again later");
            return;
          }
          auto key = machine_of(*exchange).take_key(packet, message, std::move(*pair));
          if (!key && key.error().code == Code::kBroken) {
            conversation.refuse_unreadable(exchange->user, key.error());
            return;
          }
          if (!key) {
            conversation.deny("bad-key");
            return;
          }
          conversation.reply(std::move(*key));
        });
      });
}

// 5 and 6. While the worker has the machine, the exchange has an empty one: nothing else is heard meanwhile, and what is
// over when the worker is done is dropped. Until then its charge stays with it, also when its connection has gone.
void verify(const SrpConversation& conversation, const wire::SrpPacket& message, ByteView packet) {
  if (conversation.refuse_if_throttled()) return;
  struct Verified {
    std::unique_ptr<SrpServer> machine;
    Result<Bytes> proof = fail(Code::kExhausted, "no memory");
  };
  Exchange& before = *conversation.exchange();
  conversation.server().workers().post(
      conversation.connection().account(),
      [machine = std::make_unique<SrpServer>(std::move(machine_of(before))), message,
       packet = Bytes(packet.begin(), packet.end())]() mutable {
        Verified out;
        out.machine = std::move(machine);
        try {
          out.proof = out.machine->verify(packet, message);
        } catch (const std::bad_alloc&) {
        }
        return out;
      },
      [conversation, id = before.session_id, charge = std::move(before.verifier)](Verified out) mutable {
        Exchange* const exchange = conversation.exchange(id);
        if (exchange == nullptr) return;
        exchange->machine = std::move(*out.machine);
        exchange->verifier = std::move(charge);
        conversation.connection().attempt([&] {
          // Once more, before anybody looks at the proof: many that came at once were let in before one was counted.
          if (conversation.refuse_if_throttled()) return;
          if (!out.proof && out.proof.error().code == Code::kExhausted) {
            conversation.refuse(wire::REFUSAL_BUSY, "keyd has no memory for the proof now; try again later");
            return;
          }
          if (!out.proof) {
            conversation.deny(reason_of(*exchange));
            return;
          }
          conversation.reply(std::move(*out.proof));
        });
      });
}

// Before 8, with the user's record as it stands now.
void conclude(const SrpConversation& conversation, const StoredUser* user) {
  const Exchange& exchange = *conversation.exchange();
  if (const auto obstacle = obstacle_to(user, exchange.scheme, exchange.suite); !obstacle.empty()) {
    conversation.deny(obstacle);
    return;
  }
  if (sealed_verifier_of(*user, machine_of(*conversation.exchange()).choice().suite()) !=
      exchange.secret_at_start) {  // the password was changed meanwhile
    conversation.deny("password-changed");
    return;
  }
  conversation.conclude(*user);
}

// 7.
void take_finished(const SrpConversation& conversation, const wire::SrpPacket& message, ByteView packet) {
  Exchange& before = *conversation.exchange();
  if (auto finished = machine_of(before).take_finished(packet, message); !finished) {
    conversation.deny(reason_of(before));
    return;
  }
  conversation.server().users().find(conversation.connection().account(), before.user,
                                     [conversation, id = before.session_id](const Result<UserPtr>& user) {
                                       const Exchange* const exchange = conversation.exchange(id);
                                       if (exchange == nullptr) return;
                                       conversation.connection().attempt([&] {
                                         if (!user)
                                           return conversation.refuse_unreadable(std::string(exchange->user),
                                                                                 user.error());
                                         conclude(conversation, user->get());
                                       });
                                     });
}

}  // namespace

void take_srp_message(const SrpConversation& conversation, const wire::SrpPacket& message, ByteView packet) {
  switch (machine_of(*conversation.exchange()).awaits()) {
    case SrpServer::Awaits::kKey: return take_key(conversation, message, packet);
    case SrpServer::Awaits::kProof: return verify(conversation, message, packet);
    case SrpServer::Awaits::kFinished: return take_finished(conversation, message, packet);
    case SrpServer::Awaits::kNothing: break;
  }
  conversation.refuse(wire::REFUSAL_OUT_OF_ORDER, "this exchange is over");
}

}  // namespace keyd::daemon
