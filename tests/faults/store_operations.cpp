#include "tests/faults/store_operations.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace keyd::testing {

using namespace daemon;
namespace fs = std::filesystem;

namespace {

// Long enough for a credential to need several pages, and different in each octet's neighbourhood.
std::string long_value(char seed) {
  std::string value(20000, seed);
  for (std::size_t i = 0; i < value.size(); i += 7) value[i] = static_cast<char>('a' + i % 26);
  return value;
}

StoredUser new_user(const StoreSealer& sealer, const std::string& name, char id,
                    const std::string& password) {
  StoredUser user;
  user.name = name;
  user.id = std::string(16, id);
  user.schemes = scheme_bit(table::Scheme::kChallenge);
  user.sealed_password = *seal_password(sealer, user.id, bytes_of(password));
  return user;
}

// As crypt(3) makes them; no password is known to fit.
std::string crypt_string(const char* salt) {
  return std::string("$6$") + salt + "$" + std::string(86, salt[0]);
}
exchange::PasswordHash modern_hash(const char* salt) {
  exchange::PasswordHash hash;
  hash.suite = wire::SUITE_MODERN;
  hash.hash = secret::SecretBuffer::copy_of(bytes_of(crypt_string(salt)));
  return hash;
}
exchange::PasswordHash historic_hash(char octet) {
  exchange::PasswordHash hash;
  hash.suite = wire::SUITE_HISTORIC;
  hash.salt = Bytes(16, static_cast<std::uint8_t>(octet));
  hash.hash = secret::SecretBuffer::copy_of(bytes_of(std::string(16, octet)));
  return hash;
}
std::string shape_of(const exchange::PasswordHash& hash) {
  return hash.suite == wire::SUITE_MODERN ? crypt_shape_of(*crypto::setting_of(hash.hash.reveal())) : "";
}

StoredUser hashed_user(const StoreSealer& sealer, const std::string& name, char id) {
  StoredUser user = new_user(sealer, name, id, name + "'s password");
  user.schemes |= scheme_bit(table::Scheme::kKryptoknight);
  user.allow_historic = true;
  user.sealed_crypt = *seal_hash(sealer, user.id, modern_hash("first"));
  user.crypt_shape = shape_of(modern_hash("first"));
  user.sealed_md5 = *seal_hash(sealer, user.id, historic_hash('f'));
  return user;
}

exchange::SrpVerifier verifier(std::uint8_t v) {
  return {*exchange::SrpGroup::listed(2048), Bytes(16, v), {}, secret::SecretBuffer::copy_of(Bytes(200, v))};
}
void give_verifiers(UserSecrets& secrets, const StoreSealer& sealer, const std::string& id, std::uint8_t v) {
  secrets.sealed_verifier = *seal_verifier(sealer, id, wire::SUITE_MODERN, verifier(v));
  secrets.verifier_shape = verifier_shape_of(verifier(v));
  secrets.sealed_historic_verifier = *seal_verifier(sealer, id, wire::SUITE_HISTORIC, verifier(v));
  secrets.historic_verifier_shape = secrets.verifier_shape;
}

Result<void> renew_hash(UserStore& users, const StoreSealer& sealer, const exchange::PasswordHash& hash) {
  const auto known = users.find("dora");
  if (!known) return std::unexpected(known.error());
  if (!*known) return fail(Code::kNotFound, "no such user");
  const StoredUser& dora = **known;
  return users.replace_hash(dora.id, dora.version, hash.suite, *seal_hash(sealer, dora.id, hash),
                            shape_of(hash));
}

Result<void> set_secrets(UserStore& users, const std::string& name, const UserSecrets& secrets) {
  const auto known = users.find(name);
  if (!known) return std::unexpected(known.error());
  if (!*known) return fail(Code::kNotFound, "no such user");
  return users.set_secrets((*known)->id, (*known)->version, secrets);
}

template <typename T>
Result<void> outcome(const Result<T>& result) {
  if (!result) return std::unexpected(result.error());
  return {};
}

// The hash of a password that somebody has had.
Bytes remembered(const StoreSealer& sealer, const std::string& id, char octet) {
  return *seal_history(sealer, id, bytes_of(std::string(kHistoryHashSize, octet)));
}

// Dora's second request without an answer, of two.
Result<void> let_change_fail_to_the_end(UserStore& users) {
  const auto failed = users.fail_change(std::string(16, 'd'), 1, 2);
  if (failed && !failed->disabled) return fail(Code::kBroken, "the user is not disabled");
  return outcome(failed);
}

// Two sessions of one user at once: the one that thought of an earlier version changes nothing, the other all.
Result<void> change_from_afar(UserStore& users, const StoreSealer& sealer) {
  const auto known = users.find("dora");
  if (!known) return std::unexpected(known.error());
  if (!*known) return fail(Code::kNotFound, "no such user");
  const std::string id(16, 'd');
  const auto change = [&](std::uint64_t version, std::uint8_t v, char octet) {
    UserSecrets secrets;
    give_verifiers(secrets, sealer, id, v);
    return users.change_password(id, version, secrets, remembered(sealer, id, octet), 2);
  };
  const auto late = change((*known)->version - 1, 11, 'm');
  if (late) return fail(Code::kBroken, "it was changed for a version that is no more");
  if (late.error().code != Code::kConflict) return late;
  return change((*known)->version, 9, 'n');
}

Result<void> set_credential(UserStore& users, const StoreSealer& sealer, const std::string& user,
                            const std::string& name, const std::string& value) {
  const auto known = users.find(user);
  if (!known) return std::unexpected(known.error());
  if (!*known) return fail(Code::kNotFound, "no such user");
  const auto sealed = seal_credential(sealer, (*known)->id, name, bytes_of(value));
  return users.set_credential(user, name, *sealed, static_cast<std::uint32_t>(value.size()));
}

constexpr StoreOperation kOperations[] = {
    {"add a user",
     [](UserStore& users, const StoreSealer& sealer) {
       return users.add(new_user(sealer, "carol", 'c', "carol's password"));
     }},
    {"add a user with hashes",
     [](UserStore& users, const StoreSealer& sealer) { return users.add(hashed_user(sealer, "egon", 'e')); }},
    {"set a password",
     [](UserStore& users, const StoreSealer& sealer) {
       UserSecrets secrets;
       secrets.sealed_password = *seal_password(sealer, std::string(16, 'a'), bytes_of("changed"));
       return set_secrets(users, "alice", secrets);
     }},
    {"set a password and hashes",
     [](UserStore& users, const StoreSealer& sealer) {
       const std::string id(16, 'd');
       return set_secrets(users, "dora",
                          {.sealed_password = *seal_password(sealer, id, bytes_of("changed")),
                           .sealed_crypt = *seal_hash(sealer, id, modern_hash("changed")),
                           .sealed_md5 = *seal_hash(sealer, id, historic_hash('c')),
                           .crypt_shape = shape_of(modern_hash("changed")),
                           .md5_shape = "16"});
     }},
    {"set a password and verifiers",
     [](UserStore& users, const StoreSealer& sealer) {
       UserSecrets secrets;
       give_verifiers(secrets, sealer, std::string(16, 'd'), 7);
       return set_secrets(users, "dora", secrets);
     }},
    {"take a hash away",
     [](UserStore& users, const StoreSealer& sealer) {
       UserSecrets secrets;
       secrets.sealed_password = *seal_password(sealer, std::string(16, 'd'), bytes_of("alone"));
       return set_secrets(users, "dora", secrets);
     }},
    {"give a hash",
     [](UserStore& users, const StoreSealer& sealer) {
       UserSecrets secrets;
       secrets.sealed_crypt = *seal_hash(sealer, std::string(16, 'b'), modern_hash("given"));
       secrets.crypt_shape = shape_of(modern_hash("given"));
       return set_secrets(users, "bob", secrets);
     }},
    {"replace a modern hash",
     [](UserStore& users, const StoreSealer& sealer) {
       return renew_hash(users, sealer, modern_hash("second"));
     }},
    {"replace a historic hash",
     [](UserStore& users, const StoreSealer& sealer) {
       return renew_hash(users, sealer, historic_hash('s'));
     }},
    {"set a state",
     [](UserStore& users, const StoreSealer&) { return users.set_state("alice", UserState::kDisabled); }},
    {"remove a user", [](UserStore& users, const StoreSealer&) { return users.remove("alice"); }},
    {"set a new credential",
     [](UserStore& users, const StoreSealer& sealer) {
       return set_credential(users, sealer, "bob", "fresh", "value");
     }},
    {"replace a long credential",
     [](UserStore& users, const StoreSealer& sealer) {
       return set_credential(users, sealer, "alice", "long", long_value('n'));
     }},
    {"remove a credential",
     [](UserStore& users, const StoreSealer&) { return users.remove_credential("alice", "long"); }},
    {"count a failed try",
     [](UserStore& users, const StoreSealer&) {
       return users.record_tries(
           {{1000, "alice", 8, false}, {1000, "", 8, false}, {kAnySource, "alice", 8, false}});
     }},
    {"forget counts that have faded",
     [](UserStore& users, const StoreSealer&) {
       return users.record_tries({{1000, "alice", 0, false}, {1000, "", 0, false}});
     }},
    {"ask for a change",
     [](UserStore& users, const StoreSealer&) -> Result<void> {
       return outcome(users.ask_change("bob", ChangeReason::kAge));
     }},
    {"count a request that was not answered",
     [](UserStore& users, const StoreSealer&) -> Result<void> {
       return outcome(users.fail_change(std::string(16, 'd'), 1, 0));
     }},
    {"disable by the last request that was not answered",
     [](UserStore& users, const StoreSealer&) { return let_change_fail_to_the_end(users); }},
    {"change a password from afar",
     [](UserStore& users, const StoreSealer& sealer) { return change_from_afar(users, sealer); }},
    {"carry",
     [](UserStore& users, const StoreSealer&) {
       return users.carry({{std::string(16, 'a'), 1000, 3}, {std::string(16, 'z'), 1, 1}});
     }},
    {"unlock a user", [](UserStore& users, const StoreSealer&) { return users.unlock("alice"); }},
};

void must(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message());
}

