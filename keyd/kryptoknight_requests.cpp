// The `kryptoknight` exchange as keyd serves it; core/exchange/kryptoknight.h has the conversation, and
// kryptoknight_password.h what becomes of the password: hashed and compared on a worker thread, hashed anew with
// another salt, stored, and only then confirmed.
//
// The record that counts is the one in the store when the password has come, not the one by which the session was
// opened: a second login may have given it another salt meanwhile, an administrator another password. What is written
// back holds for the version that was judged, or is thought over again.
#include <fmt/format.h>

#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/random.h"
#include "keyd/exchange_steps.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {

namespace {

wire::Suite wire_suite(const Exchange& exchange) {
  return exchange.suite == table::Suite::kHistoric ? wire::SUITE_HISTORIC : wire::SUITE_MODERN;
}

// 311 to 319, with the user's record.
void answer_start(Server& server, Connection& connection, ByteView packet,
                  const wire::KryptoknightStart& start, const StoredUser* user) {
  const table::Suite suite = suite_of(start.suite());
  const std::string_view obstacle = obstacle_to(user, table::Scheme::kKryptoknight, suite);
  auto stored = server.stand_ins().hash_of(user, start.user(), start.suite(), !obstacle.empty());
  if (!stored) {
    refuse_unreadable(server, connection, start.user(), stored.error());
    return;
  }
  exchange::KryptoknightServer machine;
  auto reply = machine.reply(packet, start, std::move(*stored), server.config().resalting().carriage,
                             crypto::fill_random);
  if (!reply) {
    log::error(reply.error().message());
    refuse_exchange(server, connection, wire::REFUSAL_INTERNAL,
                    "keyd cannot answer in this exchange; its log says why");
    return;
  }
  std::string session_id = machine.session_id();
  auto exchange = std::make_unique<Exchange>(Exchange{
      start.user(), table::Scheme::kKryptoknight, suite, std::move(session_id), std::move(machine), {}});
  exchange->obstacle = obstacle;
  Exchange& begun = *exchange;
  // The task is PENDING before the answer goes out.
  if (!mark_pending(server, connection, connection.take_identified_peer(), std::move(exchange),
                    start.renews()))
    return;
  // From here on its receiver can guess offline.
  begun.open_try = open_try(server, connection, begun, obstacle);
  connection.reply(std::move(*reply));
}

}  // namespace

void handle_kryptoknight_start(Server& server, Connection& connection, const ClientRequest& request) {
  const wire::KryptoknightStart& start = request.message.kryptoknight_start();
  if (!leave_renewal(server, connection)) return;
  if (const auto checked = exchange::check_start(start); !checked) {
    refuse_exchange(server, connection, wire::REFUSAL_MALFORMED, checked.error().detail);
    return;
  }
  if (!may_begin(
          server, connection,
          {start.user(), table::Scheme::kKryptoknight, start.suite(), start.server_name(), start.renews()})) {
    return;
  }
  server.users().find(
      connection.account(), start.user(),
      [&server, self = connection.shared_from_this(), start,
       packet = Bytes(request.packet.begin(), request.packet.end())](const Result<UserPtr>& user) {
        if (self->closed()) return;
        if (!user) {
          refuse_unreadable(server, *self, start.user(), user.error());
          return;
        }
        self->attempt([&] { answer_start(server, *self, packet, start, user->get()); });
      });
}

namespace {

// Somebody has the stored hash, or what it is stored in, but not the password.
void sound_alarm(Server& server, const Connection& connection) {
  const Exchange& exchange = *connection.exchange;
  AuditEvent event = event_of(connection, "alarm.stolen-hash");
  event.user = exchange.user;
  event.scheme = table::name_of(exchange.scheme);
  event.suite = table::name_of(exchange.suite);
  event.reason = "session opened with the right hash, wrong clear password";
  server.audit().write(event);
  log::warn("user \"" + escape(exchange.user) +
            "\": somebody holds the stored password hash without the password; see the audit log");
}

// Login after login of one user, in turn: the work of one password.
class PasswordCheck : public std::enable_shared_from_this<PasswordCheck> {
 public:
  PasswordCheck(Server& server, Connection& connection, secret::SecretBuffer password)
      : server_(server), connection_(connection.shared_from_this()), password_(std::move(password)) {}

  // 331 to 335. `turn` is the user's.
  void run(UserLanes::Turn turn) {
    turn_ = std::move(turn);
    read_record();
  }

