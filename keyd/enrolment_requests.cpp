// Requests of administrators that give a user secrets: user.add, user.passwd, user.import. Hashing a password takes a
// crypt(3): it is done on the worker pool, between the look at the user and the change. A password is wiped before
// anybody is told what became of it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ctime>
#include <new>

#include "core/base/untrusted_text.h"
#include "keyd/admin_answers.h"
#include "keyd/enrolment.h"
#include "keyd/request_handlers.h"

namespace keyd::daemon {
namespace {

constexpr std::uint64_t kLastSecond = 253402300799;  // the end of the year 9999

std::string schemes_text(SchemeSet schemes) {
  return fmt::format("{}", fmt::join(scheme_names(schemes), ","));
}

// The schemes that a request names; srp where it names none.
Result<SchemeSet> wanted_schemes(const wire::UserAdd& wanted) {
  SchemeSet schemes = 0;
  for (const std::string& name : wanted.schemes()) {
    const SchemeSet scheme = scheme_named(name);
    if (scheme == 0) {
      return fail(Code::kUnsupported, fmt::format("this keyd has no scheme \"{}\"; it has: {}",
                                                  escape(name.substr(0, 64)), schemes_text(~SchemeSet{0})));
    }
    schemes |= scheme;
  }
  return schemes == 0 ? scheme_bit(table::Scheme::kSrp) : schemes;
}

// A user as enrolled now. The password's age is told by `changed`.
StoredUser new_user(std::string name, const Enrolled& enrolled, UserSecrets secrets, std::uint64_t changed) {
  StoredUser user;
  user.id = enrolled.user_id;
  user.name = std::move(name);
  user.schemes = enrolled.schemes;
  user.allow_historic = enrolled.allow_historic;
  user.password_changed = changed;
  user.sealed_password = std::move(secrets.sealed_password);
  user.sealed_crypt = std::move(secrets.sealed_crypt);
  user.crypt_shape = std::move(secrets.crypt_shape);
  user.sealed_md5 = std::move(secrets.sealed_md5);
  user.md5_shape = std::move(secrets.md5_shape);
  user.sealed_verifier = std::move(secrets.sealed_verifier);
  user.verifier_shape = std::move(secrets.verifier_shape);
  user.sealed_historic_verifier = std::move(secrets.sealed_historic_verifier);
  user.historic_verifier_shape = std::move(secrets.historic_verifier_shape);
  return user;
}

// Makes the secrets of `password` on the worker pool, then calls `then(secrets)` on the loop.
template <typename Then>
void make_secrets_aside(Server& server, Connection& connection, Enrolled user, secret::SecretBuffer password,
                        Then then) {
  server.workers().post(
      connection.account(),
      [user = std::move(user), password = std::move(password), how = server.config().derivations(),
       &sealer = server.sealer()]() mutable -> Result<UserSecrets> {
        const secret::SecretBuffer used_here = std::move(password);
        try {
          return make_secrets(sealer, user, used_here.reveal(), how);
        } catch (const std::bad_alloc& e) {
          return fail(Code::kExhausted, std::string("hashing a password: ") + e.what());
        }
      },
      std::move(then));
}

}  // namespace

void handle_user_add(Server& server, Connection& connection, const wire::AdminRequest& request,
                     secret::SecretBuffer password) {
  const wire::UserAdd& wanted = request.user_add();
  if (!name_is_fine(connection, wanted.name(), "user")) return;
  const auto schemes = wanted_schemes(wanted);
  if (!schemes) return refuse(connection, wire::REFUSAL_POLICY, schemes.error().detail);
  if (auto fine = check_password(password.reveal(), *schemes); !fine) return refuse(connection, fine.error());
  auto id = new_user_id();
  if (!id) return refuse(connection, id.error());
  const Enrolled enrolled{std::move(*id), wanted.name(), *schemes, wanted.allow_historic()};
  make_secrets_aside(server, connection, enrolled, std::move(password),
                     [&server, self = connection.shared_from_this(), enrolled,
                      name = wanted.name()](Result<UserSecrets> secrets) {
                       constexpr const char* kEvent = "admin.user-add";
                       const std::string object = schemes_text(enrolled.schemes);
                       if (!secrets)
                         return change_failed(server, *self, kEvent, name, object, secrets.error());
                       change_user(server, *self, kEvent, name, object, Sessions::kKeep,
                                   [user = new_user(name, enrolled, std::move(*secrets),
                                                    static_cast<std::uint64_t>(::time(nullptr)))](
                                       UserStore& store) { return store.add(user); });
                     });
}

void handle_user_passwd(Server& server, Connection& connection, const wire::AdminRequest& request,
                        secret::SecretBuffer password) {
  const std::string& name = request.user_passwd().name();
  if (auto fine = check_password(password.reveal(), 0); !fine) return refuse(connection, fine.error());
  const auto give = [&server, self = connection.shared_from_this(), name](
                        const Enrolled& enrolled, const Result<UserSecrets>& secrets) {
    constexpr const char* kEvent = "admin.user-passwd";
    if (!secrets) return change_failed(server, *self, kEvent, name, {}, secrets.error());
    change_user(server, *self, kEvent, name, {}, Sessions::kEnd,
                [name, enrolled, secrets = *secrets](UserStore& store) {
                  return give_secrets(store, name, enrolled, secrets);
                });
  };
  server.store().post(
      connection.account(), [name](UserStore& store) { return store.find(name); },
      [&server, self = connection.shared_from_this(), name, give,
       password = std::move(password)](const Result<std::optional<StoredUser>>& user) mutable {
        if (!user) return give({}, std::unexpected(user.error()));
        if (!*user) return give({}, fail(Code::kNotFound, no_user(name)));
        const Enrolled enrolled{(*user)->id, name, (*user)->schemes, (*user)->allow_historic};
        make_secrets_aside(server, *self, enrolled, std::move(password),
                           [give, enrolled](const Result<UserSecrets>& secrets) { give(enrolled, secrets); });
      });
}

void handle_user_import(Server& server, Connection& connection, const wire::AdminRequest& request,
                        secret::SecretBuffer crypt_string) {
  const wire::UserImport& wanted = request.user_import();
  if (!name_is_fine(connection, wanted.name(), "user")) return;
  if (wanted.password_changed() > kLastSecond)
    return refuse(connection, wire::REFUSAL_MALFORMED,
                  "the password's last change is no time before the year 10000");
  auto id = new_user_id();
  if (!id) return refuse(connection, id.error());
  const Enrolled enrolled{std::move(*id), wanted.name(), scheme_bit(table::Scheme::kKryptoknight), false};
  auto secrets = adopt_crypt_string(server.sealer(), enrolled.user_id, std::move(crypt_string));
  if (!secrets) return refuse(connection, secrets.error());
  StoredUser user = new_user(wanted.name(), enrolled, std::move(*secrets), wanted.password_changed());
  if (wanted.locked()) user.state = UserState::kLocked;
  change_user(server, connection, "admin.user-import", wanted.name(), wanted.locked() ? "locked" : "",
              Sessions::kKeep, [user = std::move(user)](UserStore& store) { return store.add(user); });
}

}  // namespace keyd::daemon
