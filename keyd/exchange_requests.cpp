// The `challenge` exchange as keyd serves it (core/exchange/challenge.h has the conversation), and the
// table's descriptor. Nothing that a client can see here depends on whether its user exists, before its proof
// has been judged, and then the answer is one and the same Denied.
#include <fmt/format.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/random.h"
#include "core/table/task_terms.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {
namespace {

using table::Reason;

table::Suite suite_of(wire::Suite suite) {
  return suite == wire::SUITE_HISTORIC ? table::Suite::kHistoric : table::Suite::kModern;
}

// Ends an exchange without a verdict. A first one takes its connection along; of a renewal nothing is left
// but the session as it was, on this same connection.
void refuse_exchange(Server& server, Connection& connection, wire::ServerPacket refusal) {
  if (connection.session == nullptr) {
    connection.refuse(std::move(refusal));
    return;
  }
  connection.exchange.reset();
  connection.phase = Phase::kEstablished;
  server.tasks().fail(connection.peer().inode, Reason::kNone);
  connection.reply(refusal);
}

void refuse_exchange(Server& server, Connection& connection, wire::RefusalCode code, std::string text) {
  refuse_exchange(server, connection, wire::refusal(code, std::move(text)));
}

// What keyd offers to nobody, or not here: told plainly, for it says nothing about the user.
bool refuse_by_policy(Server& server, Connection& connection, const wire::ChallengeStart& start) {
  if (const auto checked = exchange::check_choice(start); !checked) {
    refuse_exchange(server, connection, wire::REFUSAL_MALFORMED, checked.error().detail);
    return true;
  }
  if (start.suite() == wire::SUITE_HISTORIC && !server.config().historic_enabled) {
    refuse_exchange(server, connection, wire::REFUSAL_POLICY,
                    "this keyd does not offer historic suites (historic.enabled in its configuration)");
    return true;
  }
  if (start.server_name() != server.config().server_name) {
    refuse_exchange(server, connection, wire::REFUSAL_WRONG_SERVER,
                    "this keyd goes by another server name than the client was configured to reach");
    return true;
  }
  return false;
}

// Where the tries of a connection's process are counted: this host's (0) accounts.
TrySource source_of(const Connection& connection) { return connection.account(); }

// Whether too much was guessed from here, or at this name: told plainly, and alike for names that exist and
// others (try_ledger.h).
bool refuse_if_throttled(Server& server, Connection& connection, const std::string& user) {
  const TrySource source = source_of(connection);
  const std::uint64_t wait = server.tries().wait_before(source, user, boot_now());
  if (wait == 0) return false;
  if (server.tries().first_refusal(source, user)) {
    AuditEvent event = event_of(connection, "exchange.throttled");
    event.user = user;
    event.scheme = "challenge";
    server.audit().write(event);
  }
  const std::uint64_t seconds = (wait + kSecond - 1) / kSecond;
  auto packet = wire::refusal(wire::REFUSAL_THROTTLED,
                              fmt::format("too many failed tries; try again in {} s", seconds));
  packet.mutable_refused()->set_retry_after(static_cast<std::uint32_t>(seconds));
  refuse_exchange(server, connection, std::move(packet));
  return true;
}

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

// Why a proof is refused: for the audit log alone. Empty: it is not.
std::string_view inadmissible(const StoredUser* user, table::Suite suite) {
  if (user == nullptr) return "unknown-user";
  if (user->state == UserState::kDisabled) return "user-disabled";
  if (user->state == UserState::kLocked) return "user-locked";
  if ((user->schemes & scheme_bit(table::Scheme::kChallenge)) == 0) return "scheme-not-enrolled";
  if (suite == table::Suite::kHistoric && !user->allow_historic) return "historic-not-allowed";
  return {};
}

void tell_denied(Server& server, Connection& connection) {
  connection.exchange.reset();
  // A renewal that failed leaves the session, and this connection as its owner.
  if (connection.session == nullptr) server.disown(connection);
  server.tasks().fail(connection.peer().inode, Reason::kWrongProof);
  connection.phase = connection.session != nullptr ? Phase::kEstablished : Phase::kFresh;
  wire::ServerPacket packet;
  packet.mutable_denied();
  connection.reply(packet);
}

// A proof that did not hold. Nobody hears or sees of it before the failure is counted for good.
void deny(Server& server, Connection& connection, const std::string& user, std::string_view reason) {
  AuditEvent event = event_of(connection, "exchange.denied");
  event.user = user;
  event.scheme = "challenge";
  event.suite = table::name_of(suite_of(connection.exchange->choice().suite()));
  event.reason = reason;
  server.store().post(
      kTriesQueue,
      [counts = server.tries().failed(source_of(connection), user, boot_now())](UserStore& store) {
        return store.record_tries(counts);
      },
      [&server, self = connection.shared_from_this(), event](const Result<void>& counted) {
        if (!self->closed()) tell_denied(server, *self);
        // Behind the answer, for the lines are not all of one length. What could not be counted durably is
        // counted in memory, and told to the administrator, not to the guesser.
        server.audit().write(event);
        if (!counted) log::error(counted.error().message());
      });
}

// What a success changes in the counts may become durable later: lost, it only means a longer wait.
void count_success(Server& server, Connection& connection, const std::string& user) {
  auto counts = server.tries().succeeded(source_of(connection), user, boot_now());
  if (counts.empty()) return;
  server.store().post(
      kTriesQueue, [counts = std::move(counts)](UserStore& store) { return store.record_tries(counts); },
      [](const Result<void>& stored) {
        if (!stored) log::error(stored.error().message());
      });
}

// Steps 4 and 5, with the user's record as it stands now.
void judge_proof(Server& server, Connection& connection, ByteView packet, ByteView record,
                 const StoredUser* user) {
  exchange::ChallengeServer& machine = *connection.exchange;
  const std::string name = machine.choice().user();
  // Others of this source's exchanges may have failed since this one began: so many at a time are no way
  // around the wait.
  if (refuse_if_throttled(server, connection, name)) return;
  const std::string_view obstacle = inadmissible(user, suite_of(machine.choice().suite()));
  // Who may not log in is tried with the stand-in's password: as much work, and no proof fits it.
  const auto password = server.passwords().password_of(obstacle.empty() ? user : nullptr);
  if (!password) {
    log::error("user \"" + escape(name) + "\": " + password.error().message());
    refuse_exchange(server, connection, wire::REFUSAL_INTERNAL,
                    "keyd cannot read its store; its log says why");
    return;
  }
  const auto verified = [&] {
    const MomentOfUse moment(server.passwords());
    return machine.verify(packet, record, *password);
  }();
  if (!verified || !obstacle.empty()) {
    deny(server, connection, name, obstacle.empty() ? "wrong-proof" : obstacle);
    return;
  }
  const BootTime latest_end = boot_now() +
                              static_cast<std::uint64_t>(server.config().lifetime.count()) * kSecond +
                              kSecond;  // a little past the record's
  if (!server.nonces().admit(name, machine.nonce1(), machine.nonce2(), latest_end)) {
    deny(server, connection, name, "repeated-short-numbers");
    return;
  }
  // All that can fail is made before the task is marked.
  auto confirmation = machine.confirm();
  if (!confirmation) {
    refuse_exchange(server, connection, wire::REFUSAL_INTERNAL, "keyd cannot confirm the exchange");
    return;
  }
  auto session =
      std::make_unique<Session>(Session{machine.take_channel(), machine.session_id(), user->name, user->id});
  // The claim's "modify the task structure … to reflect the completion". Refused: an exec, an exit, a
  // deadline or an administrator came between, and the exchange has failed.
  const auto completed = server.tasks().complete(connection.peer().inode);
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
  connection.session = std::move(session);
  connection.exchange.reset();
  connection.phase = Phase::kEstablished;
  count_success(server, connection, name);
  connection.reply(std::move(*confirmation));
}

}  // namespace

