// The requests of a change of password within a session; docs/protocols/password-change.md has the order.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/log.h"
#include "core/crypto/digest.h"
#include "core/exchange/password_history.h"
#include "keyd/nested_exchange.h"
#include "keyd/password_changes.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {
namespace {

AuditEvent line_about(const Connection& connection, std::string_view event, std::string_view reason = {}) {
  AuditEvent line = event_of(connection, event);
  line.user = connection.session->user;
  line.session = to_hex(bytes_of(connection.session->id));
  line.reason = reason;
  return line;
}

// What is to become durable, as the store's thread needs it.
struct NewPassword {
  std::string user, user_id;
  wire::Suite suite;
  Bytes proved_secret;  // it holds as long as this is the user's verifier
  UserSecrets secrets;
  std::shared_ptr<const secret::SecretBuffer> history_hashes;  // of the new password | of the old one
  std::uint32_t keep;
};

// Whether the password, or a permutation of it, is one of the recent ones.
Result<bool> is_recent(UserStore& store, const StoreSealer& sealer, const StoredUser& user, ByteView hash) {
  const auto history = store.password_history(user.id);
  if (!history) return std::unexpected(history.error());
  bool recent = false;
  for (const Bytes& each : *history) {
    const auto known = unseal_history(sealer, user.id, each);
    if (!known) return std::unexpected(known.error());
    recent |= crypto::constant_time_equal(known->reveal(), hash);
  }
  return recent;
}

constexpr const char* kRecent = "the password, or the same characters in another order, was used recently";

// On the store's thread: judged and changed there, nothing comes in between. kRefused: a recent one. kConflict: the user
// is not the one any more who proved the old password.
// Gives the names of the schemes whose secrets went along.
Result<std::string> store_password(UserStore& store, const StoreSealer& sealer, const NewPassword& fresh) {
  const auto user = store.find(fresh.user);
  if (!user) return std::unexpected(user.error());
  if (!*user || (*user)->id != fresh.user_id || (*user)->state != UserState::kActive ||
      sealed_verifier_of(**user, fresh.suite) != fresh.proved_secret)
    return fail(Code::kConflict, "the user was changed meanwhile; authenticate again");
  Bytes sealed_history;
  if (fresh.keep != 0) {
    const ByteView of_new = fresh.history_hashes->reveal().first(exchange::kHistoryHashSize);
    const ByteView of_old = fresh.history_hashes->reveal().subspan(exchange::kHistoryHashSize);
    const auto recent = is_recent(store, sealer, **user, of_new);
    if (!recent) return std::unexpected(recent.error());
    if (*recent || crypto::constant_time_equal(of_new, of_old)) return fail(Code::kRefused, kRecent);
    // Of former passwords alone: what is in use shall not be searched by what the history knows of it.
    auto sealed = seal_history(sealer, fresh.user_id, of_old);
    if (!sealed) return std::unexpected(sealed.error());
    sealed_history = std::move(*sealed);
  }
  // Before it is durable: nothing may fail after that.
  auto gone =
      fmt::format("{}", fmt::join(scheme_names((*user)->schemes & ~scheme_bit(table::Scheme::kSrp)), ","));
  if (auto changed =
          store.change_password(fresh.user_id, (*user)->version, fresh.secrets, sealed_history, fresh.keep);
      !changed)
    return std::unexpected(changed.error());
  return gone;
}

Result<UserSecrets> secrets_of(const StoreSealer& sealer, const std::string& user_id, wire::Suite suite,
                               const exchange::SrpVerifier& verifier) {
  auto sealed = seal_verifier(sealer, user_id, suite, verifier);
  if (!sealed) return std::unexpected(sealed.error());
  UserSecrets secrets;
  if (suite == wire::SUITE_HISTORIC) {
    secrets.sealed_historic_verifier = std::move(*sealed);
    secrets.historic_verifier_shape = verifier_shape_of(verifier);
  } else {
    secrets.sealed_verifier = std::move(*sealed);
    secrets.verifier_shape = verifier_shape_of(verifier);
  }
  return secrets;
}

void refuse_answer(Server& server, Connection& connection, wire::RefusalCode code, const std::string& text,
                   std::string_view reason) {
  server.audit().write(line_about(connection, "password.refused", reason));
  refuse_sealed(connection, code, text);
}

struct Refusal {
  wire::RefusalCode code;
  const char* reason;  // for the audit log
  std::string text;
};
Refusal refusal_of(const Error& error) {
  switch (error.code) {
    case Code::kRefused: return {wire::REFUSAL_POLICY, "recent", error.detail};
    case Code::kConflict: return {wire::REFUSAL_GONE, "changed-meanwhile", error.detail};
    case Code::kInDoubt:
      return {
          wire::REFUSAL_IN_DOUBT, "store",
          "keyd's disk failed; whether the password was changed shows at its next start: try the new one first"};
    default:
      return {wire::REFUSAL_INTERNAL, "store", "keyd cannot write its store; the password is as it was"};
  }
}

// It is durable, or it is not: whether the client still hears of it or not.
void conclude_change(Server& server, const std::shared_ptr<Connection>& connection, AuditEvent changed,
                     const Result<std::string>& stored) {
  server.users().forget(changed.user);  // before anything can fail: what is cached may not hold any more
  const bool listens =
      !connection->closed() && connection->session != nullptr && connection->session->change != nullptr;
  if (!stored) {
    const Refusal refusal = refusal_of(stored.error());
    changed.event = "password.refused";
    changed.reason = refusal.reason;
    server.audit().write(changed);
    if (changed.reason == "store") log::error(stored.error().message());
    if (listens) refuse_sealed(*connection, refusal.code, refusal.text);
    return;
  }
  wire::SessionReply reply;
  if (listens) {
    const Bytes success = connection->session->change->machine.succeed();
    reply.mutable_change_answer()->set_eap(success.data(), success.size());
  }
  server.changes().settled(changed.user, wall_now() / kSecond);
  if (!stored->empty()) changed.object = "without " + *stored;
  server.audit().write(changed);
  if (listens && !connection->closed()) connection->reply_sealed(reply);
}

}  // namespace

