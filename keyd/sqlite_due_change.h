// How what is told of a user's password lies in a row of `users`. A value that keyd has not written there never means that
// less is due: it is a change of an unknown reason, or a count without end.
#pragma once

#include <algorithm>
#include <limits>

#include "keyd/sqlite_statement.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

inline constexpr const char* kDueColumns = "change_reason, change_serial, change_since, change_failures";
inline constexpr std::int64_t kLargestCount = std::numeric_limits<std::int64_t>::max();

[[nodiscard]] inline std::int64_t count_for_row(std::uint64_t count) {
  return static_cast<std::int64_t>(std::min(count, static_cast<std::uint64_t>(kLargestCount)));
}
[[nodiscard]] inline std::uint64_t count_from_row(std::int64_t count) {
  return static_cast<std::uint64_t>(count < 0 ? kLargestCount : count);
}

// kDueColumns from column `first` on. Only what is due is told: the serial of one that was stays in the row.
[[nodiscard]] inline DueChange due_from_row(const SqliteStatement& row, int first) {
  const std::int64_t reason = row.number(first);
  if (reason == 0) return {};
  const bool known = reason > 0 && reason <= static_cast<std::int64_t>(ChangeReason::kMessages);
  DueChange due;
  due.reason = known ? static_cast<ChangeReason>(reason) : ChangeReason::kAdministrator;
  due.serial = static_cast<std::uint64_t>(std::max<std::int64_t>(row.number(first + 1), 1));
  due.since = static_cast<std::uint64_t>(std::max<std::int64_t>(row.number(first + 2), 0));
  due.failures = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      count_from_row(row.number(first + 3)), std::numeric_limits<std::uint32_t>::max()));
  return due;
}

}  // namespace keyd::daemon
