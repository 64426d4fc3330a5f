// Statements and transactions; how the files come to be and are judged is sqlite_store_opening.cpp, changes of passwords are
// sqlite_password_changes.cpp.
#include "keyd/sqlite_user_store.h"

#include <fmt/format.h>

#include <ctime>

#include "core/base/untrusted_text.h"
#include "keyd/sqlite_due_change.h"
#include "keyd/sqlite_statement.h"

namespace keyd::daemon {
namespace {

// 1 and 2 are the numbers of wire::Suite: a hash, or verifier, of the modern one, and of the historic.
constexpr const char* kUserColumns =
    "SELECT users.name, id, state, schemes, allow_historic, created, password_changed, sealed_password,"
    " (SELECT count(*) FROM credentials WHERE user_id = users.id), version,"
    " modern.sealed, modern.shape, historic.sealed, historic.shape, srp.sealed, srp.shape, srp3.sealed, srp3.shape,"
    " change_reason, change_serial, change_since, change_failures, carried_octets, carried_records, history_salt FROM users"
    " LEFT JOIN hashes AS modern ON modern.user_id = users.id AND modern.suite = 1"
    " LEFT JOIN hashes AS historic ON historic.user_id = users.id AND historic.suite = 2"
    " LEFT JOIN verifiers AS srp ON srp.user_id = users.id AND srp.suite = 1"
    " LEFT JOIN verifiers AS srp3 ON srp3.user_id = users.id AND srp3.suite = 2 ";
static_assert(wire::SUITE_MODERN == 1 && wire::SUITE_HISTORIC == 2);

std::int64_t seconds_now() { return static_cast<std::int64_t>(::time(nullptr)); }

}  // namespace

// ---- SQLite, wrapped

std::unexpected<Error> SqliteUserStore::failure(const char* doing) {
  failure_ = sqlite3_errcode(db_.get()) & 0xff;
  // What finds no room is not always SQLITE_FULL: shared memory, a sync, a quota.
  const int system = sqlite3_system_errno(db_.get());
  no_room_ = failure_ == SQLITE_FULL || (failure_ == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT));
  if (no_room_) {
    return fail(Code::kExhausted, fmt::format("cannot {}: the disk with the store is full", doing));
  }
  switch (failure_) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(Code::kBroken,
                  fmt::format("cannot {}: the store keyd.db is damaged; restore it from a backup", doing));
    default:
      return fail(Code::kBroken,
                  fmt::format("cannot {}: {} (SQLite {}, errno {})", doing, sqlite3_errmsg(db_.get()),
                              sqlite3_extended_errcode(db_.get()), system));
  }
}

Result<void> SqliteUserStore::execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure("use the store");
  return {};
}

// A change that failed while it was written may stand whole in the log, past what counts, and would count
// after a crash. Emptying the log takes it back for good, and gives the log's room back to a full disk.
bool SqliteUserStore::empty_log() {
  return sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr) ==
         SQLITE_OK;
}

Result<void> SqliteUserStore::change(const std::function<Result<void>()>& statements) {
  const auto once = [&]() -> Result<void> {
    failure_ = SQLITE_OK;
    no_room_ = false;
    Transaction transaction(*this);
    if (auto begun = transaction.begin(); !begun) return begun;
    if (auto changed = statements(); !changed) return changed;
    // Rewrites the page with the key check: a log that belongs to another store brings that store's along,
    // and is found out at the start.
    if (auto marked = execute("INSERT INTO meta (name, value) VALUES ('last_change', randomblob(16))"
                              " ON CONFLICT (name) DO UPDATE SET value = excluded.value");
        !marked) {
      return marked;
    }
    return transaction.commit();
  };
  auto result = once();
  if (no_room_ && empty_log()) result = once();
  if (result || failure_ == SQLITE_OK) return result;
  // Where there was no room, the end of the transaction was not written.
  if (failure_ != SQLITE_IOERR || empty_log()) {
    result.error().detail += "; nothing was changed";
  } else {
    result.error().code = Code::kInDoubt;
    result.error().detail += "; whether it was changed shows at keyd's next start";
  }
  return result;
}

// ---- users

