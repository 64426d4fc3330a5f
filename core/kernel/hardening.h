// What a process does to itself so that others cannot look into it.
#pragma once

#include <cstdint>

#include "core/base/error.h"

namespace keyd::kernel {

// No core file, no ptrace or /proc/PID/mem by processes of the same uid (PR_SET_DUMPABLE 0). Ends with an
// execve.
[[nodiscard]] Result<void> forbid_inspection();

// No core file of this process or of what it becomes (RLIMIT_CORE 0, also as the hard limit).
[[nodiscard]] Result<void> forbid_core_files();

// No later execve can gain privileges (PR_SET_NO_NEW_PRIVS).
[[nodiscard]] Result<void> forbid_new_privileges();

}  // namespace keyd::kernel