 private:
  // What a worker thread finds out.
  struct Judged {
    Result<bool> matches = false;
    bool opened_by_it = false;  // it is the password of the hash by which the session was opened
    std::optional<exchange::PasswordHash> replacement;
  };

  // Runs `step` if the exchange is still there.
  template <typename Step>
  void go_on(Step step) {
    if (connection_->closed() || connection_->exchange == nullptr) return;
    connection_->attempt(step);
  }
  [[nodiscard]] Exchange& exchange() { return *connection_->exchange; }
  [[nodiscard]] exchange::KryptoknightServer& machine() {
    return std::get<exchange::KryptoknightServer>(exchange().machine);
  }

  void read_record() {
    go_on([&] {
      server_.users().find(connection_->account(), exchange().user,
                           [self = shared_from_this()](Result<UserPtr> user) {
                             self->go_on([&] { self->judge(std::move(user)); });
                           });
    });
  }

  void judge(Result<UserPtr> user) {
    if (!user) {
      refuse_unreadable(server_, *connection_, exchange().user, user.error());
      return;
    }
    user_ = std::move(*user);
    // Disabled, locked, removed since the session was opened.
    if (const auto obstacle = obstacle_to(user_.get(), exchange().scheme, exchange().suite);
        !obstacle.empty()) {
      deny(server_, *connection_, obstacle);
      return;
    }
    auto stored = unseal_hash(server_.sealer(), *user_, wire_suite(exchange()));
    if (!stored) {
      refuse_unreadable(server_, *connection_, exchange().user, stored.error());
      return;
    }
    server_.workers().post(
        connection_->account(),
        [self = shared_from_this(), stored = std::move(*stored), opened_by = copy_of(machine().opened_by()),
         resalting = server_.config().resalting()] { return self->think(stored, opened_by, resalting); },
        [self = shared_from_this()](Judged judged) {
          self->go_on([&] { self->decide(std::move(judged)); });
        });
  }

  static exchange::PasswordHash copy_of(const exchange::PasswordHash& hash) {
    return {hash.suite, hash.setting, hash.salt, secret::SecretBuffer::copy_of(hash.hash.reveal())};
  }

  // On a worker thread.
  Judged think(const exchange::PasswordHash& stored, const exchange::PasswordHash& opened_by,
               const exchange::Resalting& resalting) const {
    Judged judged;
    try {
      judged.matches = exchange::is_password_of(stored, password_.reveal());
      if (!judged.matches) return judged;
      if (!*judged.matches) {
        const auto opened = exchange::is_password_of(opened_by, password_.reveal());
        judged.opened_by_it = opened && *opened;
        return judged;
      }
      auto replacement =
          exchange::make_password_hash(stored.suite, password_.reveal(), resalting, crypto::fill_random);
      if (!replacement) {
        judged.matches = std::unexpected(replacement.error());
      } else {
        judged.replacement = std::move(*replacement);
      }
    } catch (const std::bad_alloc&) {
      judged.matches = fail(Code::kExhausted, "no memory to hash a password");
    }
    return judged;
  }

  void decide(Judged judged) {
    // Once more, before anybody looks at the verdict: many that came at once were let in before one was counted.
    if (refuse_if_throttled(server_, *connection_, exchange().user, exchange().scheme)) return;
    if (!judged.matches) {
      log::error("user \"" + escape(exchange().user) + "\": " + judged.matches.error().message());
      refuse_exchange(server_, *connection_, wire::REFUSAL_BUSY,
                      "keyd cannot hash the password now; try again later");
      return;
    }
    if (!*judged.matches) {
      // Whoever knows the hash but not the password has the hash from the store, or from a copy of it. With the
      // password of the session's own hash, it is a password that was changed since.
      if (!judged.opened_by_it) sound_alarm(server_, *connection_);
      deny(server_, *connection_, judged.opened_by_it ? "password-changed" : "wrong-password");
      return;
    }
    exchange().open_try.settle();
    auto sealed = seal_hash(server_.sealer(), user_->id, *judged.replacement);
    if (!sealed) {
      refuse_unreadable(server_, *connection_, exchange().user, sealed.error());
      return;
    }
    const bool modern = judged.replacement->suite == wire::SUITE_MODERN;
    std::string shape =
        modern ? crypt_shape_of(judged.replacement->setting) : md5_shape_of(judged.replacement->salt.size());
    other_shape_ = shape != (modern ? user_->crypt_shape : user_->md5_shape);
    server_.store().post(
        connection_->account(),
        [id = user_->id, version = user_->version, suite = judged.replacement->suite,
         sealed = std::move(*sealed), shape = std::move(shape)](UserStore& store) {
          return store.replace_hash(id, version, suite, sealed, shape);
        },
        [self = shared_from_this()](Result<void> replaced) { self->replaced(std::move(replaced)); });
  }