namespace {

// A state that this keyd does not know lets nobody in.
UserState state_from(std::int64_t number) {
  switch (number) {
    case static_cast<std::int64_t>(UserState::kActive): return UserState::kActive;
    case static_cast<std::int64_t>(UserState::kLocked): return UserState::kLocked;
    default: return UserState::kDisabled;
  }
}

StoredUser user_from(const SqliteStatement& row) {
  StoredUser user;
  user.name = row.text(0);
  user.id = row.text(1);
  user.state = state_from(row.number(2));
  user.schemes = static_cast<SchemeSet>(row.number(3));
  user.allow_historic = row.number(4) != 0;
  user.created = static_cast<std::uint64_t>(row.number(5));
  user.password_changed = static_cast<std::uint64_t>(row.number(6));
  user.sealed_password = row.blob(7);
  user.credential_count = static_cast<std::uint32_t>(row.number(8));
  user.version = static_cast<std::uint64_t>(row.number(9));
  user.sealed_crypt = row.blob(10);
  user.crypt_shape = row.text(11);
  user.sealed_md5 = row.blob(12);
  user.md5_shape = row.text(13);
  user.sealed_verifier = row.blob(14);
  user.verifier_shape = row.text(15);
  user.sealed_historic_verifier = row.blob(16);
  user.historic_verifier_shape = row.text(17);
  user.due = due_from_row(row, 18);
  user.carried_octets = count_from_row(row.number(22));
  user.carried_records = count_from_row(row.number(23));
  user.history_salt = row.blob(24);
  return user;
}

constexpr const char* kActivate =
    "UPDATE users SET state = ?, version = version + 1, change_failures = 0 WHERE name = ?";

std::string no_user(const std::string& name) { return "no user \"" + escape(name) + "\""; }

}  // namespace

Result<std::optional<StoredUser>> SqliteUserStore::find(const std::string& name) {
  SqliteStatement select(db_.get(), (std::string(kUserColumns) + "WHERE users.name = ?").c_str());
  select.bind(name);
  switch (select.step()) {
    case SqliteStatement::Step::kRow: return user_from(select);
    case SqliteStatement::Step::kDone: return std::nullopt;
    case SqliteStatement::Step::kFailed: break;
  }
  return failure("look a user up");
}

Result<std::vector<StoredUser>> SqliteUserStore::list(const std::string& after, std::size_t limit) {
  SqliteStatement select(
      db_.get(), (std::string(kUserColumns) + "WHERE users.name > ? ORDER BY users.name LIMIT ?").c_str());
  select.bind(after).bind(static_cast<std::int64_t>(limit));
  std::vector<StoredUser> users;
  for (;;) {
    const auto step = select.step();
    if (step == SqliteStatement::Step::kDone) return users;
    if (step == SqliteStatement::Step::kFailed) return failure("list the users");
    users.push_back(user_from(select));
  }
}

Result<void> SqliteUserStore::write_probe() {
  // The schema's version, written as it is: one page into the log, and fsync.
  return change([&]() -> Result<void> {
    SqliteStatement select(db_.get(), "PRAGMA user_version");
    if (select.step() != SqliteStatement::Step::kRow) return failure("read the store's version");
    return execute(fmt::format("PRAGMA user_version = {}", select.number(0)).c_str());
  });
}

Result<void> SqliteUserStore::add(const StoredUser& user) {
  if (!user.history_salt.empty() && user.history_salt.size() != kHistorySaltSize)
    return fail(Code::kInvalid, "this is no salt for a history of passwords");
  return change([&]() -> Result<void> {
    SqliteStatement insert(
        db_.get(),
        "INSERT INTO users (name, id, state, schemes, allow_historic, created, password_changed, "
        "sealed_password, history_salt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, coalesce(nullif(?, x''), randomblob(16)))");
    static_assert(kHistorySaltSize == 16);
    insert.bind(user.name).bind_blob(bytes_of(user.id)).bind(static_cast<std::int64_t>(user.state));
    insert.bind(std::int64_t{user.schemes}).bind(std::int64_t{user.allow_historic}).bind(seconds_now());
    insert.bind(static_cast<std::int64_t>(user.password_changed)).bind_blob(user.sealed_password);
    insert.bind_blob(user.history_salt);
    if (insert.step() != SqliteStatement::Step::kDone) {
      if (sqlite3_errcode(db_.get()) % 256 == SQLITE_CONSTRAINT)
        return fail(Code::kRefused, "user \"" + escape(user.name) + "\" is enrolled already");
      return failure("add the user");
    }
    return put_derived(user.id, {.sealed_password = {},
                                 .sealed_crypt = user.sealed_crypt,
                                 .sealed_md5 = user.sealed_md5,
                                 .sealed_verifier = user.sealed_verifier,
                                 .sealed_historic_verifier = user.sealed_historic_verifier,
                                 .crypt_shape = user.crypt_shape,
                                 .md5_shape = user.md5_shape,
                                 .verifier_shape = user.verifier_shape,
                                 .historic_verifier_shape = user.historic_verifier_shape});
  });
}