// Dora has changed her password twice, was given the one of hashed_user() again, and is to change that; one request
// was not answered, and sessions have carried something.
void give_history(UserStore& users, const StoreSealer& sealer) {
  const StoredUser first = hashed_user(sealer, "dora", 'd');
  for (const char octet : {'o', 'p'}) {
    UserSecrets secrets;
    give_verifiers(secrets, sealer, first.id, 5);
    must(users.change_password(first.id, users.find("dora").value().value().version, secrets,
                               remembered(sealer, first.id, octet), 2));
  }
  must(set_secrets(users, "dora",
                   {.sealed_password = first.sealed_password,
                    .sealed_crypt = first.sealed_crypt,
                    .sealed_md5 = first.sealed_md5,
                    .crypt_shape = first.crypt_shape}));
  must(outcome(users.ask_change("dora", ChangeReason::kOctets)));
  must(outcome(users.fail_change(first.id, 1, 0)));
  must(users.carry({{first.id, 5000, 20}}));
}

}  // namespace

std::span<const StoreOperation> store_operations() { return kOperations; }

void make_sample_store(const std::string& directory) {
  auto opened = SqliteUserStore::open(directory);
  if (!opened) throw std::runtime_error(opened.error().message());
  UserStore& users = *opened->users;
  const StoreSealer& sealer = *opened->sealer;
  must(users.add(new_user(sealer, "alice", 'a', "alice's password")));
  must(users.add(new_user(sealer, "bob", 'b', "bob's password")));
  must(users.add(hashed_user(sealer, "dora", 'd')));
  give_history(users, sealer);
  must(set_credential(users, sealer, "alice", "short", "s3cret"));
  must(set_credential(users, sealer, "alice", "long", long_value('o')));
  must(users.set_state("alice", UserState::kLocked));
  must(users.record_tries({{1000, "alice", 7, false}, {1000, "", 7, false}, {2000, "alice", 1, true}}));
}