  void replaced(Result<void> replaced) {
    server_.users().forget(user_->name);
    if (replaced && other_shape_) server_.note_shapes_changed();
    go_on([&] {
      if (replaced) {
        complete();
        return;
      }
      if (replaced.error().code == Code::kConflict && ++conflicts_ < kMostConflicts) {
        read_record();
        return;
      }
      if (replaced.error().code == Code::kNotFound) {  // removed in the meantime
        deny(server_, *connection_, "unknown-user");
        return;
      }
      if (replaced.error().code != Code::kConflict) log::error(replaced.error().message());
      refuse_exchange(server_, *connection_, wire::REFUSAL_BUSY,
                      "keyd cannot store the new salt now; try again later");
    });
  }

  void complete() {
    std::optional<CommandKeys> command_keys;
    if (machine().choice().per_command()) {
      auto charge = server_.quota().take(Resource::kCommandKeys, connection_->peer().ids.euid);
      if (!charge) {
        refuse_exchange(server_, *connection_, wire::REFUSAL_BUSY,
                        "too many sessions with keys for single commands; try without, or later");
        return;
      }
      command_keys.emplace(
          CommandKeys{machine().choice().suite(), machine().take_hash(), std::move(*charge)});
    }
    auto confirmation = machine().confirm();
    if (!confirmation) {
      refuse_exchange(server_, *connection_, wire::REFUSAL_INTERNAL, "keyd cannot confirm the exchange");
      return;
    }
    establish(server_, *connection_, *user_,
              {machine().take_channel(), std::move(*confirmation), std::move(command_keys)});
  }

  static constexpr int kMostConflicts = 8;

  Server& server_;
  std::shared_ptr<Connection> connection_;
  const secret::SecretBuffer password_;
  UserLanes::Turn turn_;
  UserPtr user_;              // the record that is judged
  bool other_shape_ = false;  // the hash that replaces its own has another
  int conflicts_ = 0;
};

}  // namespace

void handle_kryptoknight_password(Server& server, Connection& connection, const ClientRequest& request) {
  Exchange& exchange = *connection.exchange;
  auto* const machine = std::get_if<exchange::KryptoknightServer>(&exchange.machine);
  if (machine == nullptr) {
    connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "that is no message of the exchange that has begun");
    return;
  }
  // Others of this source's exchanges may have failed since this one began: so many at a time are no way around the
  // wait.
  if (refuse_if_throttled(server, connection, exchange.user, exchange.scheme)) return;
  auto password = machine->take_password(request.packet, request.message.kryptoknight_password());
  if (!password) {
    // It opened, and what was in it is no password that could be one: who sent it has the hash.
    const bool opened = password.error().code == Code::kInvalid;
    if (opened) sound_alarm(server, connection);
    deny(server, connection,
         opened                      ? "no-password"
         : exchange.obstacle.empty() ? "wrong-hash"
                                     : exchange.obstacle);
    return;
  }
  const auto check = std::make_shared<PasswordCheck>(server, connection, std::move(*password));
  server.lanes().enter(exchange.user, [check](UserLanes::Turn turn) { check->run(std::move(turn)); });
}

void handle_fresh_key(Server& server, Connection& connection, const SessionRequest& request) {
  if (!connection.session->command_keys) {
    refuse_sealed(connection, wire::REFUSAL_OUT_OF_ORDER,
                  "this session has no keys for single commands; say so when it is made");
    return;
  }
  CommandKeys& keys = *connection.session->command_keys;
  auto made = exchange::make_command_key(request.message.fresh_key(), keys.suite, keys.hash.reveal(),
                                         server.config().server_name, crypto::fill_random);
  if (!made) {
    refuse_sealed(connection,
                  made.error().code == Code::kInvalid ? wire::REFUSAL_MALFORMED : wire::REFUSAL_INTERNAL,
                  made.error().detail);
    return;
  }
  wire::SessionReply reply;
  *reply.mutable_fresh_key() = made->answer;
  connection.reply_sealed(reply);
  if (connection.closed()) return;
  connection.session->channel.advance_with_key(bytes_of(request.message.fresh_key().client_nonce()),
                                               bytes_of(made->answer.server_nonce()),
                                               made->session_key.reveal());
  server.tasks().set_epoch(connection.peer().inode, connection.session->channel.epoch());
  keys.used = false;
}

}  // namespace keyd::daemon
