// First start, each step durable before the next: store.key.new is written; keyd.db gets its schema and a
// value sealed under that key, in one transaction; store.key.new becomes store.key. Whatever is found at a
// start tells how far an earlier one came.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "core/base/untrusted_text.h"
#include "keyd/private_files.h"
#include "keyd/sqlite_statement.h"
#include "keyd/sqlite_user_store.h"

namespace keyd::daemon {
namespace {

constexpr const char* kDatabase = "keyd.db";
constexpr const char* kKey = "store.key";
constexpr const char* kNewKey = "store.key.new";
constexpr const char* kKeyCredential = "keyd-store-key";
constexpr int kApplicationId = 0x6b657964;  // "keyd": SQLite's own place for it
constexpr int kSchemaVersion = 5;
constexpr off_t kPageSize = 4096;
constexpr std::string_view kKeyCheck = "this value opens under the right store key";

constexpr const char* kSchema = R"(
  CREATE TABLE users (
    name TEXT PRIMARY KEY NOT NULL,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
    schemes INTEGER NOT NULL,
    allow_historic INTEGER NOT NULL,
    created INTEGER NOT NULL,
    password_changed INTEGER NOT NULL,
    sealed_password BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE credentials (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    sealed_value BLOB NOT NULL,
    PRIMARY KEY (user_id, name)
  ) STRICT;
  CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
)";

// Since version 2.
constexpr const char* kTriesSchema = R"(
  CREATE TABLE tries (
    user TEXT NOT NULL,
    source INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    familiar INTEGER NOT NULL,
    PRIMARY KEY (user, source)
  ) STRICT, WITHOUT ROWID;
)";

// Since version 3. `suite` is one of wire::Suite; `shape` is what many hashes of the suite have alike.
constexpr const char* kHashesSchema = R"(
  ALTER TABLE users ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
  CREATE TABLE hashes (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    suite INTEGER NOT NULL CHECK (suite BETWEEN 1 AND 2),
    shape TEXT NOT NULL,
    sealed BLOB NOT NULL CHECK (length(sealed) > 0),
    PRIMARY KEY (user_id, suite)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX hashes_by_shape ON hashes (suite, shape);
)";

// Since version 4. As above.
constexpr const char* kVerifiersSchema = R"(
  CREATE TABLE verifiers (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    suite INTEGER NOT NULL CHECK (suite BETWEEN 1 AND 2),
    shape TEXT NOT NULL,
    sealed BLOB NOT NULL CHECK (length(sealed) > 0),
    PRIMARY KEY (user_id, suite)
  ) STRICT, WITHOUT ROWID;
)";

// Since version 5. `change_*` is the change of password that is due (reason 0: none), `change_serial` the last one that was;
// `carried_*` what sessions under the password have carried. `version` in the history is the user's that a change made.
constexpr const char* kChangesSchema = R"(
  ALTER TABLE users ADD COLUMN change_reason INTEGER NOT NULL DEFAULT 0 CHECK (change_reason BETWEEN 0 AND 4);
  ALTER TABLE users ADD COLUMN change_serial INTEGER NOT NULL DEFAULT 0 CHECK (change_serial >= 0);
  ALTER TABLE users ADD COLUMN change_since INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE users ADD COLUMN change_failures INTEGER NOT NULL DEFAULT 0 CHECK (change_failures >= 0);
  ALTER TABLE users ADD COLUMN carried_octets INTEGER NOT NULL DEFAULT 0 CHECK (carried_octets >= 0);
  ALTER TABLE users ADD COLUMN carried_records INTEGER NOT NULL DEFAULT 0 CHECK (carried_records >= 0);
  ALTER TABLE users ADD COLUMN history_salt BLOB NOT NULL DEFAULT x'00000000000000000000000000000000'
    CHECK (length(history_salt) = 16);
  UPDATE users SET history_salt = randomblob(16);
  CREATE TABLE password_history (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL CHECK (length(sealed) > 0),
    PRIMARY KEY (user_id, version)
  ) STRICT, WITHOUT ROWID;
)";