Result<void> SqliteUserStore::change_one(SqliteStatement& statement, const std::string& missing) {
  if (statement.step() != SqliteStatement::Step::kDone) return failure("change the store");
  if (sqlite3_changes(db_.get()) == 0) return fail(Code::kNotFound, missing);
  return {};
}

Result<SchemeSet> SqliteUserStore::schemes_at(const std::string& user_id, std::uint64_t version) {
  SqliteStatement select(db_.get(), "SELECT schemes, version FROM users WHERE id = ?");
  select.bind_blob(bytes_of(user_id));
  switch (select.step()) {
    case SqliteStatement::Step::kFailed: return failure("look a user up");
    case SqliteStatement::Step::kDone: return fail(Code::kNotFound, "this user is not enrolled any more");
    case SqliteStatement::Step::kRow: break;
  }
  if (select.number(1) != static_cast<std::int64_t>(version))
    return fail(Code::kConflict, "the user's record has changed in the meantime");
  return static_cast<SchemeSet>(select.number(0));
}

Result<void> SqliteUserStore::put_derived(const std::string& user_id, const UserSecrets& secrets) {
  struct Row {
    const char* table;
    wire::Suite suite;
    const Bytes& sealed;
    std::string_view shape;
  };
  const Row kRows[] = {
      {"hashes", wire::SUITE_MODERN, secrets.sealed_crypt, secrets.crypt_shape},
      {"hashes", wire::SUITE_HISTORIC, secrets.sealed_md5, secrets.md5_shape},
      {"verifiers", wire::SUITE_MODERN, secrets.sealed_verifier, secrets.verifier_shape},
      {"verifiers", wire::SUITE_HISTORIC, secrets.sealed_historic_verifier, secrets.historic_verifier_shape}};
  for (const Row& row : kRows) {
    const std::string sql = row.sealed.empty()
                                ? fmt::format("DELETE FROM {} WHERE user_id = ? AND suite = ?", row.table)
                                : fmt::format(
                                      "INSERT INTO {} (user_id, suite, sealed, shape) VALUES (?, ?, ?, ?)"
                                      " ON CONFLICT (user_id, suite) DO UPDATE SET sealed = excluded.sealed,"
                                      " shape = excluded.shape",
                                      row.table);
    SqliteStatement put(db_.get(), sql.c_str());
    const std::string shape(row.shape);
    put.bind_blob(bytes_of(user_id)).bind(std::int64_t{row.suite});
    if (!row.sealed.empty()) put.bind_blob(row.sealed).bind(shape);
    if (put.step() != SqliteStatement::Step::kDone) return failure("store what was made of a password");
  }
  return {};
}

Result<void> SqliteUserStore::set_secrets(const std::string& user_id, std::uint64_t version,
                                          const UserSecrets& secrets) {
  return change([&]() -> Result<void> {
    const auto schemes = schemes_at(user_id, version);
    if (!schemes) return std::unexpected(schemes.error());
    return put_password(user_id, secrets, schemes_of(secrets, *schemes));
  });
}

Result<void> SqliteUserStore::replace_hash(const std::string& user_id, std::uint64_t version,
                                           wire::Suite suite, const Bytes& sealed, const std::string& shape) {
  return change([&]() -> Result<void> {
    if (const auto current = schemes_at(user_id, version); !current) return std::unexpected(current.error());
    SqliteStatement replace(db_.get(),
                            "UPDATE hashes SET sealed = ?, shape = ? WHERE user_id = ? AND suite = ?");
    replace.bind_blob(sealed).bind(shape).bind_blob(bytes_of(user_id)).bind(std::int64_t{suite});
    if (auto changed = change_one(replace, "the user has no such hash"); !changed) return changed;
    SqliteStatement count(db_.get(), "UPDATE users SET version = version + 1 WHERE id = ?");
    count.bind_blob(bytes_of(user_id));
    return change_one(count, "this user is not enrolled any more");
  });
}

