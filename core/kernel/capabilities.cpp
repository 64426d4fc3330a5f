#include "core/kernel/capabilities.h"

#include <grp.h>
#include <sys/capability.h>
#include <unistd.h>

#include <memory>

namespace keyd::kernel {

Result<void> drop_all_capabilities() {
  cap_reset_ambient();  // fails only on kernels that have no ambient set
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> none(cap_init(), cap_free);
  if (none == nullptr || cap_set_proc(none.get()) != 0)
    return fail_errno(Code::kBroken, "cannot drop capabilities");
  return {};
}

Result<void> become_user(uid_t uid, gid_t gid, gid_t group) {
  const std::size_t groups = group == static_cast<gid_t>(-1) ? 0 : 1;
  if (::setgroups(groups, &group) != 0 || ::setresgid(gid, gid, gid) != 0 ||
      ::setresuid(uid, uid, uid) != 0) {
    return fail_errno(Code::kBroken, "cannot switch to the user in the configuration");
  }
  return {};
}

}  // namespace keyd::kernel
