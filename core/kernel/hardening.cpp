#include "core/kernel/hardening.h"

#include <sys/prctl.h>
#include <sys/resource.h>

namespace keyd::kernel {

Result<void> forbid_inspection() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
    return fail_errno(Code::kBroken, "cannot become non-dumpable");
  return {};
}

Result<void> forbid_core_files() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno(Code::kBroken, "cannot forbid core files");
  return {};
}

Result<void> forbid_new_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail_errno(Code::kBroken, "cannot set no_new_privs");
  return {};
}

}  // namespace keyd::kernel
