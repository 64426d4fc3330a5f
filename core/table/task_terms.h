// The words for states, reasons, tiers and the rest, as people and JSON see them. One list for keyd and the library (keystat, which knows the C ABI alone, has its own).
#pragma once

#include <string_view>
#include <vector>

#include "core/table/task_table_layout.h"

namespace keyd::table {

[[nodiscard]] std::string_view name_of(TaskState state);        // "PENDING"
[[nodiscard]] std::string_view name_of(Reason reason);          // "wrong-proof"
[[nodiscard]] std::string_view name_of(Scheme scheme);          // "challenge"
[[nodiscard]] std::string_view name_of(Suite suite);            // "modern"
[[nodiscard]] std::string_view name_of(Tier tier);              // "watch"
[[nodiscard]] std::string_view name_of(Revocation revocation);  // "asynchronous"
// The flags that are set, in fixed order: "CHANGE_DUE", "REAUTHENTICATING", "PLANNED_EXEC".
[[nodiscard]] std::vector<std::string_view> names_of_flags(std::uint8_t flags);

// What a tier promises (docs/architecture.md, "Tiers").
[[nodiscard]] Strength strength_of(Tier tier);

}  // namespace keyd::table
