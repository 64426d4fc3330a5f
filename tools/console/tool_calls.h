// The system calls that keyd's command-line programs need once their command line is read: one of keyd's
// sockets, a terminal, and whatever a file of their own asks for besides.
#pragma once

#include "core/kernel/common_calls.h"

namespace keyd::console {

[[nodiscard]] kernel::SystemCalls tool_calls();

}  // namespace keyd::console
