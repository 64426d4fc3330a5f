// The user store in one SQLite file, keyd.db, beside its key, store.key, in the state directory. WAL,
// synchronous = FULL, one transaction a change.
//
// Opening is strict: a file that is missing beside its partner, has another owner, mode or kind, or is
// damaged is refused with one line and left as it is. A first start interrupted at any point is completed by
// the next.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <memory>

#include "core/base/unique_fd.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

class SqliteStatement;
struct OpenedStore;

class SqliteUserStore final : public UserStore {
 public:
  // Opens or, when the directory holds neither file, makes the store. The key comes from the systemd
  // credential "keyd-store-key" where there is one ($CREDENTIALS_DIRECTORY), else from store.key.
  [[nodiscard]] static Result<OpenedStore> open(const std::string& state_directory);

  Result<std::optional<StoredUser>> find(const std::string& name) override;
  Result<std::vector<StoredUser>> list(const std::string& after, std::size_t limit) override;
  Result<void> write_probe() override;
  Result<void> add(const StoredUser& user) override;
  Result<void> set_secrets(const std::string& user_id, std::uint64_t version,
                           const UserSecrets& secrets) override;
  Result<void> replace_hash(const std::string& user_id, std::uint64_t version, wire::Suite suite,
                            const Bytes& sealed, const std::string& shape) override;
  Result<Shapes> shapes() override;
  Result<void> set_state(const std::string& name, UserState state) override;
  Result<void> remove(const std::string& name) override;
  Result<void> unlock(const std::string& name) override;
  Result<DueChange> ask_change(const std::string& name, ChangeReason reason, std::uint64_t set_at) override;
  Result<ChangeFailure> fail_change(const std::string& user_id, std::uint64_t serial,
                                    std::uint32_t most) override;
  Result<void> change_password(const std::string& user_id, std::uint64_t version, const UserSecrets& secrets,
                               const Bytes& sealed_history, std::uint32_t keep) override;
  Result<std::vector<Bytes>> password_history(const std::string& user_id) override;
  Result<void> carry(const std::vector<Carried>& carried) override;
  Result<std::vector<TryCount>> tries() override;
  Result<void> record_tries(const std::vector<TryCount>& counts) override;
  Result<void> set_credential(const std::string& user, const std::string& name, const Bytes& sealed,
                              std::uint32_t size) override;
  Result<void> remove_credential(const std::string& user, const std::string& name) override;
  Result<std::vector<CredentialEntry>> credentials(const std::string& user) override;
  Result<std::optional<Bytes>> credential(const std::string& user_id, const std::string& name) override;

 private:
  struct CloseDatabase {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  using Database = std::unique_ptr<sqlite3, CloseDatabase>;
  // Rolls back unless it was committed.
  class Transaction {
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

  explicit SqliteUserStore(Database db) : db_(std::move(db)) {}
  // The steps of open().
  [[nodiscard]] static Result<std::unique_ptr<SqliteUserStore>> open_database(const std::string& path);
  [[nodiscard]] Result<bool> has_schema();
  [[nodiscard]] Result<void> make_anew(const StoreSealer& sealer);
  // Of a store that is there and belongs to this key; its last page may be `cut_off`.
  [[nodiscard]] Result<void> take_over(const StoreSealer& sealer, bool cut_off);
  [[nodiscard]] Result<void> execute(const char* sql);
  void restrict_connection();
  [[nodiscard]] Result<void> configure();
  [[nodiscard]] Result<void> create_schema(const Bytes& key_check);
  // The schema version that the file has, when keyd can use it.
  [[nodiscard]] Result<int> check_schema();
  // Brings an older file to today's schema, in one transaction.
  [[nodiscard]] Result<void> migrate(int from);
  [[nodiscard]] Result<Bytes> key_check();
  [[nodiscard]] std::unexpected<Error> failure(const char* doing);
  // What is counted at a name, its familiar sources left.
  [[nodiscard]] Result<void> clear_failures(const std::string& user);
  // Runs `statements` as one transaction. What failed has changed nothing, or the error says that it cannot
  // be told before the next start.
  [[nodiscard]] Result<void> change(const std::function<Result<void>()>& statements);
  [[nodiscard]] bool empty_log();
  // One statement that must change exactly one row; kNotFound with `missing` when it changed none.
  [[nodiscard]] Result<void> change_one(SqliteStatement& statement, const std::string& missing);
  // Inside a change: the schemes of the user with this id, if the record is still of `version`. kNotFound, kConflict.
  [[nodiscard]] Result<SchemeSet> schemes_at(const std::string& user_id, std::uint64_t version);
  // Inside a change: another password has been set, by these secrets, for `schemes`.
  [[nodiscard]] Result<void> put_password(const std::string& user_id, const UserSecrets& secrets,
                                          SchemeSet schemes);
  // Inside a change: `sealed` becomes the newest of the history, which has `keep` at most.
  [[nodiscard]] Result<void> put_history(const std::string& user_id, const Bytes& sealed, std::uint32_t keep);
  // Inside a change: what crypt(3), MD5 and SRP have made of the password; what is empty is removed.
  [[nodiscard]] Result<void> put_derived(const std::string& user_id, const UserSecrets& secrets);
  [[nodiscard]] Result<std::vector<ShapeCount>> shapes_in(const char* table, wire::Suite suite);

  Database db_;
  int failure_ = 0;       // SQLite's code of the last failure()
  bool no_room_ = false;  // and whether it was for want of room
};

struct OpenedStore {
  std::unique_ptr<SqliteUserStore> users;
  std::unique_ptr<StoreSealer> sealer;
  bool created = false;
};

}  // namespace keyd::daemon