void make_version(int version, const std::string& directory) {
  std::string sql = "DROP TABLE password_history; ";
  for (const char* column : {"change_reason", "change_serial", "change_since", "change_failures",
                             "carried_octets", "carried_records", "history_salt"})
    sql += std::string("ALTER TABLE users DROP COLUMN ") + column + "; ";
  if (version < 4) sql += "DROP TABLE verifiers; UPDATE users SET schemes = schemes & ~8; ";
  if (version < 3)
    sql +=
        "DROP TABLE hashes; ALTER TABLE users DROP COLUMN version; UPDATE users SET schemes = schemes & ~4;";
  if (version < 2) sql += "DROP TABLE tries; ";
  sql += "PRAGMA user_version = " + std::to_string(version);
  sqlite3* db = nullptr;
  const bool done = sqlite3_open((directory + "/keyd.db").c_str(), &db) == SQLITE_OK &&
                    sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  if (sqlite3_close(db) != SQLITE_OK || !done) throw std::runtime_error("no store of that version");
}

namespace {

// What is due to a user, and what the password has carried: nothing for the usual nothing.
std::string content_of_change(const StoredUser& user) {
  std::string out;
  if (user.due.serial != 0) {
    out += " due " + std::to_string(user.due.serial) + daemon::name_of(user.due.reason) +
           std::to_string(user.due.failures);
  }
  if (user.carried_octets != 0 || user.carried_records != 0)
    out += " carried " + std::to_string(user.carried_octets) + "/" + std::to_string(user.carried_records);
  return out;
}

}  // namespace

