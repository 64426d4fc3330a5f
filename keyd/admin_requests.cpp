// What administrators ask on admin.sock. A change is answered when it is durable, and not before the caches
// have forgotten what it changed; one that takes something away from a user also ends the user's sessions.
#include <fmt/format.h>

#include "core/base/untrusted_text.h"
#include "core/crypto/random.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {
namespace {

constexpr std::size_t kUsersPerPage = 200;

wire::RefusalCode refusal_code(Code code) {
  switch (code) {
    case Code::kNotFound: return wire::REFUSAL_NOT_FOUND;
    case Code::kRefused: return wire::REFUSAL_ALREADY;
    case Code::kInvalid: return wire::REFUSAL_MALFORMED;
    case Code::kExhausted: return wire::REFUSAL_BUSY;
    default: return wire::REFUSAL_INTERNAL;
  }
}

void refuse(Connection& connection, wire::RefusalCode code, std::string text) {
  wire::AdminReply reply;
  reply.mutable_refused()->set_code(code);
  reply.mutable_refused()->set_text(std::move(text));
  connection.reply(reply);
}

void refuse(Connection& connection, const Error& error) {
  if (refusal_code(error.code) == wire::REFUSAL_INTERNAL) log::error(error.message());
  refuse(connection, refusal_code(error.code), error.message());
}

void done(Connection& connection) {
  wire::AdminReply reply;
  reply.mutable_done();
  connection.reply(reply);
}

void audit(Server& server, const Connection& connection, std::string_view event, const std::string& user,
           const std::string& object, const Result<void>& result) {
  AuditEvent line = event_of(connection, event);
  line.user = user;
  line.object = object;
  if (!result) line.reason = result.error().detail;
  server.audit().write(line);
}

bool name_is_fine(Connection& connection, const std::string& name, const char* what) {
  if (is_acceptable_name(name)) return true;
  refuse(
      connection, wire::REFUSAL_MALFORMED,
      fmt::format("\"{}\" is no {} name: 1 to 64 octets of UTF-8, no control characters, no blank at an end, "
                  "no '-' in front",
                  escape(name.substr(0, 80)), what));
  return false;
}

bool password_is_fine(Connection& connection, const secret::SecretBuffer& password) {
  if (!password.empty() && password.size() <= wire::kMaxPassword) return true;
  refuse(connection, wire::REFUSAL_MALFORMED,
         fmt::format("a password has 1 to {} octets", wire::kMaxPassword));
  return false;
}

enum class Sessions { kKeep, kEnd };

// Runs a change of one user on the store's thread, in `queue`; then, durable as it is: cache, sessions, audit,
// answer.
template <typename Job>
void change_user(Server& server, Connection& connection, const char* event, const std::string& name,
                 const std::string& object, Sessions sessions, Job job, AccountId queue) {
  server.store().post(queue, std::move(job),
                      [&server, self = connection.shared_from_this(), event, name, object,
                       sessions](const Result<void>& result) {
                        server.users().forget(name);
                        server.passwords().forget();
                        if (result && sessions == Sessions::kEnd) server.tasks().revoke_user(name);
                        audit(server, *self, event, name, object, result);
                        if (self->closed()) return;
                        if (result) {
                          done(*self);
                        } else {
                          refuse(*self, result.error());
                        }
                      });
}

template <typename Job>
void change_user(Server& server, Connection& connection, const char* event, const std::string& name,
                 const std::string& object, Sessions sessions, Job job) {
  change_user(server, connection, event, name, object, sessions, std::move(job), connection.account());
}

void fill(wire::UserRecord& out, const StoredUser& user) {
  out.set_name(user.name);
  out.set_state(name_of(user.state));
  if ((user.schemes & scheme_bit(table::Scheme::kChallenge)) != 0) out.add_schemes("challenge");
  out.set_allow_historic(user.allow_historic);
  out.set_created(user.created);
  out.set_password_changed(user.password_changed);
  out.set_credential_count(user.credential_count);
}

}  // namespace

// ---- users