Result<std::vector<ShapeCount>> SqliteUserStore::shapes_in(const char* table, wire::Suite suite) {
  SqliteStatement select(
      db_.get(),
      fmt::format("SELECT shape, count(*) FROM {} WHERE suite = ? GROUP BY shape ORDER BY shape", table)
          .c_str());
  select.bind(std::int64_t{suite});
  std::vector<ShapeCount> shapes;
  for (;;) {
    const auto step = select.step();
    if (step == SqliteStatement::Step::kDone) return shapes;
    if (step == SqliteStatement::Step::kFailed) return failure("count the users' secrets");
    shapes.push_back({select.text(0), static_cast<std::uint64_t>(select.number(1))});
  }
}

namespace {
bool is_shapeless(const ShapeCount& each) { return each.shape.empty(); }
}  // namespace

Result<UserStore::Shapes> SqliteUserStore::shapes() {
  auto crypt = shapes_in("hashes", wire::SUITE_MODERN), md5 = shapes_in("hashes", wire::SUITE_HISTORIC),
       verifier = shapes_in("verifiers", wire::SUITE_MODERN),
       historic_verifier = shapes_in("verifiers", wire::SUITE_HISTORIC);
  for (const auto* each : {&crypt, &md5, &verifier, &historic_verifier})
    if (!*each) return std::unexpected(each->error());
  for (auto* const hashes : {&crypt, &md5}) std::erase_if(**hashes, &is_shapeless);
  return Shapes{std::move(*crypt), std::move(*md5), std::move(*verifier), std::move(*historic_verifier)};
}

Result<void> SqliteUserStore::set_state(const std::string& name, UserState state) {
  return change([&] {
    SqliteStatement update(db_.get(),
                           state == UserState::kActive
                               ? kActivate
                               : "UPDATE users SET state = ?, version = version + 1 WHERE name = ?");
    update.bind(static_cast<std::int64_t>(state)).bind(name);
    return change_one(update, no_user(name));
  });
}

Result<void> SqliteUserStore::remove(const std::string& name) {
  return change([&]() -> Result<void> {
    SqliteStatement erase(db_.get(), "DELETE FROM users WHERE name = ?");
    erase.bind(name);
    if (auto changed = change_one(erase, no_user(name)); !changed) return changed;
    // What was counted, and where this user was at home, says nothing of the next one by that name.
    SqliteStatement forget(db_.get(), "DELETE FROM tries WHERE user = ?");
    forget.bind(name);
    if (forget.step() != SqliteStatement::Step::kDone) return failure("remove the user");
    return {};
  });
}

Result<void> SqliteUserStore::unlock(const std::string& name) {
  const auto user = find(name);
  if (!user) return std::unexpected(user.error());
  if (!*user) return fail(Code::kNotFound, no_user(name));
  if ((*user)->state == UserState::kDisabled)
    return fail(Code::kRefused, "the user is disabled, not locked; use: keyadm user enable");
  return change([&]() -> Result<void> {
    SqliteStatement activate(db_.get(), kActivate);
    activate.bind(static_cast<std::int64_t>(UserState::kActive)).bind(name);
    if (auto changed = change_one(activate, no_user(name)); !changed) return changed;
    return clear_failures(name);
  });
}

// ---- failed tries

Result<void> SqliteUserStore::clear_failures(const std::string& user) {
  SqliteStatement clear(db_.get(), "UPDATE tries SET failures = 0 WHERE user = ?");
  SqliteStatement erase(db_.get(), "DELETE FROM tries WHERE user = ? AND failures = 0 AND familiar = 0");
  clear.bind(user);
  erase.bind(user);
  if (clear.step() != SqliteStatement::Step::kDone || erase.step() != SqliteStatement::Step::kDone)
    return failure("forget failed tries");
  return {};
}

Result<std::vector<TryCount>> SqliteUserStore::tries() {
  SqliteStatement select(db_.get(), "SELECT source, user, failures, familiar FROM tries");
  std::vector<TryCount> counts;
  for (;;) {
    const auto step = select.step();
    if (step == SqliteStatement::Step::kDone) return counts;
    if (step == SqliteStatement::Step::kFailed) return failure("read the failed tries");
    counts.push_back({static_cast<TrySource>(select.number(0)), select.text(1),
                      static_cast<std::uint32_t>(select.number(2)), select.number(3) != 0});
  }
}

