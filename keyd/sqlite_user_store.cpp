// First start, each step durable before the next: store.key.new is written; keyd.db gets its schema and a value
// sealed under that key, in one transaction; store.key.new becomes store.key. Whatever is found at a start tells
// how far an earlier one came.
#include "keyd/sqlite_user_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "core/base/untrusted_text.h"
#include "keyd/private_files.h"

namespace keyd::daemon {
namespace {

constexpr const char* kDatabase = "keyd.db";
constexpr const char* kKey = "store.key";
constexpr const char* kNewKey = "store.key.new";
constexpr const char* kKeyCredential = "keyd-store-key";
constexpr int kApplicationId = 0x6b657964;  // "keyd": SQLite's own place for it
constexpr int kSchemaVersion = 1;
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

constexpr const char* kUserColumns =
    "SELECT name, id, state, schemes, allow_historic, created, password_changed, sealed_password,"
    " (SELECT count(*) FROM credentials WHERE user_id = users.id) FROM users ";

std::int64_t seconds_now() { return static_cast<std::int64_t>(::time(nullptr)); }

}  // namespace

// ---- SQLite, wrapped ---------------------------------------------------------------------------------------------

class SqliteUserStore::Statement {
 public:
  Statement(sqlite3* db, const char* sql) {
    sqlite3_stmt* raw = nullptr;
    status_ = sqlite3_prepare_v2(db, sql, -1, &raw, nullptr);
    statement_.reset(raw);
  }
  [[nodiscard]] bool prepared() const { return status_ == SQLITE_OK; }

  Statement& bind(std::string_view text) {
    note(sqlite3_bind_text(statement_.get(), ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT));
    return *this;
  }
  Statement& bind_blob(ByteView octets) {
    note(sqlite3_bind_blob(statement_.get(), ++bound_, octets.data(), static_cast<int>(octets.size()), SQLITE_TRANSIENT));
    return *this;
  }
  Statement& bind(std::int64_t number) {
    note(sqlite3_bind_int64(statement_.get(), ++bound_, number));
    return *this;
  }

  enum class Step { kRow, kDone, kFailed };
  [[nodiscard]] Step step() {
    if (status_ != SQLITE_OK) return Step::kFailed;
    switch (sqlite3_step(statement_.get())) {
      case SQLITE_ROW: return Step::kRow;
      case SQLITE_DONE: return Step::kDone;
      default: return Step::kFailed;
    }
  }

  [[nodiscard]] std::int64_t number(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  [[nodiscard]] std::string text(int column) const {
    const auto* const start = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
    return start == nullptr ? std::string() : std::string(start, size(column));
  }
  [[nodiscard]] Bytes blob(int column) const {
    const auto* const start = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
    return start == nullptr ? Bytes() : Bytes(start, start + size(column));
  }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  void note(int status) {
    if (status != SQLITE_OK && status_ == SQLITE_OK) status_ = status;
  }
  [[nodiscard]] std::size_t size(int column) const {
    return static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  }
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int status_ = SQLITE_OK, bound_ = 0;
};

// Rolls back unless it was committed.
class SqliteUserStore::Transaction {
 public:
  explicit Transaction(SqliteUserStore& store) : store_(store) {}
  [[nodiscard]] Result<void> begin() {
    auto begun = store_.execute("BEGIN IMMEDIATE");
    open_ = begun.has_value();
    return begun;
  }
  [[nodiscard]] Result<void> commit() {
    auto committed = store_.execute("COMMIT");
    if (committed) open_ = false;
    return committed;
  }
  ~Transaction() {
    if (open_ && sqlite3_get_autocommit(store_.db_.get()) == 0) (void)store_.execute("ROLLBACK");
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

 private:
  SqliteUserStore& store_;
  bool open_ = false;
};

std::unexpected<Error> SqliteUserStore::failure(const char* doing) {
  const int code = sqlite3_errcode(db_.get()) & 0xff;
  switch (code) {
    case SQLITE_FULL: return fail(Code::kExhausted, fmt::format("cannot {}: the disk with the store is full; nothing was changed", doing));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return fail(Code::kBroken, fmt::format("cannot {}: the store {} is damaged; restore it from a backup", doing, kDatabase));
    default:
      return fail(Code::kBroken, fmt::format("cannot {}: {} (SQLite {}, errno {}); nothing was changed", doing,
                                             sqlite3_errmsg(db_.get()), sqlite3_extended_errcode(db_.get()),
                                             sqlite3_system_errno(db_.get())));
  }
}

Result<void> SqliteUserStore::execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure("use the store");
  return {};
}

// ---- opening -----------------------------------------------------------------------------------------------------

void SqliteUserStore::restrict_connection() {
  sqlite3_extended_result_codes(db_.get(), 1);
  sqlite3_busy_timeout(db_.get(), 2000);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_LENGTH, 1 << 20);
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
}

Result<void> SqliteUserStore::configure() {
  // secure_delete: a removed secret does not stay in free pages. temp_store: no file beside the store.
  return execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
      "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;");
}

