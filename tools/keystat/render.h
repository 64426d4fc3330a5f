// A snapshot as people, as programs and as Prometheus want it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/keystat/snapshot.h"

namespace keyd::keystat {

// kJsonLine: kJson without line breaks but the last.
enum class Form { kPretty, kJson, kJsonLine, kOpenMetrics };

// A snapshot in the given form, for standard output. Names its commands.
[[nodiscard]] std::string render(Snapshot& snapshot, Form form);

// A table of columns; colours for the states when `colour`.
[[nodiscard]] std::string as_pretty(const Snapshot& snapshot, bool colour);
// {"table": {…}, "tasks": [{…}]}; times are RFC 3339 in UTC, or null. docs/man/keystat.1 lists the fields.
[[nodiscard]] std::string as_json(const Snapshot& snapshot);
[[nodiscard]] std::string as_json_line(const Snapshot& snapshot);
// OpenMetrics 1.0 text.
[[nodiscard]] std::string as_openmetrics(const Snapshot& snapshot);

// "2m", "3h": how long ago, or until then.
[[nodiscard]] std::string span(std::uint64_t nanoseconds);
// When the task proved itself; while it has not, when its exchange began. Boot time, like `now` below.
[[nodiscard]] std::uint64_t since(const keyclient_identity& identity);
// The span since then.
[[nodiscard]] std::string age_of(const Task& task, std::uint64_t now);
// The span until a COMPLETE record's lifetime is over, which may have been between its snapshot and `now`; else "-".
[[nodiscard]] std::string end_of(const Task& task, std::uint64_t now);
// The control sequence of a state's colour.
[[nodiscard]] const char* colour_of(keyclient_state state);
[[nodiscard]] const char* revocation_name(keyclient_revocation revocation);
[[nodiscard]] std::vector<std::string> flag_names(const keyclient_identity& identity);

}  // namespace keyd::keystat
