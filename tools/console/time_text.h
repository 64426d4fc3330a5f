// Times as the programs print them.
#pragma once

#include <cstdint>
#include <string>

namespace keyd::console {

// `seconds` since 1970 as RFC 3339 in UTC, "2026-05-01T12:00:00Z"; what lies past the year 9999, which that form
// cannot say, as the plain number. It may come from anybody: never throws for it.
[[nodiscard]] std::string utc(std::uint64_t seconds);

}  // namespace keyd::console
