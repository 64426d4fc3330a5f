// keystat --watch: the table again at every change, at most ten times a second, and every two seconds.
#pragma once

#include <string>

#include "tools/keystat/snapshot.h"

namespace keyd::keystat {

// A full screen with keys. Ends when the person leaves, by signal, or when the very first look fails.
[[nodiscard]] int watch_on_screen(keyclient_t* client, const Filter& filter);

// One text after the other, in the given form; "json" is one object a line. Ends when nobody reads any more.
[[nodiscard]] int watch_as_text(keyclient_t* client, const Filter& filter, const std::string& output);

// Says what keyclient_error() says; the exit code that goes with `status`.
[[nodiscard]] int complain_about(keyclient_status status);

// A snapshot in the given form: "pretty", "json", "json-line" or "openmetrics". Names its commands.
[[nodiscard]] std::string render(Snapshot& snapshot, const std::string& output);

}  // namespace keyd::keystat
