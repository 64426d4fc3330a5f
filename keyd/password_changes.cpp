#include "keyd/password_changes.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/random.h"
#include "keyd/server.h"

namespace keyd::daemon {
namespace {

constexpr std::uint64_t kSweep = 60 * kSecond;  // ages, and what was carried
constexpr std::size_t kSaltSize = 16;           // octets of a new verifier's
constexpr AccountId kQueue = kTriesQueue;       // keyd's own jobs at the store

// As the connections of this host are; the shim's will declare theirs.
constexpr NetworkKind kKind = NetworkKind::kLocal;

std::chrono::seconds age_of(const PasswordUse& use) {
  const std::uint64_t now = wall_now() / kSecond;
  return std::chrono::seconds(now > use.password_changed ? now - use.password_changed : 0);
}

AuditEvent about(const PasswordUse& use, std::string_view event) {
  AuditEvent line;
  line.event = event;
  line.user = use.user;
  line.reason = name_of(use.due.reason);
  return line;
}

}  // namespace

PasswordChanges::PasswordChanges(Server& server, std::optional<PlacedDirectory> directory)
    : server_(server), directory_(std::move(directory)) {}

// ---- a session's life

std::unique_ptr<PasswordChange> PasswordChanges::part_of(const Connection& connection,
                                                         const std::string& user, wire::Suite suite,
                                                         exchange::SrpKeys keys, Bytes made_by) {
  auto charge = server_.quota().take(Resource::kChangeKeys, connection.peer().ids.euid);
  if (!charge) return nullptr;
  return std::make_unique<PasswordChange>(
      std::move(keys), exchange::ChangeContext{user, suite, server_.config().srp_vendor_id},
      std::move(made_by), std::move(*charge));
}

std::shared_ptr<PasswordUse> PasswordChanges::use_of(const StoredUser& user) {
  auto& use = uses_[user.id];
  if (use == nullptr) {
    use = std::make_shared<PasswordUse>();
    use->user_id = user.id;
    use->user = user.name;
    use->password_changed = user.password_changed;
    use->octets = user.carried_octets;
    use->records = user.carried_records;
    use->due = user.due;
  }
  return use;
}

void PasswordChanges::session_began(Connection& connection, const StoredUser& user) {
  const auto use = use_of(user);
  connection.session->use = use;
  use->sessions.push_back(connection.weak_from_this());
  judge(*use);
  server_.tasks().set_change_due(connection.peer().inode, use->due.serial != 0);
  if (use->due.serial == 0) return;
  if (use->ask_again == 0) use->ask_again = boot_now() + server_.config().change_interval();
  ask(connection, false, {});
}

void PasswordChanges::carried(Connection& connection, std::size_t octets) {
  PasswordUse& use = *connection.session->use;
  use.octets += octets;
  use.unstored_octets += octets;
  ++use.records;
  ++use.unstored_records;
  judge(use);
}

void PasswordChanges::received(Connection& connection, std::uint64_t serial) {
  PasswordChange* const change = connection.session->change.get();
  if (change == nullptr || serial == 0 || serial != change->machine.serial() || change->received) return;
  change->received = true;
  AuditEvent line = about(*connection.session->use, "password.question-received");
  line.session = to_hex(bytes_of(connection.session->id));
  server_.audit().write(line);
}

void PasswordChanges::forget_question(Connection& connection) {
  PasswordChange* const change = connection.session->change.get();
  if (change == nullptr) return;
  if (!change->place.empty() && directory_) directory_->remove(change->place);
  change->forget_question();
}

void PasswordChanges::session_ended(Connection& connection) {
  forget_question(connection);
  if (connection.session->use == nullptr) return;
  std::erase_if(connection.session->use->sessions, [&](const std::weak_ptr<Connection>& each) {
    const auto living = each.lock();
    return living == nullptr || living.get() == &connection;
  });
  connection.session->use.reset();
}

void PasswordChanges::renewed(Connection& connection, exchange::SrpKeys keys, Bytes made_by) {
  forget_question(connection);
  PasswordChange& change = *connection.session->change;
  change.machine = exchange::PasswordChangeServer(std::move(keys), change.context);
  change.made_by = std::move(made_by);
  change.questions = 0;
  ask(connection, false, {});
}

void PasswordChanges::handed_over(Connection& connection) {
  forget_question(connection);
  connection.session->change.reset();
}

// ---- whether it is due

void PasswordChanges::judge(PasswordUse& use) {
  if (use.due.serial != 0 || use.being_asked) return;
  const ChangeReason reason =
      reason_to_change(server_.config().change_policy, kKind, age_of(use), use.octets, use.records);
  if (reason == ChangeReason::kNone) return;
  use.being_asked = true;
  server_.store().post(
      kQueue,
      [user = use.user, reason, set_at = use.password_changed](UserStore& store) {
        return store.ask_change(user, reason, set_at);
      },
      [this, id = use.user_id](const Result<DueChange>& asked) {
        const auto found = uses_.find(id);
        if (found == uses_.end()) return;
        if (asked) {
          found->second->being_asked = false;
          due(found->second->user, *asked);
        } else if (asked.error().code == Code::kConflict) {
          found->second->being_asked = false;  // another password, which was not judged yet
        } else if (asked.error().code != Code::kNotFound) {
          log::error(asked.error().message());  // and is tried again with the next sweep
        }
      });
}

template <typename Visit>
void PasswordChanges::each_session(const PasswordUse& use, Visit visit) {
  const auto sessions = use.sessions;  // a visit may end one
  for (const auto& each : sessions) {
    const auto connection = each.lock();
    if (connection != nullptr && !connection->closed() && connection->session != nullptr) visit(*connection);
  }
}

PasswordUse* PasswordChanges::find(const std::string& user) {
  const auto found =
      std::ranges::find_if(uses_, [&](const auto& entry) { return entry.second->user == user; });
  return found == uses_.end() ? nullptr : found->second.get();
}

void PasswordChanges::due(const std::string& user, const DueChange& due) {
  server_.users().forget(user);
  server_.tasks().set_change_due_of_user(user, true);
  PasswordUse* const use = find(user);
  if (use == nullptr) return;
  const bool is_new = use->due.serial != due.serial;
  use->due = due;
  if (is_new) server_.audit().write(about(*use, "password.change-due"));
  const bool anybody = ask_all(*use);
  if (is_new && !anybody) server_.audit().write(about(*use, "password.nobody-to-ask"));
}

bool PasswordChanges::ask_all(PasswordUse& use) {
  use.ask_again = boot_now() + server_.config().change_interval();
  bool anybody = false;
  each_session(use, [&](Connection& connection) {
    if (connection.session->change == nullptr || !offers(*connection.session->change)) return;
    anybody = true;
    connection.session->change->received = false;
    ask(connection, false, {});
  });
  return anybody;
}

// ---- the question

// A change in a suite that is switched off would leave the user a verifier that opens nothing.
bool PasswordChanges::offers(const PasswordChange& change) const {
  return change.context.suite != wire::SUITE_HISTORIC || server_.config().historic_enabled;
}

void PasswordChanges::ask(Connection& connection, bool wanted, std::function<void(Asked)> done) {
  const auto is_due = [wanted](const Connection& asked) {
    return wanted || asked.session->use->due.serial != 0;
  };
  const bool awaited = static_cast<bool>(done);
  const auto say = [done = std::move(done)](Asked asked) {
    if (done) done(asked);
  };
  PasswordChange* const change = connection.session->change.get();
  if (change == nullptr || !is_due(connection)) return say(Asked::kNotDue);
  if (!offers(*change)) return say(Asked::kNotOffered);
  if (change->machine.serial() != 0) {
    change->to_be_sent = true;
    return say(Asked::kAsked);
  }
  const auto lay = [this, is_due, say](Connection& asked, const Result<UserPtr>& user) {
    if (!is_due(asked)) return say(Asked::kNotDue);
    const auto& machine = asked.session->change->machine;
    if (machine.serial() == 0 && user && *user != nullptr) lay_question(asked, **user);
    say(machine.serial() != 0 ? Asked::kAsked : Asked::kFailed);
  };
  server_.users().find(connection.account(), connection.session->user,
                       [self = connection.shared_from_this(), lay, awaited](const Result<UserPtr>& user) {
                         if (self->closed() || self->session == nullptr || self->session->change == nullptr)
                           return;
                         if (awaited) return self->attempt([&] { lay(*self, user); });
                         try {
                           lay(*self, user);
                         } catch (const std::exception& e) {
                           log::error("user \"" + escape(self->session->user) +
                                      "\" cannot be asked for a new password: " + e.what());
                         }
                       });
}

// Seed 002, step 312.
void PasswordChanges::lay_question(Connection& connection, const StoredUser& user) {
  PasswordChange& change = *connection.session->change;
  const Config& config = server_.config();
  const auto now = unseal_verifier(server_.sealer(), user, change.context.suite);
  if (!now) {
    log::error("user \"" + escape(user.name) +
               "\" cannot be asked for a new password: " + now.error().message());
    return;
  }
  auto group = exchange::SrpGroup::listed(config.srp_group);
  if (!group) return log::error(group.error().message());
  exchange::PasswordChangeServer::Question question{
      .serial = ++change.questions,
      .fresh = {std::move(*group), now->salt,
                change.context.suite == wire::SUITE_HISTORIC ? exchange::XDerivation{}
                                                             : exchange::kDefaultDerivation}};
  // Its client has the salt and the group that the session was made by; another session may have changed them since.
  const bool has_these = change.made_by == sealed_verifier_of(user, change.context.suite);
  question.same_group = has_these && question.fresh.group == now->group;
  question.same_salt = has_these && !config.change_salt;
  question.as_eap_srp = change.context.suite == wire::SUITE_HISTORIC && config.change_as_eap_srp;
  Bytes salt(kSaltSize), place(exchange::kPlaceNameSize / 2);
  if (!crypto::fill_random(salt) || !crypto::fill_random(place)) return log::error("no random numbers");
  if (config.change_salt) question.fresh.salt = std::move(salt);
  if (config.change_by_place && directory_) question.place = to_hex(place);
  const auto derivation = question.fresh.derivation.octets();
  change.place = question.place;
  auto packet = change.machine.ask(std::move(question), crypto::fill_random);
  if (!packet) return log::error(packet.error().message());
  if (!change.place.empty()) {
    if (auto placed = directory_->place(change.place, change.machine.placed()); !placed) {
      log::error(placed.error().message());
      change.place.clear();
      change.forget_question();
      return;
    }
  }
  change.question.set_eap(packet->data(), packet->size());
  change.question.set_derivation(derivation.data(), derivation.size());
  change.question.set_history_salt(user.history_salt.data(), user.history_salt.size());
  change.to_be_sent = true;
  AuditEvent line = about(*connection.session->use, "password.asked");
  line.session = to_hex(bytes_of(connection.session->id));
  server_.audit().write(line);
}

void PasswordChanges::settled(const std::string& user, std::uint64_t password_changed) {
  server_.users().forget(user);
  server_.passwords().forget();
  server_.note_shapes_changed();
  server_.tasks().set_change_due_of_user(user, false);
  PasswordUse* const use = find(user);
  if (use == nullptr) return;
  use->due = {};
  use->ask_again = 0;
  use->password_changed = password_changed;
  use->octets = use->records = use->unstored_octets = use->unstored_records = 0;
  each_session(*use, [&](Connection& connection) { forget_question(connection); });
}

void PasswordChanges::forget_user(const std::string& user) {
  if (const PasswordUse* const use = find(user)) uses_.erase(std::string(use->user_id));
}

// ---- time

// Claims 11, 27: nobody has answered. It counts as a failure only where the question had arrived.
void PasswordChanges::overdue(PasswordUse& use) {
  if (use.answers != 0) {  // the store has one to judge: it is looked at again with the next tick
    use.ask_again = boot_now();
    return;
  }
  bool received = false;
  each_session(use, [&](Connection& connection) {
    received |= connection.session->change != nullptr && connection.session->change->received;
  });
  if (!received) {
    (void)ask_all(use);
    return;
  }
  use.ask_again = boot_now() + server_.config().change_interval();
  const std::uint32_t most = server_.config().change_failures;
  server_.store().post(
      kQueue,
      [id = use.user_id, serial = use.due.serial, most](UserStore& store) {
        return store.fail_change(id, serial, most);
      },
      [this, id = use.user_id, about_it = about(use, "password.not-changed"),
       most](const Result<UserStore::ChangeFailure>& failed) {
        if (!failed) {
          if (failed.error().code != Code::kConflict) log::error(failed.error().message());
          return;
        }
        const std::string user = about_it.user;
        server_.users().forget(user);
        AuditEvent line = about_it;
        line.object =
            most == 0 ? fmt::format("{}", failed->failures) : fmt::format("{} of {}", failed->failures, most);
        server_.audit().write(line);
        if (failed->disabled) {
          line.event = "password.disabled";
          line.object.clear();
          server_.audit().write(line);
          server_.tasks().revoke_user(user);
          return;
        }
        const auto found = uses_.find(id);
        if (found == uses_.end()) return;
        found->second->due.failures = failed->failures;
        (void)ask_all(*found->second);
      });
}

// Those whose time is up, where nothing of them is under way: the client hears of it when it goes on. A re-authentication
// has another deadline at the task registry, which is never later and comes first.
void PasswordChanges::drop_late_exchanges(BootTime now) {
  std::erase_if(nesting_, [now](const std::weak_ptr<Connection>& each) {
    const auto connection = each.lock();
    if (connection == nullptr || connection->closed() || connection->session == nullptr ||
        connection->session->change == nullptr || connection->session->change->nested == nullptr)
      return true;
    if (connection->session->change->nested->deadline > now || !connection->awaits_packet()) return false;
    connection->session->change->nested.reset();
    return true;
  });
}

void PasswordChanges::tick(BootTime now) {
  drop_late_exchanges(now);
  std::vector<std::shared_ptr<PasswordUse>> late;
  for (const auto& [id, use] : uses_) {
    if (use->ask_again != 0 && use->ask_again <= now) late.push_back(use);
  }
  for (const auto& use : late) {
    use->ask_again = 0;
    if (use->due.serial != 0 && !use->sessions.empty()) overdue(*use);
  }
  if (now < swept_ + kSweep) return;
  swept_ = now;
  for (const auto& [id, use] : uses_) {
    use->being_asked = false;  // what could not be stored is tried again
    judge(*use);
  }
  store_use();
}

void PasswordChanges::store_use() {
  std::vector<UserStore::Carried> carried;
  std::vector<std::string> names;
  for (auto it = uses_.begin(); it != uses_.end();) {
    PasswordUse& use = *it->second;
    if (use.unstored_records != 0) {
      carried.push_back({use.user_id, use.unstored_octets, use.unstored_records, use.password_changed});
      names.push_back(use.user);
      use.unstored_octets = use.unstored_records = 0;
    }
    it = use.sessions.empty() && !use.being_asked ? uses_.erase(it) : std::next(it);
  }
  if (carried.empty()) return;
  server_.store().post(
      kQueue, [carried = std::move(carried)](UserStore& store) { return store.carry(carried); },
      [this, names = std::move(names)](const Result<void>& stored) {
        for (const std::string& name : names) server_.users().forget(name);
        if (!stored)
          log::error("what sessions have carried could not be counted: " + stored.error().message());
      });
}

}  // namespace keyd::daemon
