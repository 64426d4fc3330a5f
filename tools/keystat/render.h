// A snapshot as people, as programs and as Prometheus want it.
#pragma once

#include <string>
#include <vector>

#include "tools/keystat/snapshot.h"

namespace keyd::keystat {

// A table of columns; colours for the states when `colour`.
[[nodiscard]] std::string as_pretty(const Snapshot& snapshot, bool colour);
// {"table": {…}, "tasks": [{…}]}; times are RFC 3339 in UTC, or null. docs/man/keystat.1 lists the fields.
[[nodiscard]] std::string as_json(const Snapshot& snapshot);
// The same without line breaks but the last.
[[nodiscard]] std::string as_json_line(const Snapshot& snapshot);
// OpenMetrics 1.0 text.
[[nodiscard]] std::string as_openmetrics(const Snapshot& snapshot);

// "2m", "3h": how long ago, or until then.
[[nodiscard]] std::string span(std::uint64_t nanoseconds);
// The control sequence of a state's colour.
[[nodiscard]] const char* colour_of(keyclient_state state);
[[nodiscard]] const char* revocation_name(keyclient_revocation revocation);
[[nodiscard]] std::vector<std::string> flag_names(const keyclient_identity& identity);

}  // namespace keyd::keystat
