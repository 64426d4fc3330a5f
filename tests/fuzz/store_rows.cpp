// A database whose rows somebody else has written, under a store that is open: the rows keep SQLite's types
// and none of keyd's rules. Reading them gives an error or a record that fits its types; a state that keyd
// does not know lets nobody in, and no sealed value opens that the store's own key did not seal for that row.
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "keyd/sqlite_statement.h"
#include "keyd/sqlite_user_store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"

namespace keyd::fuzz {
namespace {

using daemon::SqliteStatement;
using daemon::SqliteUserStore;

// The store, and a second connection to its file that minds no constraint.
class Database {
 public:
  static Database& instance() {
    static Database* const database = new Database;
    return *database;
  }
  daemon::OpenedStore store;

  // Runs one statement; false when SQLite refuses it.
  bool run(SqliteStatement& statement) { return statement.step() == SqliteStatement::Step::kDone; }
  sqlite3* hostile = nullptr;

 private:
  Database() {
    static std::string directory =
        ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/keyd-fuzz.XXXXXX" : "/tmp/keyd-fuzz.XXXXXX";
    must(::mkdtemp(directory.data()) != nullptr);
    std::atexit([] {
      std::error_code ignored;
      std::filesystem::remove_all(directory, ignored);
    });
    auto opened = SqliteUserStore::open(directory + "/state");
    must(opened.has_value());
    store = std::move(*opened);
    must(sqlite3_open(((directory + "/state/keyd.db").c_str()), &hostile) == SQLITE_OK);
    must(sqlite3_exec(hostile, "PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON;", nullptr,
                      nullptr, nullptr) == SQLITE_OK);
  }
};

std::int64_t number(Script& script) {
  const std::uint8_t how = script.octet();
  if (how < 0x80) return how % 4;
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | script.octet();
  return static_cast<std::int64_t>(value);
}

void judge(const daemon::StoredUser& user) {
  const daemon::UserState state = user.state;
  must(state == daemon::UserState::kActive || state == daemon::UserState::kLocked ||
       state == daemon::UserState::kDisabled);
  const daemon::StoreSealer& sealer = *Database::instance().store.sealer;
  must(!daemon::unseal_password(sealer, user));
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC})
    must(!daemon::unseal_hash(sealer, user, suite) && !daemon::unseal_verifier(sealer, user, suite));
  must((user.due.serial == 0) == (user.due.reason == daemon::ChangeReason::kNone));
  must(user.due.reason == daemon::ChangeReason::kNone || *daemon::name_of(user.due.reason) != '\0');
}

// A change of password in a row as somebody else has left it: what was due stays so, what was carried only grows, and a
// failed request is counted once.
void change(SqliteUserStore& store, const daemon::StoredUser& user, bool due) {
  must((user.due.serial != 0) == due);
  const auto asked = store.ask_change(user.name, daemon::ChangeReason::kAge, store.kAnyTime);
  if (due) must(asked && asked->serial == user.due.serial && asked->reason == user.due.reason);
  if (asked) must(asked->serial != 0 && asked->reason != daemon::ChangeReason::kNone);
  (void)store.carry({{user.id, 1, ~std::uint64_t{0}}});
  const auto failed = store.fail_change(user.id, asked ? asked->serial : 1, 1);
  const auto after = store.find(user.name);
  must(after.has_value() && after->has_value());
  const daemon::StoredUser& now = **after;
  must(now.carried_octets >= user.carried_octets && now.carried_records >= user.carried_records);
  must(!failed || (failed->failures >= 1 && now.state != daemon::UserState::kActive));
  must(!failed || failed->disabled == (user.state == daemon::UserState::kActive));
}

// What a hash is sealed as, whatever those octets are: it opens when they are of the one form, and is then sealed as
// the same octets again.
void open_hash(Script script) {
  const daemon::StoreSealer& sealer = *Database::instance().store.sealer;
  const wire::Suite suite = script.octet() % 2 == 0 ? wire::SUITE_MODERN : wire::SUITE_HISTORIC;
  const bool modern = suite == wire::SUITE_MODERN;
  const std::string_view purpose = modern ? "kryptoknight.crypt" : "kryptoknight.md5";
  const ByteView plain = script.take(4096);
  daemon::StoredUser user;
  user.id = std::string(16, 'i');
  Bytes& sealed = modern ? user.sealed_crypt : user.sealed_md5;
  sealed = *sealer.seal({"user", user.id, purpose}, plain);
  const auto hash = daemon::unseal_hash(sealer, user, suite);
  if (!hash) return;
  sealed = *daemon::seal_hash(sealer, user.id, *hash);
  must(std::ranges::equal(sealer.open({"user", user.id, purpose}, sealed)->reveal(), plain));
  if (!modern) return;
  // Not by its whole text: bigcrypt's setting is filled up behind its salt.
  must(text_of(hash->hash.reveal()).starts_with(hash->setting.head + hash->setting.salt.substr(0, 2)));
  must(hash->setting.text().size() < hash->hash.size());
  std::size_t salt = 0;
  crypto::CryptSetting back = daemon::setting_of_shape(daemon::crypt_shape_of(hash->setting), salt);
  must(salt == hash->setting.salt.size());
  back.salt = hash->setting.salt;
  must(back == hash->setting);
}