std::string content_of_store(UserStore& users, const StoreSealer& sealer) {
  const auto error = [](const Error& e) { return "error: " + e.message(); };
  const auto all = users.list({}, 1000);
  if (!all) return error(all.error());
  std::string out;
  for (const StoredUser& user : *all) {
    out.append(user.name).append(":");
    if (!user.sealed_password.empty()) {
      const auto password = unseal_password(sealer, user);
      if (!password) return error(password.error());
      out.append(text_of(password->reveal())).append(":");
    }
    for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
      const auto hash = unseal_hash(sealer, user, suite);
      if (!hash && hash.error().code == Code::kNotFound) continue;
      if (!hash) return error(hash.error());
      out.append(text_of(hash->salt)).append("$").append(text_of(hash->hash.reveal())).append(":");
    }
    for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
      const auto verifier = unseal_verifier(sealer, user, suite);
      if (!verifier && verifier.error().code == Code::kNotFound) continue;
      if (!verifier) return error(verifier.error());
      out.append(suite == wire::SUITE_MODERN ? user.verifier_shape : user.historic_verifier_shape)
          .append(to_hex(verifier->v.reveal().first(8)))
          .append(":");
    }
    out += std::string(daemon::name_of(user.state)) + ":" + std::to_string(user.schemes) + user.crypt_shape +
           "v" + std::to_string(user.version);
    if (user.allow_historic) out += "h";
    out += content_of_change(user);
    const auto history = users.password_history(user.id);
    if (!history) return error(history.error());
    for (const Bytes& each : *history) {
      const auto hash = unseal_history(sealer, user.id, each);
      if (!hash) return error(hash.error());
      out.append("<").append(text_of(hash->reveal()));
    }
    const auto entries = users.credentials(user.name);
    if (!entries) return error(entries.error());
    for (const CredentialEntry& entry : *entries) {
      const auto sealed = users.credential(user.id, entry.name);
      if (!sealed) return error(sealed.error());
      const auto value = unseal_credential(sealer, user.id, entry.name, **sealed);
      if (!value) return error(value.error());
      out += " " + entry.name + "(" + std::to_string(entry.size) + ")=";
      out += text_of(value->reveal());
    }
    out += ";";
  }
  const auto tries = users.tries();
  if (!tries) return error(tries.error());
  for (const TryCount& count : *tries) {
    out += " " + std::to_string(count.source) + "/" + count.user + "=" + std::to_string(count.failures) +
           (count.familiar ? "f" : "");
  }
  return out;
}

std::string content_of_store(const std::string& directory) {
  auto opened = SqliteUserStore::open(directory);
  if (!opened) return "error: " + opened.error().message();
  return content_of_store(*opened->users, *opened->sealer);
}

ScratchDirectory::ScratchDirectory() {
  path_ = fs::is_directory("/dev/shm") ? "/dev/shm/keyd-test.XXXXXX" : "/tmp/keyd-test.XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no scratch directory");
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void ScratchDirectory::copy_store(const std::string& original, const std::string& copy) {
  fs::remove_all(copy);
  fs::create_directory(copy);
  ::chmod(copy.c_str(), 0700);
  if (!fs::exists(original)) return;
  for (const auto& entry : fs::directory_iterator(original))
    fs::copy_file(entry.path(), copy + "/" + entry.path().filename().string());
}

}  // namespace keyd::testing
