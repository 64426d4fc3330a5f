#include "keyd/exchange_steps.h"

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/table/task_terms.h"
#include "keyd/server.h"

namespace keyd::daemon {

using table::Reason;

table::Suite suite_of(wire::Suite suite) {
  return suite == wire::SUITE_HISTORIC ? table::Suite::kHistoric : table::Suite::kModern;
}

// ---- refusals

namespace {
// The connection's own exchange, and what the task's record shows of it.
void end_exchange(Server& server, Connection& connection, Reason reason) {
  const auto exchange = std::move(connection.exchange);
  if (exchange != nullptr) server.tasks().fail(connection.peer().inode, exchange->session_id, reason);
}
}  // namespace

void refuse_exchange(Server& server, Connection& connection, wire::ServerPacket refusal) {
  if (connection.session == nullptr) {
    connection.refuse(std::move(refusal));
    return;
  }
  end_exchange(server, connection, Reason::kNone);
  connection.phase = Phase::kEstablished;
  connection.reply(refusal);
}

void refuse_exchange(Server& server, Connection& connection, wire::RefusalCode code, std::string text) {
  refuse_exchange(server, connection, wire::refusal(code, std::move(text)));
}

void tell_unreadable(const std::string& user, const Error& error) {
  log::error("user \"" + escape(user) + "\": " + error.message());
}

void refuse_unreadable(Server& server, Connection& connection, const std::string& user, const Error& error) {
  tell_unreadable(user, error);
  refuse_exchange(server, connection, wire::REFUSAL_INTERNAL, kUnreadable);
}

// ---- whether it may begin

namespace {
// What keyd offers to nobody, or not here: told plainly, for it says nothing about the user.
bool refuse_by_policy(Server& server, Connection& connection, const Offer& offer) {
  if (offer.suite == wire::SUITE_HISTORIC && !server.config().historic_enabled) {
    refuse_exchange(server, connection, wire::REFUSAL_POLICY,
                    "this keyd does not offer historic suites (historic.enabled in its configuration)");
    return true;
  }
  if (offer.server_name != server.config().server_name) {
    refuse_exchange(server, connection, wire::REFUSAL_WRONG_SERVER,
                    "this keyd goes by another server name than the client was configured to reach");
    return true;
  }
  return false;
}

// Where the tries of a connection's process are counted: this host's (0) accounts.
TrySource source_of(const Connection& connection) { return connection.account(); }
}  // namespace

std::optional<wire::ServerPacket> throttled(Server& server, const Connection& connection,
                                            const std::string& user, table::Scheme scheme) {
  const TrySource source = source_of(connection);
  const std::uint64_t wait = server.tries().wait_before(source, user, boot_now());
  if (wait == 0) return std::nullopt;
  if (server.tries().first_refusal(source, user)) {
    AuditEvent event = event_of(connection, "exchange.throttled");
    event.user = user;
    event.scheme = table::name_of(scheme);
    server.audit().write(event);
  }
  const std::uint64_t seconds = (wait + kSecond - 1) / kSecond;
  auto packet = wire::refusal(wire::REFUSAL_THROTTLED,
                              fmt::format("too many failed tries; try again in {} s", seconds));
  packet.mutable_refused()->set_retry_after(static_cast<std::uint32_t>(seconds));
  return packet;
}

bool refuse_if_throttled(Server& server, Connection& connection, const std::string& user,
                         table::Scheme scheme) {
  auto refusal = throttled(server, connection, user, scheme);
  if (!refusal) return false;
  refuse_exchange(server, connection, std::move(*refusal));
  return true;
}

bool may_begin(Server& server, Connection& connection, const Offer& offer) {
  if (!leave_renewal(server, connection) || refuse_by_policy(server, connection, offer)) return false;
  if (refuse_if_throttled(server, connection, offer.user, offer.scheme)) return false;
  if (!server.noise().trustworthy()) {
    refuse_exchange(server, connection, wire::REFUSAL_INTERNAL,
                    "keyd has no random numbers; its log says why");
    return false;
  }
  return true;
}

// ---- PENDING

namespace {
void refuse_begin(Server& server, Connection& connection, BeginOutcome outcome) {
  switch (outcome) {
    case BeginOutcome::kAlready:
      refuse_exchange(server, connection, wire::REFUSAL_ALREADY,
                      "this process has a session or a pending exchange; end it first, or renew it");
      return;
    case BeginOutcome::kNotRenewed:
      refuse_exchange(server, connection, wire::REFUSAL_GONE,
                      "there is no such session of this process and user to renew");
      return;
    case BeginOutcome::kFull:
      refuse_exchange(server, connection, wire::REFUSAL_BUSY,
                      "the task table or this account's share of it is full; try again later");
      return;
    case BeginOutcome::kBusy:
      refuse_exchange(server, connection, wire::REFUSAL_BUSY,
                      "keyd is behind with the kernel's process events; try again in a moment");
      return;
    case BeginOutcome::kGone:
    case BeginOutcome::kPending: break;
  }
  refuse_exchange(server, connection, wire::REFUSAL_SENDER,
                  "the process that connected is gone or has changed its credentials");
}
}  // namespace

bool mark_pending(Server& server, Connection& connection, kernel::PeerIdentity peer,
                  std::unique_ptr<Exchange> exchange, const std::string& renews) {
  // A session is renewed where it runs, or, when its channel was dropped after an exec, from a new connection.
  if (!renews.empty() && connection.session == nullptr && server.has_owner(connection.peer().inode)) {
    refuse_begin(server, connection, BeginOutcome::kAlready);
    return false;
  }
  // begin() asks the pidfd whether the process lives, with the ids that it connected with.
  const ExchangeSubject subject{exchange->user, exchange->scheme, exchange->suite, exchange->session_id,
                                renews};
  if (const auto outcome = server.tasks().begin(peer, subject); outcome != BeginOutcome::kPending) {
    refuse_begin(server, connection, outcome);
    return false;
  }
  if (connection.closed()) return false;  // what begin() learnt has ended it
  server.own(connection);
  connection.exchange = std::move(exchange);
  connection.phase = Phase::kChallenged;
  return true;
}

bool leave_renewal(Server& server, Connection& connection) {
  if (connection.phase != Phase::kChallenged) return true;
  if (connection.session == nullptr) {
    connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "the proof of the exchange that has begun is awaited");
    return false;
  }
  end_exchange(server, connection, Reason::kNone);
  connection.phase = Phase::kEstablished;
  return !connection.closed();
}