bool leave_renewal(Server& server, Connection& connection) {
  if (connection.phase != Phase::kChallenged) return true;
  if (connection.session == nullptr) {
    connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "the proof of the exchange that has begun is awaited");
    return false;
  }
  connection.exchange.reset();
  connection.phase = Phase::kEstablished;
  server.tasks().fail(connection.peer().inode, Reason::kNone);
  return !connection.closed();
}

void handle_challenge_start(Server& server, Connection& connection, const ClientRequest& request) {
  const wire::ChallengeStart& start = request.message.challenge_start();
  if (!leave_renewal(server, connection) || refuse_by_policy(server, connection, start)) return;
  if (refuse_if_throttled(server, connection, start.user())) return;
  if (!server.noise().trustworthy()) {
    refuse_exchange(server, connection, wire::REFUSAL_INTERNAL,
                    "keyd has no random numbers; its log says why");
    return;
  }

  auto machine = std::make_unique<exchange::ChallengeServer>();
  auto numbers = machine->challenge(
      request.packet, start, crypto::fill_random,
      [&](ByteView n1, ByteView n2) { return server.nonces().is_unused(start.user(), n1, n2); });
  if (!numbers) {
    refuse_exchange(server, connection, wire::REFUSAL_BUSY, numbers.error().detail);
    return;
  }
  const ExchangeSubject subject{start.user(), table::Scheme::kChallenge, suite_of(start.suite()),
                                machine->session_id(), start.renews()};
  // A session is renewed where it runs, or, when its channel was dropped after an exec, from a new
  // connection.
  if (!start.renews().empty() && connection.session == nullptr && server.has_owner(connection.peer().inode)) {
    refuse_begin(server, connection, BeginOutcome::kAlready);
    return;
  }
  // The task is PENDING before the numbers go out. begin() asks the pidfd whether the process lives, with the
  // ids that it connected with.
  kernel::PeerIdentity peer = connection.take_identified_peer();
  if (const auto outcome = server.tasks().begin(peer, subject); outcome != BeginOutcome::kPending) {
    refuse_begin(server, connection, outcome);
    return;
  }
  if (connection.closed()) return;  // what begin() learnt has ended it
  server.own(connection);
  connection.exchange = std::move(machine);
  connection.phase = Phase::kChallenged;
  connection.reply(std::move(*numbers));
}