void handle_change_asked(Server& server, Connection& connection, const SessionRequest& request) {
  if (connection.session->change == nullptr) {
    refuse_sealed(connection, wire::REFUSAL_POLICY,
                  "only a session made by srp, of a client that can ask for a password, can change it");
    return;
  }
  server.changes().ask(connection, request.message.change_asked().wanted(),
                       [self = connection.shared_from_this()](PasswordChanges::Asked asked) {
                         if (asked == PasswordChanges::Asked::kNotDue) {
                           refuse_sealed(*self, wire::REFUSAL_NOT_FOUND, "no change of the password is due");
                           return;
                         }
                         if (asked == PasswordChanges::Asked::kNotOffered)
                           return refuse_sealed(*self, wire::REFUSAL_POLICY, kSuiteNotOffered);
                         if (asked == PasswordChanges::Asked::kFailed) {
                           refuse_sealed(*self, wire::REFUSAL_INTERNAL,
                                         "keyd cannot ask now; its log says why");
                           return;
                         }
                         wire::SessionReply reply;
                         reply.mutable_change_asked();  // the question is beside it
                         self->reply_sealed(reply);
                       });
}

// Seed 002, step 318 and what follows it at the server.
void handle_change_answer(Server& server, Connection& connection, const SessionRequest& request) {
  PasswordChange* const change = connection.session->change.get();
  if (change == nullptr || change->machine.serial() == 0)
    return refuse_answer(server, connection, wire::REFUSAL_NOT_FOUND, "nothing is asked", "not-asked");
  if (!server.changes().offers(*change))
    return refuse_answer(server, connection, wire::REFUSAL_GONE, kSuiteNotOffered, "suite-not-offered");
  if (change->proved_secret.empty() || change->proof_holds_until <= boot_now())
    return refuse_answer(server, connection, wire::REFUSAL_OUT_OF_ORDER, "prove the old password first",
                         "old-password-not-proved");
  const auto verifier = change->machine.take_answer(bytes_of(request.message.change_answer().eap()));
  if (!verifier)
    return refuse_answer(server, connection, wire::REFUSAL_MALFORMED, verifier.error().detail, "bad-answer");
  if (request.payload.size() != 2 * exchange::kHistoryHashSize)
    return refuse_answer(server, connection, wire::REFUSAL_MALFORMED,
                         "the hashes for the history are 32 octets each", "bad-answer");
  auto secrets = secrets_of(server.sealer(), connection.session->user_id, change->context.suite, *verifier);
  if (!secrets) {
    log::error(secrets.error().message());
    return refuse_answer(server, connection, wire::REFUSAL_INTERNAL,
                         "keyd cannot seal the verifier; the password is as it was", "store");
  }
  NewPassword fresh{
      connection.session->user,
      connection.session->user_id,
      change->context.suite,
      change->proved_secret,
      std::move(*secrets),
      std::make_shared<const secret::SecretBuffer>(secret::SecretBuffer::copy_of(request.payload)),
      server.config().change_history};
  const std::shared_ptr<PasswordUse> use = connection.session->use;
  server.store().post(
      connection.account(),
      [&sealer = server.sealer(), fresh = std::move(fresh)](UserStore& store) {
        return store_password(store, sealer, fresh);
      },
      [&server, self = connection.shared_from_this(), use,
       changed = line_about(connection, "password.changed")](const Result<std::string>& stored) {
        --use->answers;
        if (self->closed()) return conclude_change(server, self, changed, stored);
        self->attempt([&] { conclude_change(server, self, changed, stored); });
      });
  ++use->answers;  // the completion comes in a later turn of the loop
}

}  // namespace keyd::daemon
