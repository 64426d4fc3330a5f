// Changes of passwords in the SQLite store: when one is due, how often its requests have failed, the change itself, and
// what tells that a password is used up. A change is one transaction: there is no moment at which the user has the secrets
// of two passwords, or of none.
#include <ctime>

#include "core/base/untrusted_text.h"
#include "keyd/sqlite_due_change.h"
#include "keyd/sqlite_user_store.h"

namespace keyd::daemon {
namespace {

std::int64_t seconds_now() { return static_cast<std::int64_t>(::time(nullptr)); }

constexpr const char* kGone = "this user is not enrolled any more";

}  // namespace

// ---- what is due

Result<DueChange> SqliteUserStore::ask_change(const std::string& name, ChangeReason reason,
                                              std::uint64_t set_at) {
  if (reason == ChangeReason::kNone) return fail(Code::kInvalid, "a change of password is due for a reason");
  const auto user = find(name);
  if (!user) return std::unexpected(user.error());
  if (!*user) return fail(Code::kNotFound, "no user \"" + escape(name) + "\"");
  if ((*user)->password_changed > set_at) return fail(Code::kConflict, "the password was changed meanwhile");
  if ((*user)->due.serial != 0) return (*user)->due;
  DueChange due;
  auto asked = change([&]() -> Result<void> {
    // A serial that keyd has not written begins anew: below 1 there is none.
    SqliteStatement update(db_.get(),
                           "UPDATE users SET change_reason = ?, change_since = ?, change_failures = 0,"
                           " change_serial = max(change_serial, 0) + 1 WHERE id = ?"
                           " RETURNING change_reason, change_serial, change_since, change_failures");
    update.bind(static_cast<std::int64_t>(reason)).bind(seconds_now()).bind_blob(bytes_of((*user)->id));
    if (update.step() != SqliteStatement::Step::kRow) return failure("ask for a change of password");
    due = due_from_row(update, 0);
    if (update.step() != SqliteStatement::Step::kDone) return failure("ask for a change of password");
    return {};
  });
  if (!asked) return std::unexpected(asked.error());
  return due;
}

Result<UserStore::ChangeFailure> SqliteUserStore::fail_change(const std::string& user_id,
                                                              std::uint64_t serial, std::uint32_t most) {
  ChangeFailure outcome;
  auto counted = change([&]() -> Result<void> {
    SqliteStatement select(
        db_.get(), (std::string("SELECT state, ") + kDueColumns + " FROM users WHERE id = ?").c_str());
    select.bind_blob(bytes_of(user_id));
    switch (select.step()) {
      case SqliteStatement::Step::kFailed: return failure("look a user up");
      case SqliteStatement::Step::kDone: return fail(Code::kNotFound, kGone);
      case SqliteStatement::Step::kRow: break;
    }
    const DueChange due = due_from_row(select, 1);
    if (due.serial == 0 || due.serial != serial)
      return fail(Code::kConflict, "this change of password is not due any more");
    const bool active = select.number(0) == static_cast<std::int64_t>(UserState::kActive);
    outcome.failures =
        due.failures == std::numeric_limits<std::uint32_t>::max() ? due.failures : due.failures + 1;
    outcome.disabled = active && most != 0 && outcome.failures >= most;
    SqliteStatement update(db_.get(), outcome.disabled
                                          ? "UPDATE users SET change_failures = ?1, state = ?3,"
                                            " version = version + 1 WHERE id = ?2"
                                          : "UPDATE users SET change_failures = ?1 WHERE id = ?2");
    update.bind(std::int64_t{outcome.failures}).bind_blob(bytes_of(user_id));
    if (outcome.disabled) update.bind(static_cast<std::int64_t>(UserState::kDisabled));
    return change_one(update, kGone);
  });
  if (!counted) return std::unexpected(counted.error());
  return outcome;
}

// ---- the change

Result<void> SqliteUserStore::put_password(const std::string& user_id, const UserSecrets& secrets,
                                           SchemeSet schemes) {
  SqliteStatement update(db_.get(),
                         "UPDATE users SET sealed_password = ?, password_changed = ?, schemes = ?,"
                         " change_reason = 0, change_since = 0, change_failures = 0,"
                         " carried_octets = 0, carried_records = 0, version = version + 1 WHERE id = ?");
  update.bind_blob(secrets.sealed_password).bind(seconds_now());
  update.bind(std::int64_t{schemes}).bind_blob(bytes_of(user_id));
  if (auto changed = change_one(update, kGone); !changed) return changed;
  return put_derived(user_id, secrets);
}

Result<void> SqliteUserStore::put_history(const std::string& user_id, const Bytes& sealed,
                                          std::uint32_t keep) {
  if (keep != 0) {
    // Numbered by the version that the change has made: it only grows.
    SqliteStatement insert(db_.get(),
                           "INSERT INTO password_history (user_id, version, sealed)"
                           " SELECT id, version, ? FROM users WHERE id = ?");
    insert.bind_blob(sealed).bind_blob(bytes_of(user_id));
    if (auto kept = change_one(insert, kGone); !kept) return kept;
  }
  SqliteStatement forget(
      db_.get(),
      "DELETE FROM password_history WHERE user_id = ?1 AND version NOT IN"
      " (SELECT version FROM password_history WHERE user_id = ?1 ORDER BY version DESC LIMIT ?2)");
  forget.bind_blob(bytes_of(user_id)).bind(std::int64_t{keep});
  if (forget.step() != SqliteStatement::Step::kDone) return failure("forget an old password");
  return {};
}

Result<void> SqliteUserStore::change_password(const std::string& user_id, std::uint64_t version,
                                              const UserSecrets& secrets, const Bytes& sealed_history,
                                              std::uint32_t keep) {
  const SchemeSet schemes = schemes_of(secrets, 0);
  if (schemes == 0) return fail(Code::kInvalid, "a change of password gives a secret");
  if (keep != 0 && sealed_history.empty())
    return fail(Code::kInvalid, "there is nothing to know the password by again");
  return change([&]() -> Result<void> {
    if (const auto current = schemes_at(user_id, version); !current) return std::unexpected(current.error());
    if (auto put = put_password(user_id, secrets, schemes); !put) return put;
    return put_history(user_id, sealed_history, keep);
  });
}

Result<std::vector<Bytes>> SqliteUserStore::password_history(const std::string& user_id) {
  SqliteStatement select(db_.get(),
                         "SELECT sealed FROM password_history WHERE user_id = ? ORDER BY version DESC");
  select.bind_blob(bytes_of(user_id));
  std::vector<Bytes> history;
  for (;;) {
    const auto step = select.step();
    if (step == SqliteStatement::Step::kDone) return history;
    if (step == SqliteStatement::Step::kFailed) return failure("read a user's recent passwords");
    history.push_back(select.blob(0));
  }
}

// ---- what tells that a password is used up

Result<void> SqliteUserStore::carry(const std::vector<Carried>& carried) {
  if (carried.empty()) return {};
  return change([&]() -> Result<void> {
    for (const Carried& each : carried) {
      // What is there is looked at first: a sum past 2^63-1 would not be an integer to SQLite. A negative one is none that
      // keyd has written; it counts as the largest (count_from_row).
      SqliteStatement add(db_.get(),
                          "UPDATE users SET"
                          " carried_octets = CASE WHEN carried_octets BETWEEN 0 AND ?4 - ?1"
                          " THEN carried_octets + ?1 ELSE ?4 END,"
                          " carried_records = CASE WHEN carried_records BETWEEN 0 AND ?4 - ?2"
                          " THEN carried_records + ?2 ELSE ?4 END"
                          " WHERE id = ?3 AND password_changed <= ?5");
      add.bind(count_for_row(each.octets)).bind(count_for_row(each.records));
      add.bind_blob(bytes_of(each.user_id)).bind(kLargestCount);
      add.bind(count_for_row(each.set_at));
      if (add.step() != SqliteStatement::Step::kDone) return failure("count what a session has carried");
    }
    return {};
  });
}

}  // namespace keyd::daemon