Result<void> SqliteUserStore::create_schema(const Bytes& check) {
  Transaction transaction(*this);
  if (auto begun = transaction.begin(); !begun) return begun;
  if (auto made = execute(kSchema); !made) return made;
  if (auto marked = execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};", kApplicationId,
                                        kSchemaVersion).c_str());
      !marked) {
    return marked;
  }
  Statement insert(db_.get(), "INSERT INTO meta (name, value) VALUES ('key_check', ?)");
  insert.bind_blob(check);
  if (insert.step() != Statement::Step::kDone) return failure("make the store");
  return transaction.commit();
}

Result<void> SqliteUserStore::check_schema() {
  Statement id(db_.get(), "PRAGMA application_id");
  Statement version(db_.get(), "PRAGMA user_version");
  if (id.step() != Statement::Step::kRow || version.step() != Statement::Step::kRow) return failure("open the store");
  if (id.number(0) != kApplicationId) return fail(Code::kInvalid, fmt::format("{} is a database, but not keyd's; it was left as it is", kDatabase));
  if (version.number(0) != kSchemaVersion) {
    return fail(Code::kUnsupported, fmt::format("{} has schema version {}, this keyd knows {}; use the keyd that wrote it", kDatabase,
                                                version.number(0), kSchemaVersion));
  }
  Statement check(db_.get(), "PRAGMA integrity_check(1)");
  if (check.step() != Statement::Step::kRow || check.text(0) != "ok") {
    return fail(Code::kBroken, fmt::format("{} is damaged; restore it from a backup (it was left as it is)", kDatabase));
  }
  return {};
}

Result<Bytes> SqliteUserStore::key_check() {
  Statement select(db_.get(), "SELECT value FROM meta WHERE name = 'key_check'");
  if (select.step() != Statement::Step::kRow) return failure("open the store");
  return select.blob(0);
}

