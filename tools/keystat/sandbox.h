// What keystat gives up before it looks at anything that keyd, or a false one, sends.
#pragma once

#include "core/base/error.h"

namespace keyd::keystat {

// For good. Afterwards: keyd's socket and table, the terminal, the commands' names in /proc. Call before any
// thread is made. A kernel without Landlock is no error here: there is nothing that keystat could leak.
[[nodiscard]] Result<void> enter_sandbox();

}  // namespace keyd::keystat
