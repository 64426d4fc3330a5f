// A snapshot as people, as programs and as Prometheus want it.
#pragma once

#include <string>

#include "tools/keystat/snapshot.h"

namespace keyd::keystat {

// A table of columns; colours for the states when `colour`.
[[nodiscard]] std::string as_pretty(const Snapshot& snapshot, bool colour);
// {"table": {…}, "tasks": [{…}]}; times are RFC 3339 in UTC, or null. docs/man/keystat.1 lists the fields.
[[nodiscard]] std::string as_json(const Snapshot& snapshot);
// OpenMetrics 1.0 text.
[[nodiscard]] std::string as_openmetrics(const Snapshot& snapshot);

}  // namespace keyd::keystat
