// Less than the other programs do, because keyrun becomes another: a filter of system calls, a Landlock
// ruleset, no_new_privs and resource limits all survive an execve, and the command is to run as it would
// without keyrun (one with set-user-ID bits, too). Being non-dumpable ends with the execve, and until then it
// forbids core files as well.
#include "tools/keyrun/sandbox.h"

#include "core/kernel/hardening.h"

namespace keyd::keyrun {

Result<void> enter_sandbox() { return kernel::forbid_inspection(); }

}  // namespace keyd::keyrun
