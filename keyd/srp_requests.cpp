// The `srp` exchange as keyd serves it; core/exchange/srp.h has the conversation. What takes long, the exponentiations
// of a proof, is done on a worker thread; the machine goes there and comes back.
#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/random.h"
#include "keyd/exchange_steps.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {
namespace {

using exchange::SrpServer;

const Bytes& secret_of(const StoredUser& user, table::Suite suite) {
  return suite == table::Suite::kHistoric ? user.sealed_historic_verifier : user.sealed_verifier;
}

// What a proof that did not hold is put down to.
std::string_view reason_of(const Exchange& exchange) {
  return exchange.obstacle.empty() ? std::string_view("wrong-proof") : exchange.obstacle;
}

// 1 and 2, with the user's record.
void answer_start(Server& server, Connection& connection, kernel::PeerIdentity peer, ByteView packet,
                  const wire::SrpStart& start, const StoredUser* user) {
  const table::Suite suite = suite_of(start.suite());
  const std::string_view obstacle = obstacle_to(user, table::Scheme::kSrp, suite);
  auto verifier =
      server.stand_in_verifiers().verifier_of(user, start.user(), start.suite(), !obstacle.empty());
  if (!verifier) {
    refuse_unreadable(server, connection, start.user(), verifier.error());
    return;
  }
  SrpServer machine(server.config().srp_vendor_id);
  auto challenge = machine.challenge(packet, start, std::move(*verifier), crypto::fill_random);
  if (!challenge) {
    refuse_unreadable(server, connection, start.user(), challenge.error());
    return;
  }
  std::string session_id = machine.session_id();
  auto exchange = std::make_unique<Exchange>(
      Exchange{start.user(), table::Scheme::kSrp, suite, std::move(session_id), std::move(machine)});
  exchange->obstacle = obstacle;
  if (user != nullptr) exchange->secret_at_start = secret_of(*user, suite);
  // The task is PENDING before the challenge goes out.
  if (!mark_pending(server, connection, std::move(peer), std::move(exchange), start.renews())) return;
  connection.reply(std::move(*challenge));
}

}  // namespace

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
       peer = std::make_shared<kernel::PeerIdentity>(connection.take_identified_peer()),
       packet = Bytes(request.packet.begin(), request.packet.end())](const Result<UserPtr>& user) {
        if (self->closed()) return;
        if (!user) {
          refuse_unreadable(server, *self, start.user(), user.error());
          return;
        }
        self->attempt([&] { answer_start(server, *self, std::move(*peer), packet, start, user->get()); });
      });
}

namespace {

// 3 and 4.
void take_key(Server& server, Connection& connection, const ClientRequest& request,
              const SrpServer& machine) {
  server.ephemerals().draw(
      connection.account(), machine.group(),
      [&server, self = connection.shared_from_this(), message = request.message.srp(),
       packet = Bytes(request.packet.begin(), request.packet.end())](Result<exchange::EphemeralPair> pair) {
        if (self->closed() || self->exchange == nullptr) return;
        self->attempt([&] {
          if (!pair) {
            log::error(pair.error().message());
            refuse_exchange(server, *self, wire::REFUSAL_BUSY,
                            "keyd cannot draw its number now; try again later");
            return;
          }
          auto key = std::get<SrpServer>(self->exchange->machine).take_key(packet, message, std::move(*pair));
          if (!key) {
            deny(server, *self, "bad-key");
            return;
          }
          self->reply(std::move(*key));
        });
      });
}

// 5 and 6. While the worker has the machine, the exchange has an empty one: nothing else is heard meanwhile, and what is
// over when the worker is done is dropped.
void verify(Server& server, Connection& connection, const ClientRequest& request, SrpServer& machine) {
  if (refuse_if_throttled(server, connection, connection.exchange->user, connection.exchange->scheme)) return;
  struct Verified {
    std::unique_ptr<SrpServer> machine;
    Result<Bytes> proof = fail(Code::kExhausted, "no memory");
  };
  server.workers().post(
      connection.account(),
      [machine = std::make_unique<SrpServer>(std::move(machine)), message = request.message.srp(),
       packet = Bytes(request.packet.begin(), request.packet.end())]() mutable {
        Verified out;
        out.machine = std::move(machine);
        try {
          out.proof = out.machine->verify(packet, message);
        } catch (const std::bad_alloc&) {
        }
        return out;
      },
      [&server, self = connection.shared_from_this(), exchange = connection.exchange.get()](Verified out) {
        if (self->closed() || self->exchange.get() != exchange) return;
        self->exchange->machine = std::move(*out.machine);
        self->attempt([&] {
          if (!out.proof) {
            deny(server, *self, reason_of(*self->exchange));
            return;
          }
          self->reply(std::move(*out.proof));
        });
      });
}

// 7 and 8, with the user's record as it stands now.
void conclude(Server& server, Connection& connection, const StoredUser* user) {
  Exchange& exchange = *connection.exchange;
  auto& machine = std::get<SrpServer>(exchange.machine);
  if (const auto obstacle = obstacle_to(user, exchange.scheme, exchange.suite); !obstacle.empty()) {
    deny(server, connection, obstacle);
    return;
  }
  if (secret_of(*user, exchange.suite) != exchange.secret_at_start) {  // the password was changed meanwhile
    deny(server, connection, "password-changed");
    return;
  }
  auto confirmation = machine.confirm();
  if (!confirmation) {
    refuse_exchange(server, connection, wire::REFUSAL_INTERNAL, "keyd cannot confirm the exchange");
    return;
  }
  establish(server, connection, *user, {machine.take_channel(), std::nullopt, std::move(*confirmation)});
}

void take_finished(Server& server, Connection& connection, const ClientRequest& request, SrpServer& machine) {
  if (auto finished = machine.take_finished(request.packet, request.message.srp()); !finished) {
    deny(server, connection, reason_of(*connection.exchange));
    return;
  }
  server.users().find(connection.account(), connection.exchange->user,
                      [&server, self = connection.shared_from_this()](const Result<UserPtr>& user) {
                        if (self->closed() || self->exchange == nullptr) return;
                        if (!user) {
                          refuse_unreadable(server, *self, self->exchange->user, user.error());
                          return;
                        }
                        self->attempt([&] { conclude(server, *self, user->get()); });
                      });
}

}  // namespace

void handle_srp(Server& server, Connection& connection, const ClientRequest& request) {
  auto* const machine = std::get_if<SrpServer>(&connection.exchange->machine);
  if (machine == nullptr) {
    connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "that is no message of the exchange that has begun");
    return;
  }
  switch (machine->awaits()) {
    case SrpServer::Awaits::kKey: return take_key(server, connection, request, *machine);
    case SrpServer::Awaits::kProof: return verify(server, connection, request, *machine);
    case SrpServer::Awaits::kFinished: return take_finished(server, connection, request, *machine);
    case SrpServer::Awaits::kNothing: break;
  }
  connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "this exchange is over");
}

}  // namespace keyd::daemon