Error damaged() {
  return {Code::kBroken,
          fmt::format("{} is damaged; restore it from a backup (it was left as it is)", kDatabase)};
}

}  // namespace

void SqliteUserStore::restrict_connection() {
  sqlite3_extended_result_codes(db_.get(), 1);
  sqlite3_busy_timeout(db_.get(), 2000);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_LENGTH, 1 << 20);
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // Until the store is accepted: closing what was refused writes nothing of its log into it.
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

Result<void> SqliteUserStore::configure() {
  // secure_delete: a removed secret does not stay in free pages. temp_store: no file beside the store.
  // wal_autocheckpoint, journal_size_limit: the log stays near 1 MiB.
  return execute(
      "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
      "PRAGMA wal_autocheckpoint = 256; PRAGMA journal_size_limit = 1048576;"
      "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
      "PRAGMA cell_size_check = ON;");
}

Result<void> SqliteUserStore::create_schema(const Bytes& check) {
  Transaction transaction(*this);
  if (auto begun = transaction.begin(); !begun) return begun;
  for (const char* schema : {kSchema, kTriesSchema, kHashesSchema, kVerifiersSchema, kChangesSchema})
    if (auto made = execute(schema); !made) return made;
  if (auto marked = execute(
          fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};", kApplicationId, kSchemaVersion)
              .c_str());
      !marked) {
    return marked;
  }
  SqliteStatement insert(db_.get(), "INSERT INTO meta (name, value) VALUES ('key_check', ?)");
  insert.bind_blob(check);
  if (insert.step() != SqliteStatement::Step::kDone) return failure("make the store");
  return transaction.commit();
}

Result<void> SqliteUserStore::migrate(int from) {
  if (from == kSchemaVersion) return {};
  return change([&]() -> Result<void> {
    if (from < 2) {
      if (auto made = execute(kTriesSchema); !made) return made;
    }
    if (from < 3) {
      if (auto made = execute(kHashesSchema); !made) return made;
    }
    if (from < 4) {
      if (auto made = execute(kVerifiersSchema); !made) return made;
    }
    if (auto made = execute(kChangesSchema); !made) return made;
    return execute(fmt::format("PRAGMA user_version = {};", kSchemaVersion).c_str());
  });
}

Result<int> SqliteUserStore::check_schema() {
  SqliteStatement id(db_.get(), "PRAGMA application_id");
  SqliteStatement version(db_.get(), "PRAGMA user_version");
  if (id.step() != SqliteStatement::Step::kRow || version.step() != SqliteStatement::Step::kRow)
    return failure("open the store");
  if (id.number(0) != kApplicationId)
    return fail(Code::kInvalid,
                fmt::format("{} is a database, but not keyd's; it was left as it is", kDatabase));
  if (version.number(0) < 1 || version.number(0) > kSchemaVersion) {
    return fail(Code::kUnsupported,
                fmt::format("{} has schema version {}, this keyd knows 1 to {}; use the keyd that wrote it",
                            kDatabase, version.number(0), kSchemaVersion));
  }
  SqliteStatement check(db_.get(), "PRAGMA integrity_check(1)");
  if (check.step() != SqliteStatement::Step::kRow || check.text(0) != "ok") return std::unexpected(damaged());
  return static_cast<int>(version.number(0));
}

Result<Bytes> SqliteUserStore::key_check() {
  SqliteStatement select(db_.get(), "SELECT value FROM meta WHERE name = 'key_check'");
  if (select.step() != SqliteStatement::Step::kRow) return failure("open the store");
  return select.blob(0);
}

