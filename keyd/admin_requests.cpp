// What administrators ask on admin.sock. A change is answered when it is durable, and not before the caches
// have forgotten what it changed; one that takes something away from a user also ends the user's sessions.
#include <fmt/format.h>

#include "core/base/untrusted_text.h"
#include "keyd/admin_answers.h"
#include "keyd/enrolment.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {
namespace {

constexpr std::size_t kUsersPerPage = 200;

void fill(wire::UserRecord& out, const StoredUser& user) {
  out.set_name(user.name);
  out.set_state(name_of(user.state));
  for (std::string& scheme : scheme_names(user.schemes)) out.add_schemes(std::move(scheme));
  out.set_allow_historic(user.allow_historic);
  out.set_created(user.created);
  out.set_password_changed(user.password_changed);
  out.set_credential_count(user.credential_count);
  out.set_has_md5(!user.sealed_md5.empty());
  out.set_change_due(name_of(user.due.reason));
  out.set_change_since(user.due.since);
  out.set_change_failures(user.due.failures);
  out.set_carried_octets(user.carried_octets);
  out.set_carried_records(user.carried_records);
}

std::string kind_of(const exchange::SrpVerifier& verifier) {
  using Kind = exchange::DerivationKind;
  const Kind kind = verifier.derivation.kind;
  const char* const how = kind == Kind::kSha1 ? "sha1" : kind == Kind::kSha256 ? "sha256" : "scrypt";
  return fmt::format("{} bits, {}", verifier.group.bits(), how);
}

// How the user's hashes and verifiers were made: settings and salts, which every client is told that asks.
Result<void> fill_settings(wire::UserRecord& out, const StoreSealer& sealer, const StoredUser& user) {
  if (!user.sealed_crypt.empty()) {
    const auto hash = unseal_hash(sealer, user, wire::SUITE_MODERN);
    if (!hash) return std::unexpected(hash.error());
    out.set_crypt_setting(hash->setting.text());
    if (const auto cost = crypto::check_crypt_setting(hash->setting, {})) out.set_crypt_method(cost->method);
  }
  if (!user.sealed_md5.empty()) {
    const auto hash = unseal_hash(sealer, user, wire::SUITE_HISTORIC);
    if (!hash) return std::unexpected(hash.error());
    out.set_md5_salt(std::string(text_of(hash->salt)));
  }
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    const auto verifier = unseal_verifier(sealer, user, suite);
    if (!verifier && verifier.error().code == Code::kNotFound) continue;
    if (!verifier) return std::unexpected(verifier.error());
    if (suite == wire::SUITE_MODERN) {
      out.set_srp_verifier(kind_of(*verifier));
    } else {
      out.set_srp_historic_verifier(kind_of(*verifier));
    }
  }
  return {};
}

}  // namespace

// ---- users (enrolment_requests.cpp: those that give secrets)

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
        if (!*user) return refuse(*self, wire::REFUSAL_NOT_FOUND, no_user(name));
        self->attempt([&] {  // locked memory, for the settings of sealed secrets, may be out
          wire::AdminReply reply;
          fill(*reply.mutable_user(), **user);
          if (auto told = fill_settings(*reply.mutable_user(), server.sealer(), **user); !told)
            return refuse(*self, told.error());
          const auto standing = server.tries().standing(name, boot_now());
          reply.mutable_user()->set_failed_tries(standing.failures);
          reply.mutable_user()->set_sources_waiting(standing.waiting);
          self->reply(reply);
        });
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

// ---- changes of passwords

namespace {
// Only who proves the old password by `srp` can give a new one from afar.
Result<DueChange> ask_for_change(UserStore& store, const std::string& name) {
  const auto user = store.find(name);
  if (!user) return std::unexpected(user.error());
  if (!*user) return fail(Code::kNotFound, no_user(name));
  if (((*user)->schemes & scheme_bit(table::Scheme::kSrp)) == 0) {
    return fail(
        Code::kRefused,
        fmt::format("user \"{}\" does not have the scheme srp, by which a user changes the password; set it "
                    "with: keyadm user passwd, or enrol the user anew with --scheme srp",
                    escape(name)));
  }
  return store.ask_change(name, ChangeReason::kAdministrator);
}
}  // namespace

void handle_change_due(Server& server, Connection& connection, const wire::AdminRequest& request,
                       secret::SecretBuffer) {
  const std::string& name = request.change_due().name();
  server.store().post(
      connection.account(), [name](UserStore& store) { return ask_for_change(store, name); },
      [&server, self = connection.shared_from_this(), name](const Result<DueChange>& asked) {
        if (!asked) return change_failed(server, *self, "admin.change-due", name, {}, asked.error());
        audit(server, *self, "admin.change-due", name, {}, {});
        server.changes().due(name, *asked);
        if (!self->closed()) done(*self);
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
        if (!*known) return fail(Code::kNotFound, no_user(user));
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
