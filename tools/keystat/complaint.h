// What keystat says when libkeyclient could not do its work.
#pragma once

#include <keyclient/keyclient.h>

namespace keyd::keystat {

// Says what keyclient_error() says; the exit code that goes with `status`.
[[nodiscard]] int complain_about(keyclient_status status);

}  // namespace keyd::keystat