namespace {

// The store key as the service manager hands it over (systemd LoadCredential=).
Result<std::optional<StoreSealer::Key>> key_from_credential() {
  const char* const directory = ::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr) return std::nullopt;
  const UniqueFd fd(
      ::open((std::string(directory) + "/" + kKeyCredential).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) {
    if (errno == ENOENT) return std::nullopt;
    return fail_errno(Code::kBroken, "cannot read the systemd credential keyd-store-key");
  }
  auto key = StoreSealer::read_key(fd.get());
  if (!key) return std::unexpected(key.error());
  return std::move(*key);
}

// Which files an earlier start left.
struct Found {
  bool key = false, new_key = false, database = false, database_empty = false, database_cut_off = false;
};

off_t size_of(int directory, const char* name) {
  struct stat st{};
  return ::fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;
}

Result<bool> present(int directory, const char* name) {
  auto checked = check_own_file(directory, name);
  if (!checked && checked.error().code == Code::kNotFound) return false;
  if (!checked) return std::unexpected(checked.error());
  return true;
}

Result<Found> look(int directory) {
  Found found;
  const auto key = present(directory, kKey), new_key = present(directory, kNewKey),
             database = present(directory, kDatabase);
  for (const auto* each : {&key, &new_key, &database}) {
    if (!*each) return std::unexpected(each->error());
  }
  // SQLite's own companions are opened by name too: nobody may have planted them.
  for (const char* companion : {"keyd.db-wal", "keyd.db-shm", "keyd.db-journal"}) {
    if (auto fine = present(directory, companion); !fine) return std::unexpected(fine.error());
  }
  found = {*key, *new_key, *database, false, false};
  if (found.database) {
    // Before its first commit a database in WAL mode has at most one page and no content worth keeping.
    const off_t size = size_of(directory, kDatabase);
    found.database_empty = size == 0;
    // SQLite reads a last page that is not all there as if it ended in zeros. (With a log it may be being
    // written anew.)
    found.database_cut_off = size % kPageSize != 0 && size_of(directory, "keyd.db-wal") == 0;
  }
  return found;
}

Result<StoreSealer::Key> read_key_file(int directory, const char* name) {
  auto fd = open_own_file(directory, name, O_RDONLY);
  if (!fd) return std::unexpected(fd.error());
  auto key = StoreSealer::read_key(fd->get());
  if (!key) key.error().detail = std::string(name) + ": " + key.error().detail;
  return key;
}

Result<StoreSealer::Key> write_new_key(int directory) {
  // A whole one that an interrupted start left is as good as another.
  if (auto left = read_key_file(directory, kNewKey)) return left;
  auto key = StoreSealer::generate_key();
  if (!key) return key;
  ::unlinkat(directory, kNewKey, 0);
  auto fd = open_own_file(directory, kNewKey, O_WRONLY | O_CREAT | O_EXCL);
  if (!fd) return std::unexpected(fd.error());
  if (auto written = StoreSealer::write_key(fd->get(), *key); !written)
    return std::unexpected(written.error());
  if (::fsync(directory) != 0) return fail_errno(Code::kExhausted, "cannot make the store key durable");
  return key;
}

Result<void> install_new_key(int directory) {
  if (::renameat(directory, kNewKey, directory, kKey) != 0 || ::fsync(directory) != 0) {
    return fail_errno(Code::kBroken, "cannot put the store key in place");
  }
  return {};
}

// Everything that stands in the way of opening is an error about the directory it is in.
std::unexpected<Error> in(const std::string& directory, Error error) {
  error.detail = "store " + escape(directory) + ": " + error.detail;
  return std::unexpected(std::move(error));
}

// What does not fit together, by the files alone.
Result<void> accept_files(const Found& found, bool external_key) {
  if (external_key && found.key) {
    return fail(Code::kRefused,
                "there is a store.key, and a systemd credential too; remove the one that is not in use");
  }
  if (!external_key && found.key && !found.database) {
    return fail(
        Code::kNotFound,
        "keyd.db is missing beside store.key; restore it, or remove store.key to start with no users");
  }
  if (found.key && found.database_empty) {
    return fail(Code::kBroken,
                "keyd.db is empty beside store.key; restore it, or remove both to start with no users");
  }
  return {};
}

// The key that belongs to the database; for a fresh one, a new key.
Result<StoreSealer::Key> provide_key(int directory, const Found& found, bool fresh) {
  if (found.key) return read_key_file(directory, kKey);
  if (fresh) return write_new_key(directory);
  if (found.new_key) return read_key_file(directory, kNewKey);
  return fail(
      Code::kNotFound,
      "store.key is missing beside keyd.db; restore it (without it nothing in the store can be read)");
}

}  // namespace