// ---- the verdict

std::string_view obstacle_to(const StoredUser* user, table::Scheme scheme, table::Suite suite) {
  if (user == nullptr) return "unknown-user";
  if (user->state == UserState::kDisabled) return "user-disabled";
  if (user->state == UserState::kLocked) return "user-locked";
  if ((user->schemes & scheme_bit(scheme)) == 0) return "scheme-not-enrolled";
  if (suite == table::Suite::kHistoric && !user->allow_historic) return "historic-not-allowed";
  return {};
}

namespace {

AuditEvent denial(const Connection& connection, const Exchange& exchange, std::string_view reason) {
  AuditEvent event = event_of(connection, "exchange.denied");
  event.user = exchange.user;
  event.scheme = table::name_of(exchange.scheme);
  event.suite = table::name_of(exchange.suite);
  event.reason = reason;
  return event;
}

// Counts a failed try for good, then goes on with `done`.
template <typename Done>
void count_failure(Server& server, TrySource source, const std::string& user, Done done) {
  server.store().post(
      kTriesQueue,
      [counts = server.tries().failed(source, user, boot_now())](UserStore& store) {
        return store.record_tries(counts);
      },
      [done = std::move(done)](const Result<void>& counted) mutable {
        done();
        // What could not be counted durably is counted in memory, and told to the administrator, not to the
        // guesser.
        if (!counted) log::error(counted.error().message());
      });
}

void tell_denied(Server& server, Connection& connection) {
  // A renewal that failed leaves the session, and this connection as its owner.
  if (connection.session == nullptr) server.disown(connection);
  end_exchange(server, connection, Reason::kWrongProof);
  connection.phase = connection.session != nullptr ? Phase::kEstablished : Phase::kFresh;
  wire::ServerPacket packet;
  packet.mutable_denied();
  connection.reply(packet);
}

}  // namespace