Result<void> SqliteUserStore::record_tries(const std::vector<TryCount>& counts) {
  return change([&]() -> Result<void> {
    for (const TryCount& count : counts) {
      const bool kept = count.failures != 0 || count.familiar;
      SqliteStatement statement(
          db_.get(), kept ? "INSERT INTO tries (source, user, failures, familiar) VALUES (?, ?, ?, ?)"
                            " ON CONFLICT (user, source) DO UPDATE SET failures = excluded.failures,"
                            " familiar = excluded.familiar"
                          : "DELETE FROM tries WHERE source = ? AND user = ?");
      statement.bind(static_cast<std::int64_t>(count.source)).bind(count.user);
      if (kept) statement.bind(std::int64_t{count.failures}).bind(std::int64_t{count.familiar});
      if (statement.step() != SqliteStatement::Step::kDone) return failure("count a failed try");
    }
    return {};
  });
}

// ---- credentials

Result<void> SqliteUserStore::set_credential(const std::string& user, const std::string& name,
                                             const Bytes& sealed, std::uint32_t size) {
  return change([&]() -> Result<void> {
    SqliteStatement upsert(
        db_.get(),
        "INSERT INTO credentials (user_id, name, size, changed, sealed_value)"
        " SELECT id, ?, ?, ?, ? FROM users WHERE users.name = ?"
        " ON CONFLICT (user_id, name) DO UPDATE SET size = excluded.size, changed = excluded.changed,"
        " sealed_value = excluded.sealed_value");
    upsert.bind(name).bind(std::int64_t{size}).bind(seconds_now()).bind_blob(sealed).bind(user);
    if (auto changed = change_one(upsert, no_user(user)); !changed) return changed;
    SqliteStatement count(
        db_.get(), "SELECT count(*) FROM credentials WHERE user_id = (SELECT id FROM users WHERE name = ?)");
    count.bind(user);
    if (count.step() != SqliteStatement::Step::kRow) return failure("count the user's credentials");
    if (count.number(0) <= kMaxCredentialsPerUser) return {};
    return fail(Code::kExhausted,
                fmt::format("a user has at most {} credentials; remove one first", kMaxCredentialsPerUser));
  });
}

Result<void> SqliteUserStore::remove_credential(const std::string& user, const std::string& name) {
  return change([&] {
    SqliteStatement erase(
        db_.get(),
        "DELETE FROM credentials WHERE name = ? AND user_id = (SELECT id FROM users WHERE name = ?)");
    erase.bind(name).bind(user);
    return change_one(erase, "user \"" + escape(user) + "\" has no credential \"" + escape(name) + "\"");
  });
}

Result<std::vector<CredentialEntry>> SqliteUserStore::credentials(const std::string& user) {
  const auto known = find(user);
  if (!known) return std::unexpected(known.error());
  if (!*known) return fail(Code::kNotFound, no_user(user));
  SqliteStatement select(db_.get(),
                         "SELECT name, size, changed FROM credentials WHERE user_id = ? ORDER BY name");
  select.bind_blob(bytes_of((*known)->id));
  std::vector<CredentialEntry> entries;
  for (;;) {
    const auto step = select.step();
    if (step == SqliteStatement::Step::kDone) return entries;
    if (step == SqliteStatement::Step::kFailed) return failure("list the credentials");
    entries.push_back({select.text(0), static_cast<std::uint32_t>(select.number(1)),
                       static_cast<std::uint64_t>(select.number(2))});
  }
}

Result<std::optional<Bytes>> SqliteUserStore::credential(const std::string& user_id,
                                                         const std::string& name) {
  SqliteStatement select(db_.get(), "SELECT sealed_value FROM credentials WHERE user_id = ? AND name = ?");
  select.bind_blob(bytes_of(user_id)).bind(name);
  switch (select.step()) {
    case SqliteStatement::Step::kRow: return select.blob(0);
    case SqliteStatement::Step::kDone: return std::nullopt;
    case SqliteStatement::Step::kFailed: break;
  }
  return failure("fetch a credential");
}

}  // namespace keyd::daemon
