// What keyadm gives up once its command line is read, and before it has a password.
#pragma once

#include "core/base/error.h"

namespace keyd::keyadm {

// For good. Afterwards: keyd's socket, the terminal, the descriptors it has (an import's file); no file, no other
// program, nobody who looks into it, no core file. Call before any thread is made.
[[nodiscard]] Result<void> enter_sandbox();

}  // namespace keyd::keyadm