// It may become durable later: lost, it only means a longer wait.
void count_success(Server& server, Connection& connection, const std::string& user) {
  auto counts = server.tries().succeeded(source_of(connection), user, boot_now());
  if (counts.empty()) return;
  server.store().post(
      kTriesQueue, [counts = std::move(counts)](UserStore& store) { return store.record_tries(counts); },
      [](const Result<void>& stored) {
        if (!stored) log::error(stored.error().message());
      });
}

void count_denied(Server& server, Connection& connection, const Exchange& exchange, std::string_view reason,
                  std::move_only_function<void()> tell) {
  count_failure(server, source_of(connection), exchange.user,
                [&server, tell = std::move(tell), event = denial(connection, exchange, reason)]() mutable {
                  tell();
                  server.audit().write(event);  // behind the answer, for the lines are not all of one length
                });
}

void deny(Server& server, Connection& connection, std::string_view reason) {
  connection.exchange->open_try.settle();
  count_denied(server, connection, *connection.exchange, reason,
               [&server, self = connection.shared_from_this()] {
                 if (!self->closed()) tell_denied(server, *self);
               });
}

OpenTry open_try(Server& server, Connection& connection, const Exchange& exchange,
                 std::string_view obstacle) {
  return OpenTry([&server, source = source_of(connection),
                  event = denial(connection, exchange, obstacle.empty() ? "given-up" : obstacle)] {
    count_failure(server, source, event.user, [&server, event] { server.audit().write(event); });
  });
}

// ---- COMPLETE

void establish(Server& server, Connection& connection, const StoredUser& user, Established established) {
  connection.exchange->open_try.settle();  // the password was right
  // All that can fail is made before the task is marked.
  auto session =
      std::make_unique<Session>(Session{std::move(established.channel), connection.exchange->session_id,
                                        user.name, user.id, std::move(established.command_keys)});
  if (established.change_keys) {
    const wire::Suite suite =
        connection.exchange->suite == table::Suite::kHistoric ? wire::SUITE_HISTORIC : wire::SUITE_MODERN;
    session->change =
        server.changes().part_of(connection, user.name, suite, std::move(*established.change_keys),
                                 connection.exchange->secret_at_start);
  }
  // The claim's "modify the task structure … to reflect the completion". Refused: an exec, an exit, a
  // deadline or an administrator came between, and the exchange has failed.
  const auto completed = server.tasks().complete(connection.peer().inode, connection.exchange->session_id);
  if (completed != CompleteOutcome::kComplete) {
    if (connection.closed()) return;  // it was told already
    if (completed == CompleteOutcome::kBusy) {
      refuse_exchange(server, connection, wire::REFUSAL_BUSY,
                      "keyd is behind with the kernel's process events; start the exchange again");
      return;
    }
    const bool late = completed == CompleteOutcome::kDeadline;
    refuse_exchange(server, connection, late ? wire::REFUSAL_DEADLINE : wire::REFUSAL_GONE,
                    late ? "the exchange took too long; start it again"
                         : "the process changed while the exchange ran; authenticate again");
    return;
  }
  if (connection.session != nullptr) server.changes().session_ended(connection);
  connection.session = std::move(session);
  connection.exchange.reset();
  connection.phase = Phase::kEstablished;
  server.changes().session_began(connection, user);
  count_success(server, connection, user.name);
  connection.reply(std::move(established.confirmation));
}

}  // namespace keyd::daemon