namespace {

// The store key as the service manager hands it over (systemd LoadCredential=).
Result<std::optional<StoreSealer::Key>> key_from_credential() {
  const char* const directory = ::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr) return std::nullopt;
  const UniqueFd fd(::open((std::string(directory) + "/" + kKeyCredential).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
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
  bool key = false, new_key = false, database = false, database_empty = false;
};

Result<bool> present(int directory, const char* name) {
  auto checked = check_own_file(directory, name);
  if (!checked && checked.error().code == Code::kNotFound) return false;
  if (!checked) return std::unexpected(checked.error());
  return true;
}

Result<Found> look(int directory) {
  Found found;
  const auto key = present(directory, kKey), new_key = present(directory, kNewKey), database = present(directory, kDatabase);
  for (const auto* each : {&key, &new_key, &database}) {
    if (!*each) return std::unexpected(each->error());
  }
  // SQLite's own companions are opened by name too: nobody may have planted them.
  for (const char* companion : {"keyd.db-wal", "keyd.db-shm", "keyd.db-journal"}) {
    if (auto fine = present(directory, companion); !fine) return std::unexpected(fine.error());
  }
  found = {*key, *new_key, *database, false};
  if (found.database) {
    // Before its first commit a database in WAL mode has at most one page and no content worth keeping.
    struct stat st {};
    found.database_empty = ::fstatat(directory, kDatabase, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 0;
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
  auto key = StoreSealer::generate_key();
  if (!key) return key;
  ::unlinkat(directory, kNewKey, 0);
  auto fd = open_own_file(directory, kNewKey, O_WRONLY | O_CREAT | O_EXCL);
  if (!fd) return std::unexpected(fd.error());
  if (auto written = StoreSealer::write_key(fd->get(), *key); !written) return std::unexpected(written.error());
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

}  // namespace

Result<OpenedStore> SqliteUserStore::open(const std::string& state_directory) {
  auto directory = open_own_directory(state_directory, 0700, true);
  if (!directory) return std::unexpected(directory.error());
  const auto found = look(directory->get());
  if (!found) return in(state_directory, found.error());
  auto credential_key = key_from_credential();
  if (!credential_key) return std::unexpected(credential_key.error());
  const bool external = credential_key->has_value();
  if (external && found->key) {
    return in(state_directory, {Code::kRefused, "there is a store.key, and a systemd credential too; remove the one that is not in use"});
  }
  if (!external && found->key && !found->database) {
    return in(state_directory, {Code::kNotFound, "keyd.db is missing beside store.key; restore it, or remove store.key to start with no users"});
  }

  // A database that opened for writing without its schema being committed counts as not made yet.
  OpenedStore opened;
  bool fresh = !found->database || found->database_empty;
  if (!fresh && !external && !found->key && !found->new_key) {
    return in(state_directory, {Code::kNotFound, "store.key is missing beside keyd.db; restore it (without it nothing in the store can be read)"});
  }

  const std::string path = state_directory + "/" + kDatabase;
  ::umask(077);
  sqlite3* raw = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<SqliteUserStore> store(new SqliteUserStore(Database(raw)));
  if (status != SQLITE_OK) return in(state_directory, store->failure("open it").error());
  store->restrict_connection();
  if (!fresh) {
    Statement schema(store->db_.get(), "SELECT count(*) FROM sqlite_schema");
    if (schema.step() != Statement::Step::kRow) return in(state_directory, store->failure("open it").error());
    fresh = schema.number(0) == 0 && !found->key;
  }

  Result<StoreSealer::Key> key = external      ? std::move(**credential_key)
                                 : found->key  ? read_key_file(directory->get(), kKey)
                                 : fresh       ? write_new_key(directory->get())
                                               : read_key_file(directory->get(), kNewKey);
  if (!key) return in(state_directory, key.error());
  opened.sealer = std::make_unique<StoreSealer>(std::move(*key));

  // What is there is judged before the first pragma that writes: a refused file stays as it was.
  if (!fresh) {
    if (auto checked = store->check_schema(); !checked) return in(state_directory, checked.error());
  }
  if (auto configured = store->configure(); !configured) return in(state_directory, configured.error());
  if (fresh) {
    const auto check = opened.sealer->seal({"store"}, bytes_of(kKeyCheck));
    if (!check) return std::unexpected(check.error());
    if (auto made = store->create_schema(*check); !made) return in(state_directory, made.error());
    opened.created = true;
  } else {
    const auto check = store->key_check();
    if (!check) return in(state_directory, check.error());
    if (!opened.sealer->open({"store"}, *check)) {
      return in(state_directory, {Code::kRefused, "the store key does not belong to keyd.db; restore the pair from the same backup"});
    }
  }
  if (!external && !found->key) {
    if (auto installed = install_new_key(directory->get()); !installed) return in(state_directory, installed.error());
  }
  opened.users = std::move(store);
  return opened;
}

// ---- users -------------------------------------------------------------------------------------------------------

namespace {

template <typename Row>
StoredUser user_from(const Row& row) {
  StoredUser user;
  user.name = row.text(0);
  user.id = row.text(1);
  user.state = static_cast<UserState>(row.number(2));
  user.schemes = static_cast<SchemeSet>(row.number(3));
  user.allow_historic = row.number(4) != 0;
  user.created = static_cast<std::uint64_t>(row.number(5));
  user.password_changed = static_cast<std::uint64_t>(row.number(6));
  user.sealed_password = row.blob(7);
  user.credential_count = static_cast<std::uint32_t>(row.number(8));
  return user;
}

std::string no_user(const std::string& name) { return "no user \"" + escape(name) + "\""; }

}  // namespace

Result<std::optional<StoredUser>> SqliteUserStore::find(const std::string& name) {
  Statement select(db_.get(), (std::string(kUserColumns) + "WHERE name = ?").c_str());
  select.bind(name);
  switch (select.step()) {
    case Statement::Step::kRow: return user_from(select);
    case Statement::Step::kDone: return std::nullopt;
    case Statement::Step::kFailed: break;
  }
  return failure("look a user up");
}

Result<std::vector<StoredUser>> SqliteUserStore::list(const std::string& after, std::size_t limit) {
  Statement select(db_.get(), (std::string(kUserColumns) + "WHERE name > ? ORDER BY name LIMIT ?").c_str());
  select.bind(after).bind(static_cast<std::int64_t>(limit));
  std::vector<StoredUser> users;
  for (;;) {
    const auto step = select.step();
    if (step == Statement::Step::kDone) return users;
    if (step == Statement::Step::kFailed) return failure("list the users");
    users.push_back(user_from(select));
  }
}

Result<void> SqliteUserStore::add(const StoredUser& user) {
  Statement insert(db_.get(),
                   "INSERT INTO users (name, id, state, schemes, allow_historic, created, password_changed, "
                   "sealed_password) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const std::int64_t now = seconds_now();
  insert.bind(user.name).bind_blob(bytes_of(user.id)).bind(static_cast<std::int64_t>(user.state));
  insert.bind(std::int64_t{user.schemes}).bind(std::int64_t{user.allow_historic}).bind(now).bind(now);
  insert.bind_blob(user.sealed_password);
  if (insert.step() == Statement::Step::kDone) return {};
  if (sqlite3_errcode(db_.get()) % 256 == SQLITE_CONSTRAINT) {
    return fail(Code::kRefused, "user \"" + escape(user.name) + "\" is enrolled already");
  }
  return failure("add the user");
}

Result<void> SqliteUserStore::change_one(Statement& statement, const std::string& missing) {
  if (statement.step() != Statement::Step::kDone) return failure("change the store");
  if (sqlite3_changes(db_.get()) == 0) return fail(Code::kNotFound, missing);
  return {};
}

Result<void> SqliteUserStore::set_password(const std::string& name, const Bytes& sealed) {
  Statement update(db_.get(), "UPDATE users SET sealed_password = ?, password_changed = ? WHERE name = ?");
  update.bind_blob(sealed).bind(seconds_now()).bind(name);
  return change_one(update, no_user(name));
}

Result<void> SqliteUserStore::set_state(const std::string& name, UserState state) {
  Statement update(db_.get(), "UPDATE users SET state = ? WHERE name = ?");
  update.bind(static_cast<std::int64_t>(state)).bind(name);
  return change_one(update, no_user(name));
}

Result<void> SqliteUserStore::remove(const std::string& name) {
  Statement erase(db_.get(), "DELETE FROM users WHERE name = ?");
  erase.bind(name);
  return change_one(erase, no_user(name));
}

// ---- credentials ---------------------------------------------------------------------------------------------------

Result<void> SqliteUserStore::set_credential(const std::string& user, const std::string& name, const Bytes& sealed,
                                             std::uint32_t size) {
  Transaction transaction(*this);
  if (auto begun = transaction.begin(); !begun) return begun;
  Statement upsert(db_.get(),
                   "INSERT INTO credentials (user_id, name, size, changed, sealed_value)"
                   " SELECT id, ?, ?, ?, ? FROM users WHERE users.name = ?"
                   " ON CONFLICT (user_id, name) DO UPDATE SET size = excluded.size, changed = excluded.changed,"
                   " sealed_value = excluded.sealed_value");
  upsert.bind(name).bind(std::int64_t{size}).bind(seconds_now()).bind_blob(sealed).bind(user);
  if (auto changed = change_one(upsert, no_user(user)); !changed) return changed;
  Statement count(db_.get(), "SELECT count(*) FROM credentials WHERE user_id = (SELECT id FROM users WHERE name = ?)");
  count.bind(user);
  if (count.step() != Statement::Step::kRow) return failure("count the user's credentials");
  if (count.number(0) > kMaxCredentialsPerUser) {
    return fail(Code::kExhausted, fmt::format("a user has at most {} credentials; remove one first", kMaxCredentialsPerUser));
  }
  return transaction.commit();
}

Result<void> SqliteUserStore::remove_credential(const std::string& user, const std::string& name) {
  Statement erase(db_.get(),
                  "DELETE FROM credentials WHERE name = ? AND user_id = (SELECT id FROM users WHERE name = ?)");
  erase.bind(name).bind(user);
  return change_one(erase, "user \"" + escape(user) + "\" has no credential \"" + escape(name) + "\"");
}

Result<std::vector<CredentialEntry>> SqliteUserStore::credentials(const std::string& user) {
  const auto known = find(user);
  if (!known) return std::unexpected(known.error());
  if (!*known) return fail(Code::kNotFound, no_user(user));
  Statement select(db_.get(), "SELECT name, size, changed FROM credentials WHERE user_id = ? ORDER BY name");
  select.bind_blob(bytes_of((*known)->id));
  std::vector<CredentialEntry> entries;
  for (;;) {
    const auto step = select.step();
    if (step == Statement::Step::kDone) return entries;
    if (step == Statement::Step::kFailed) return failure("list the credentials");
    entries.push_back({select.text(0), static_cast<std::uint32_t>(select.number(1)), static_cast<std::uint64_t>(select.number(2))});
  }
}

Result<std::optional<Bytes>> SqliteUserStore::credential(const std::string& user_id, const std::string& name) {
  Statement select(db_.get(), "SELECT sealed_value FROM credentials WHERE user_id = ? AND name = ?");
  select.bind_blob(bytes_of(user_id)).bind(name);
  switch (select.step()) {
    case Statement::Step::kRow: return select.blob(0);
    case Statement::Step::kDone: return std::nullopt;
    case Statement::Step::kFailed: break;
  }
  return failure("fetch a credential");
}

}  // namespace keyd::daemon
