// What keypasswd gives up before it speaks to keyd.
#pragma once

#include <string>

#include "core/base/error.h"

namespace keyd::keypasswd {

// Reads the terminal, what a new password is judged by, and what keyd has placed in its runtime directory; writes to no
// file. It may have a child, no other program. Nobody of the same uid looks into it, and it leaves no core file.
[[nodiscard]] Result<void> enter_sandbox(const std::string& runtime_dir);

}  // namespace keyd::keypasswd
