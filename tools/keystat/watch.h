// keystat --watch: the table again at every change, at most ten times a second, and every two seconds.
#pragma once

#include "tools/keystat/render.h"
#include "tools/keystat/snapshot.h"

namespace keyd::keystat {

// A full screen with keys. Ends when the person leaves, by signal, or when the very first look fails.
[[nodiscard]] int watch_on_screen(keyclient_t* client, const Filter& filter);

// One text after the other, in the given form; kJson is one object a line. Ends when nobody reads any more.
[[nodiscard]] int watch_as_text(keyclient_t* client, const Filter& filter, Form form);

}  // namespace keyd::keystat
