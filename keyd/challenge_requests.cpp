// The `challenge` exchange as keyd serves it; core/exchange/challenge.h has the conversation.
#include "core/crypto/random.h"
#include "keyd/exchange_steps.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {

void handle_challenge_start(Server& server, Connection& connection, const ClientRequest& request) {
  const wire::ChallengeStart& start = request.message.challenge_start();
  if (!leave_renewal(server, connection)) return;
  if (const auto checked = exchange::check_choice(start); !checked) {
    refuse_exchange(server, connection, wire::REFUSAL_MALFORMED, checked.error().detail);
    return;
  }
  if (!may_begin(
          server, connection,
          {start.user(), table::Scheme::kChallenge, start.suite(), start.server_name(), start.renews()})) {
    return;
  }
  exchange::ChallengeServer machine;
  auto numbers = machine.challenge(request.packet, start, crypto::fill_random, [&](ByteView n1, ByteView n2) {
    return server.nonces().is_unused(start.user(), n1, n2);
  });
  if (!numbers) {
    refuse_exchange(server, connection, wire::REFUSAL_BUSY, numbers.error().detail);
    return;
  }
  auto exchange = std::make_unique<Exchange>(Exchange{start.user(),
                                                      table::Scheme::kChallenge,
                                                      suite_of(start.suite()),
                                                      machine.session_id(),
                                                      std::move(machine),
                                                      {}});
  // The task is PENDING before the numbers go out.
  if (!mark_pending(server, connection, connection.take_identified_peer(), std::move(exchange),
                    start.renews())) {
    return;
  }
  connection.reply(std::move(*numbers));
}

namespace {

// Steps 4 and 5, with the user's record as it stands now.
void judge_proof(Server& server, Connection& connection, ByteView packet, ByteView record,
                 const StoredUser* user) {
  Exchange& exchange = *connection.exchange;
  auto& machine = std::get<exchange::ChallengeServer>(exchange.machine);
  // Others of this source's exchanges may have failed since this one began: so many at a time are no way
  // around the wait.
  if (refuse_if_throttled(server, connection, exchange.user, exchange.scheme)) return;
  const std::string_view obstacle = obstacle_to(user, exchange.scheme, exchange.suite);
  // Who may not log in is tried with the stand-in's password: as much work, and no proof fits it.
  const auto password = server.passwords().password_of(obstacle.empty() ? user : nullptr);
  if (!password) {
    refuse_unreadable(server, connection, exchange.user, password.error());
    return;
  }
  const auto verified = [&] {
    const MomentOfUse moment(server.passwords());
    return machine.verify(packet, record, *password);
  }();
  if (!verified || !obstacle.empty()) {
    deny(server, connection, obstacle.empty() ? "wrong-proof" : obstacle);
    return;
  }
  const BootTime latest_end = boot_now() +
                              static_cast<std::uint64_t>(server.config().lifetime.count()) * kSecond +
                              kSecond;  // a little past the record's
  if (!server.nonces().admit(exchange.user, machine.nonce1(), machine.nonce2(), latest_end)) {
    deny(server, connection, "repeated-short-numbers");
    return;
  }
  auto confirmation = machine.confirm();
  if (!confirmation) {
    refuse_exchange(server, connection, wire::REFUSAL_INTERNAL, "keyd cannot confirm the exchange");
    return;
  }
  establish(server, connection, *user, {machine.take_channel(), std::move(*confirmation)});
}

}  // namespace

void handle_challenge_finished(Server& server, Connection& connection, const ClientRequest& request) {
  if (!std::holds_alternative<exchange::ChallengeServer>(connection.exchange->machine)) {
    connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "that is no message of the exchange that has begun");
    return;
  }
  const std::string& record = request.message.finished();
  server.users().find(
      connection.account(), connection.exchange->user,
      [&server, self = connection.shared_from_this(),
       packet = Bytes(request.packet.begin(), request.packet.end()), record](const Result<UserPtr>& user) {
        if (self->closed() || self->exchange == nullptr) return;
        if (!user) {
          refuse_unreadable(server, *self, self->exchange->user, user.error());
          return;
        }
        self->attempt([&] { judge_proof(server, *self, packet, bytes_of(record), user->get()); });
      });
}

}  // namespace keyd::daemon