void handle_challenge_finished(Server& server, Connection& connection, const ClientRequest& request) {
  const std::string& record = request.message.finished();
  server.users().find(
      connection.account(), connection.exchange->choice().user(),
      [&server, self = connection.shared_from_this(),
       packet = Bytes(request.packet.begin(), request.packet.end()), record](const Result<UserPtr>& user) {
        if (self->closed() || self->exchange == nullptr) return;
        if (!user) {
          log::error(user.error().message());
          refuse_exchange(server, *self, wire::REFUSAL_INTERNAL,
                          "keyd cannot read its store; its log says why");
          return;
        }
        self->attempt([&] { judge_proof(server, *self, packet, bytes_of(record), user->get()); });
      });
}

void handle_table(Server& server, Connection& connection, const ClientRequest&) {
  if (server.config().table_access == TableAccess::kAdministrators && !server.is_administrator(connection)) {
    connection.refuse(wire::REFUSAL_POLICY,
                      "only administrators may read this keyd's task table (table.access)");
    return;
  }
  // Descriptors on their way count against keyd's own limit until they are received: one answer a connection,
  // and a share of all for each account.
  int unread = 0;
  if (::ioctl(connection.socket(), SIOCOUTQ, &unread) != 0 || unread != 0) {
    connection.refuse(wire::REFUSAL_BUSY, "receive the last answer before asking for the table again");
    return;
  }
  auto charge = server.quota().take(Resource::kTableAnswer, connection.peer().ids.euid);
  if (!charge) {
    connection.refuse(wire::REFUSAL_BUSY,
                      "too many tables are on their way; receive them, or try again later");
    return;
  }
  wire::ServerPacket packet;
  const table::TableWriter& table = server.tasks().table();
  packet.mutable_table()->set_size(table.size());
  connection.reply(packet, {table.reader_descriptor(), table.bell_descriptor()}, std::move(*charge));
}

}  // namespace keyd::daemon