void handle_user_add(Server& server, Connection& connection, const wire::AdminRequest& request,
                     secret::SecretBuffer password) {
  const wire::UserAdd& wanted = request.user_add();
  if (!name_is_fine(connection, wanted.name(), "user") || !password_is_fine(connection, password)) return;
  StoredUser user;
  user.name = wanted.name();
  user.allow_historic = wanted.allow_historic();
  for (const std::string& scheme : wanted.schemes()) {
    if (scheme != "challenge") {
      refuse(connection, wire::REFUSAL_POLICY,
             fmt::format("this keyd has no scheme \"{}\"; it has: challenge", escape(scheme.substr(0, 64))));
      return;
    }
  }
  user.schemes = scheme_bit(table::Scheme::kChallenge);
  user.id.resize(16);
  if (!crypto::fill_random({reinterpret_cast<std::uint8_t*>(user.id.data()), user.id.size()})) {
    refuse(connection, wire::REFUSAL_INTERNAL, "keyd has no random numbers");
    return;
  }
  auto sealed = seal_password(server.sealer(), user.id, password.reveal());
  if (!sealed) {
    refuse(connection, sealed.error());
    return;
  }
  user.sealed_password = std::move(*sealed);
  const std::string name = user.name;
  change_user(server, connection, "admin.user-add", name, "challenge", Sessions::kKeep,
              [user = std::move(user)](UserStore& store) { return store.add(user); });
}

void handle_user_passwd(Server& server, Connection& connection, const wire::AdminRequest& request,
                        secret::SecretBuffer password) {
  const std::string& name = request.user_passwd().name();
  if (!password_is_fine(connection, password)) return;
  change_user(
      server, connection, "admin.user-passwd", name, {}, Sessions::kEnd,
      [name, &sealer = server.sealer(), password = std::move(password)](UserStore& store) -> Result<void> {
        const auto user = store.find(name);
        if (!user) return std::unexpected(user.error());
        if (!*user) return fail(Code::kNotFound, "no user \"" + escape(name) + "\"");
        auto sealed = seal_password(sealer, (*user)->id, password.reveal());
        if (!sealed) return std::unexpected(sealed.error());
        return store.set_password(name, *sealed);
      });
}

void handle_user_enable(Server& server, Connection& connection, const wire::AdminRequest& request,
                        secret::SecretBuffer) {
  const std::string& name = request.user_enable().name();
  change_user(server, connection, "admin.user-enable", name, {}, Sessions::kKeep,
              [name](UserStore& store) { return store.set_state(name, UserState::kActive); });
}

void handle_user_disable(Server& server, Connection& connection, const wire::AdminRequest& request,
                         secret::SecretBuffer) {
  const std::string& name = request.user_disable().name();
  change_user(server, connection, "admin.user-disable", name, {}, Sessions::kEnd,
              [name](UserStore& store) { return store.set_state(name, UserState::kDisabled); });
}

void handle_user_unlock(Server& server, Connection& connection, const wire::AdminRequest& request,
                        secret::SecretBuffer) {
  const std::string& name = request.user_unlock().name();
  // The counts in memory go first: a failure that comes from here on is written behind the unlocking.
  server.tries().unlock(name);
  change_user(
      server, connection, "admin.user-unlock", name, {}, Sessions::kKeep,
      [name](UserStore& store) { return store.unlock(name); }, kTriesQueue);
}

void handle_user_remove(Server& server, Connection& connection, const wire::AdminRequest& request,
                        secret::SecretBuffer) {
  const std::string& name = request.user_remove().name();
  server.tries().remove(name);
  change_user(
      server, connection, "admin.user-remove", name, {}, Sessions::kEnd,
      [name](UserStore& store) { return store.remove(name); }, kTriesQueue);
}

void handle_user_show(Server& server, Connection& connection, const wire::AdminRequest& request,
                      secret::SecretBuffer) {
  const std::string& name = request.user_show().name();
  server.store().post(
      connection.account(), [name](UserStore& store) { return store.find(name); },
      [&server, self = connection.shared_from_this(), name](const Result<std::optional<StoredUser>>& user) {
        if (self->closed()) return;
        if (!user) return refuse(*self, user.error());
        if (!*user) return refuse(*self, wire::REFUSAL_NOT_FOUND, "no user \"" + escape(name) + "\"");
        wire::AdminReply reply;
        fill(*reply.mutable_user(), **user);
        const auto standing = server.tries().standing(name, boot_now());
        reply.mutable_user()->set_failed_tries(standing.failures);
        reply.mutable_user()->set_sources_waiting(standing.waiting);
        self->reply(reply);
      });
}

