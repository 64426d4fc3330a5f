// Requests of administrators about verifiers that travel: one that another program has made becomes a user's, and a
// user's that another program can use goes out. Both ways v is a packet of its own and lies in locked memory.
#include <fmt/format.h>

#include "core/base/untrusted_text.h"
#include "keyd/admin_answers.h"
#include "keyd/enrolment.h"
#include "keyd/request_handlers.h"

namespace keyd::daemon {
namespace {

// The verifier that is asked to be taken. kInvalid, kRefused: it is none, or of a group that is not taken.
Result<exchange::SrpVerifier> verifier_of(const wire::VerifierImport& wanted, secret::SecretBuffer v) {
  const ByteView salt = bytes_of(wanted.salt());
  if (salt.empty() || salt.size() > exchange::kLongestSalt)
    return fail(Code::kInvalid, fmt::format("a salt has 1 to {} octets", exchange::kLongestSalt));
  auto group =
      exchange::accept_group(bytes_of(wanted.modulus()), bytes_of(wanted.generator()),
                             {.least_bits = exchange::kLeastGroupBits, .unlisted = false, .approved = {}});
  if (!group) return std::unexpected(group.error());
  if (!exchange::check_verifier(*group, v.reveal()))
    return fail(Code::kInvalid, "the verifier is no number of its group");
  return exchange::SrpVerifier{std::move(*group),
                               Bytes(salt.begin(), salt.end()),
                               {.kind = exchange::DerivationKind::kSha1, .cost = {}},
                               std::move(v)};
}

// A user with `verifier`, for the modern suite and, where allowed, for the historic one.
Result<StoredUser> user_with(const StoreSealer& sealer, const wire::VerifierImport& wanted,
                             const exchange::SrpVerifier& verifier) {
  auto id = new_user_id();
  if (!id) return std::unexpected(id.error());
  StoredUser user;
  user.id = std::move(*id);
  user.name = wanted.name();
  user.schemes = scheme_bit(table::Scheme::kSrp);
  user.allow_historic = wanted.allow_historic();
  auto sealed = seal_verifier(sealer, user.id, wire::SUITE_MODERN, verifier);
  if (!sealed) return std::unexpected(sealed.error());
  user.sealed_verifier = std::move(*sealed);
  user.verifier_shape = verifier_shape_of(verifier);
  if (!user.allow_historic) return user;
  sealed = seal_verifier(sealer, user.id, wire::SUITE_HISTORIC, verifier);
  if (!sealed) return std::unexpected(sealed.error());
  user.sealed_historic_verifier = std::move(*sealed);
  user.historic_verifier_shape = verifier_shape_of(verifier);
  return user;
}

// The user's verifier whose x is by SHA-1, that of the modern suite first. kRefused says why there is none to give.
Result<exchange::SrpVerifier> portable_verifier(const StoreSealer& sealer, const StoredUser& user) {
  // The files of other programs have no word for a user who may not log in.
  if (user.state != UserState::kActive)
    return fail(Code::kRefused, fmt::format("user \"{}\" is {}: where the verifier goes nobody would know",
                                            escape(user.name), name_of(user.state)));
  bool any = false;
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    auto verifier = unseal_verifier(sealer, user, suite);
    if (!verifier && verifier.error().code == Code::kNotFound) continue;
    if (!verifier || verifier->derivation.kind == exchange::DerivationKind::kSha1) return verifier;
    any = true;
  }
  return fail(Code::kRefused,
              any ? fmt::format("the verifier of \"{}\" is not by SHA-1: no other program could use it",
                                escape(user.name))
                  : fmt::format("user \"{}\" has no verifier", escape(user.name)));
}

// kRefused is a matter of policy here, not of a name that is taken.
void refuse_this(Connection& connection, const Error& error) {
  if (error.code != Code::kRefused) return refuse(connection, error);
  refuse(connection, wire::REFUSAL_POLICY, error.message());
}

void give_verifier(Server& server, Connection& connection, const std::string& name,
                   const Result<std::optional<StoredUser>>& user) {
  constexpr const char* kEvent = "admin.verifier-export";
  if (!user) return refuse(connection, user.error());
  auto verifier = *user ? portable_verifier(server.sealer(), **user)
                        : Result<exchange::SrpVerifier>(fail(Code::kNotFound, no_user(name)));
  if (!verifier) {
    audit(server, connection, kEvent, name, {}, std::unexpected(verifier.error()));
    return refuse_this(connection, verifier.error());
  }
  wire::AdminReply reply;
  wire::VerifierRecord& record = *reply.mutable_verifier();
  record.set_salt(std::string(text_of(verifier->salt)));
  record.set_modulus(std::string(text_of(verifier->group.modulus_octets())));
  record.set_generator(std::string(text_of(verifier->group.generator_octets())));
  // What leaves is told before it leaves.
  audit(server, connection, kEvent, name, {}, {});
  connection.reply(reply, std::move(verifier->v));
}

}  // namespace

void handle_verifier_import(Server& server, Connection& connection, const wire::AdminRequest& request,
                            secret::SecretBuffer v) {
  const wire::VerifierImport& wanted = request.verifier_import();
  if (!name_is_fine(connection, wanted.name(), "user")) return;
  const auto verifier = verifier_of(wanted, std::move(v));
  if (!verifier) return refuse_this(connection, verifier.error());
  auto user = user_with(server.sealer(), wanted, *verifier);
  if (!user) return refuse(connection, user.error());
  change_user(server, connection, "admin.verifier-import", wanted.name(),
              fmt::format("{} bits", verifier->group.bits()), Sessions::kKeep,
              [user = std::move(*user)](UserStore& store) { return store.add(user); });
}

void handle_verifier_export(Server& server, Connection& connection, const wire::AdminRequest& request,
                            secret::SecretBuffer) {
  const std::string& name = request.verifier_export().name();
  server.store().post(
      connection.account(), [name](UserStore& store) { return store.find(name); },
      [&server, self = connection.shared_from_this(), name](const Result<std::optional<StoredUser>>& user) {
        if (self->closed()) return;
        self->attempt([&] { give_verifier(server, *self, name, user); });
      });
}

}  // namespace keyd::daemon