// Likewise of a verifier.
void open_verifier(Script script) {
  const daemon::StoreSealer& sealer = *Database::instance().store.sealer;
  const wire::Suite suite = script.octet() % 2 == 0 ? wire::SUITE_MODERN : wire::SUITE_HISTORIC;
  const bool modern = suite == wire::SUITE_MODERN;
  const std::string_view purpose = modern ? "srp.verifier" : "srp.historic-verifier";
  const ByteView plain = script.take(4096);
  daemon::StoredUser user;
  user.id = std::string(16, 'i');
  Bytes& sealed = modern ? user.sealed_verifier : user.sealed_historic_verifier;
  sealed = *sealer.seal({"user", user.id, purpose}, plain);
  const auto verifier = daemon::unseal_verifier(sealer, user, suite);
  if (!verifier) return;
  sealed = *daemon::seal_verifier(sealer, user.id, suite, *verifier);
  must(std::ranges::equal(sealer.open({"user", user.id, purpose}, sealed)->reveal(), plain));
  const auto shape = daemon::verifier_shape(daemon::verifier_shape_of(*verifier));
  if (shape) must(shape->bits == verifier->group.bits() && shape->salt_size == verifier->salt.size());
}

void write_and_read(Script script) {
  Database& database = Database::instance();
  SqliteUserStore& store = *database.store.users;
  must(
      sqlite3_exec(
          database.hostile,
          "BEGIN; DELETE FROM credentials; DELETE FROM hashes; DELETE FROM password_history; DELETE FROM users;",
          nullptr, nullptr, nullptr) == SQLITE_OK);
  std::string name, id;
  std::int64_t state = 0, reason = 0;
  bool written = false;
  for (int rows = 1 + script.octet() % 3; rows > 0; --rows) {
    name = text_of(script.take(script.octet()));
    id = text_of(script.take(script.octet() % 33));
    state = number(script);
    SqliteStatement insert(database.hostile,
                           "INSERT OR REPLACE INTO users (name, id, state, schemes, allow_historic, created, "
                           "password_changed, sealed_password, change_reason, change_serial, change_since, "
                           "change_failures, carried_octets, carried_records, history_salt) "
                           "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(name).bind_blob(bytes_of(id)).bind(state).bind(number(script)).bind(number(script));
    insert.bind(number(script)).bind(number(script)).bind_blob(script.take(script.octet()));
    reason = number(script);
    insert.bind(reason).bind(number(script)).bind(number(script)).bind(number(script));
    insert.bind(number(script)).bind(number(script)).bind_blob(script.take(script.octet() % 33));
    written = database.run(insert);
  }
  for (int rows = script.octet() % 3; rows > 0; --rows) {
    SqliteStatement hash(database.hostile,
                         "INSERT OR REPLACE INTO hashes (user_id, suite, shape, sealed) VALUES (?, ?, ?, ?)");
    hash.bind_blob(bytes_of(id)).bind(number(script)).bind(text_of(script.take(script.octet() % 33)));
    hash.bind_blob(script.take(script.octet()));
    (void)database.run(hash);
  }
  const std::string credential(text_of(script.take(script.octet())));
  SqliteStatement grant(database.hostile,
                        "INSERT OR REPLACE INTO credentials (user_id, name, size, changed, sealed_value) "
                        "VALUES (?, ?, ?, ?, ?)");
  grant.bind_blob(bytes_of(id)).bind(credential).bind(number(script)).bind(number(script));
  grant.bind_blob(script.take(script.octet()));
  (void)database.run(grant);
  for (int rows = script.octet() % 3; rows > 0; --rows) {
    SqliteStatement past(
        database.hostile,
        "INSERT OR REPLACE INTO password_history (user_id, version, sealed) VALUES (?, ?, ?)");
    past.bind_blob(bytes_of(id)).bind(number(script)).bind_blob(script.take(script.octet()));
    (void)database.run(past);
  }
  must(sqlite3_exec(database.hostile, "COMMIT", nullptr, nullptr, nullptr) == SQLITE_OK);

  const auto users = store.list({}, 10);
  if (users) std::ranges::for_each(*users, judge);
  const auto found = store.find(name);
  if (found && *found) {
    judge(**found);
    if (written && (**found).name == name)
      must(state == static_cast<std::int64_t>((**found).state) || state < 0 || state > 2);
  }
  (void)store.credentials(name);
  const auto history = store.password_history(id);
  must(history && history->size() <= 2);
  for (const Bytes& past : *history) must(!daemon::unseal_history(*database.store.sealer, id, past));
  std::uint64_t shaped = 0;
  const auto shapes = store.shapes();
  if (shapes) {
    for (const daemon::ShapeCount& each : shapes->crypt) shaped += each.users;
    for (const daemon::ShapeCount& each : shapes->md5) (void)daemon::salt_size_of(each.shape);
    for (const auto* verifiers : {&shapes->verifier, &shapes->historic_verifier})
      for (const daemon::ShapeCount& each : *verifiers) (void)daemon::verifier_shape(each.shape);
  }
  must(shaped <= 2);
  const auto sealed = store.credential(id, credential);
  if (sealed && *sealed) must(!daemon::unseal_credential(*database.store.sealer, id, credential, **sealed));
  if (written && found && *found && (**found).name == name) change(store, **found, reason != 0);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  (void)keyd::fuzz::Database::instance();
  const keyd::fuzz::LockedMemoryBalance balance;
  keyd::fuzz::Script script({data, size});
  const std::uint8_t what = script.octet();
  if (what == 0xff) {
    keyd::fuzz::open_hash(script);
  } else if (what == 0xfe) {
    keyd::fuzz::open_verifier(script);
  } else {
    keyd::fuzz::write_and_read(keyd::fuzz::Script({data, size}));
  }
  return 0;
}