void handle_user_list(Server& server, Connection& connection, const wire::AdminRequest& request,
                      secret::SecretBuffer) {
  server.store().post(
      connection.account(),
      [after = request.user_list().after()](UserStore& store) {
        return store.list(after, kUsersPerPage + 1);
      },
      [self = connection.shared_from_this()](const Result<std::vector<StoredUser>>& users) {
        if (self->closed()) return;
        if (!users) return refuse(*self, users.error());
        wire::AdminReply reply;
        wire::UserRecords& page = *reply.mutable_users();
        for (const StoredUser& user : *users) {
          if (static_cast<std::size_t>(page.users_size()) == kUsersPerPage) {
            page.set_more(true);
            break;
          }
          fill(*page.add_users(), user);
        }
        self->reply(reply);
      });
}

// ---- credentials

void handle_credential_set(Server& server, Connection& connection, const wire::AdminRequest& request,
                           secret::SecretBuffer value) {
  const std::string user = request.credential_set().user(), name = request.credential_set().name();
  if (!name_is_fine(connection, name, "credential")) return;
  if (value.empty() || value.size() > wire::kMaxCredential) {
    refuse(connection, wire::REFUSAL_MALFORMED,
           fmt::format("a credential has 1 to {} octets", wire::kMaxCredential));
    return;
  }
  change_user(
      server, connection, "admin.credential-set", user, name, Sessions::kKeep,
      [user, name, &sealer = server.sealer(), value = std::move(value)](UserStore& store) -> Result<void> {
        const auto known = store.find(user);
        if (!known) return std::unexpected(known.error());
        if (!*known) return fail(Code::kNotFound, "no user \"" + escape(user) + "\"");
        const auto sealed = seal_credential(sealer, (*known)->id, name, value.reveal());
        if (!sealed) return std::unexpected(sealed.error());
        return store.set_credential(user, name, *sealed, static_cast<std::uint32_t>(value.size()));
      });
}

void handle_credential_remove(Server& server, Connection& connection, const wire::AdminRequest& request,
                              secret::SecretBuffer) {
  const std::string user = request.credential_remove().user(), name = request.credential_remove().name();
  change_user(server, connection, "admin.credential-remove", user, name, Sessions::kKeep,
              [user, name](UserStore& store) { return store.remove_credential(user, name); });
}

void handle_credential_list(Server& server, Connection& connection, const wire::AdminRequest& request,
                            secret::SecretBuffer) {
  server.store().post(
      connection.account(),
      [user = request.credential_list().name()](UserStore& store) { return store.credentials(user); },
      [self = connection.shared_from_this()](const Result<std::vector<CredentialEntry>>& entries) {
        if (self->closed()) return;
        if (!entries) return refuse(*self, entries.error());
        wire::AdminReply reply;
        wire::CredentialRecords& list = *reply.mutable_credentials();
        for (const CredentialEntry& entry : *entries) {
          wire::CredentialRecord& record = *list.add_credentials();
          record.set_name(entry.name);
          record.set_size(entry.size);
          record.set_changed(entry.changed);
        }
        self->reply(reply);
      });
}

// ---- processes

namespace {
void revoked(Server& server, Connection& connection, const std::string& user, const std::string& object,
             std::uint32_t count) {
  audit(server, connection, "admin.revoke", user, object, {});
  wire::AdminReply reply;
  reply.mutable_revoked()->set_count(count);
  connection.reply(reply);
}
}  // namespace

void handle_revoke_process(Server& server, Connection& connection, const wire::AdminRequest& request,
                           secret::SecretBuffer) {
  const wire::RevokeProcess& which = request.revoke_process();
  if (which.pid() == 0 && which.inode() == 0) {
    refuse(connection, wire::REFUSAL_MALFORMED, "name a process by pid, inode or both");
    return;
  }
  revoked(server, connection, {}, fmt::format("{}:{}", which.pid(), which.inode()),
          server.tasks().revoke_process(which.pid(), which.inode()));
}

void handle_revoke_user(Server& server, Connection& connection, const wire::AdminRequest& request,
                        secret::SecretBuffer) {
  const std::string& user = request.revoke_user().name();
  revoked(server, connection, user, {}, server.tasks().revoke_user(user));
}

}  // namespace keyd::daemon
