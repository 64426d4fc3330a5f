// One prepared SQLite statement: bind in order, step, read columns. Errors are kept and show at step().
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/base/bytes.h"

namespace keyd::daemon {

class SqliteStatement {
 public:
  SqliteStatement(sqlite3* db, const char* sql) {
    sqlite3_stmt* raw = nullptr;
    status_ = sqlite3_prepare_v2(db, sql, -1, &raw, nullptr);
    statement_.reset(raw);
  }
  SqliteStatement& bind(std::string_view text) {
    note(sqlite3_bind_text(statement_.get(), ++bound_, text.data(), static_cast<int>(text.size()),
                           SQLITE_TRANSIENT));
    return *this;
  }
  SqliteStatement& bind_blob(ByteView octets) {
    // Without an address it would be NULL, which is something else than no octets.
    note(sqlite3_bind_blob(statement_.get(), ++bound_,
                           octets.empty() ? "" : static_cast<const void*>(octets.data()),
                           static_cast<int>(octets.size()), SQLITE_TRANSIENT));
    return *this;
  }
  SqliteStatement& bind(std::int64_t number) {
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

  [[nodiscard]] std::int64_t number(int column) const {
    return sqlite3_column_int64(statement_.get(), column);
  }
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

}  // namespace keyd::daemon