Result<std::unique_ptr<SqliteUserStore>> SqliteUserStore::open_database(const std::string& path) {
  ::umask(077);
  sqlite3* raw = nullptr;
  const int status = sqlite3_open_v2(
      path.c_str(), &raw,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<SqliteUserStore> store(new SqliteUserStore(Database(raw)));
  if (status != SQLITE_OK) return store->failure("open it");
  store->restrict_connection();
  return store;
}

Result<bool> SqliteUserStore::has_schema() {
  SqliteStatement schema(db_.get(), "SELECT count(*) FROM sqlite_schema");
  if (schema.step() != SqliteStatement::Step::kRow) return failure("open it");
  return schema.number(0) != 0;
}

// What is there is judged before the first pragma that writes: a refused file stays as it was.
Result<void> SqliteUserStore::take_over(const StoreSealer& sealer, bool cut_off) {
  const auto version = check_schema();
  if (!version) return std::unexpected(version.error());
  if (cut_off) return std::unexpected(damaged());
  const auto check = key_check();
  if (!check) return std::unexpected(check.error());
  if (!sealer.open({"store"}, *check)) {
    return fail(Code::kRefused,
                "the store key does not belong to keyd.db; restore the pair from the same backup");
  }
  if (auto configured = configure(); !configured) return configured;
  return migrate(*version);
}

Result<void> SqliteUserStore::make_anew(const StoreSealer& sealer) {
  if (auto configured = configure(); !configured) return configured;
  const auto check = sealer.seal({"store"}, bytes_of(kKeyCheck));
  if (!check) return std::unexpected(check.error());
  return create_schema(*check);
}

Result<OpenedStore> SqliteUserStore::open(const std::string& state_directory) {
  auto directory = open_own_directory(state_directory, 0700, true);
  if (!directory) return std::unexpected(directory.error());
  const auto found = look(directory->get());
  if (!found) return in(state_directory, found.error());
  auto credential_key = key_from_credential();
  if (!credential_key) return std::unexpected(credential_key.error());
  const bool external = credential_key->has_value();
  if (auto fine = accept_files(*found, external); !fine) return in(state_directory, fine.error());

  auto store = open_database(state_directory + "/" + kDatabase);
  if (!store) return in(state_directory, store.error());
  // A database whose schema was not committed counts as not made yet.
  bool fresh = !found->database || found->database_empty;
  if (!fresh) {
    const auto has_schema = (*store)->has_schema();
    if (!has_schema) return in(state_directory, has_schema.error());
    fresh = !*has_schema && !found->key;
  }
  auto key = external ? Result<StoreSealer::Key>(std::move(**credential_key))
                      : provide_key(directory->get(), *found, fresh);
  if (!key) return in(state_directory, key.error());

  OpenedStore opened;
  opened.sealer = std::make_unique<StoreSealer>(std::move(*key));
  const auto ready = fresh ? (*store)->make_anew(*opened.sealer)
                           : (*store)->take_over(*opened.sealer, found->database_cut_off);
  if (!ready) return in(state_directory, ready.error());
  opened.created = fresh;
  if (!external && !found->key) {
    if (auto installed = install_new_key(directory->get()); !installed)
      return in(state_directory, installed.error());
  }
  sqlite3_db_config((*store)->db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  opened.users = std::move(*store);
  return opened;
}

}  // namespace keyd::daemon
