#include "core/kernel/capabilities.h"

#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <memory>

namespace keyd::kernel {
namespace {

using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)>;

// Fails without CAP_SETPCAP.
void empty_bounding_set() {
  for (cap_value_t each = 0; each < cap_max_bits(); ++each) (void)cap_drop_bound(each);
}

// After the change of the user id (PR_SET_KEEPCAPS has kept them permitted): these alone, and in effect.
Result<void> reduce_to(const std::vector<int>& kept) {
  const Capabilities had(cap_get_proc(), cap_free), now(cap_init(), cap_free);
  if (had == nullptr || now == nullptr) return fail_errno(Code::kBroken, "cannot ask for capabilities");
  for (const cap_value_t each : kept) {
    cap_flag_value_t held = CAP_CLEAR;
    if (cap_get_flag(had.get(), each, CAP_PERMITTED, &held) != 0 || held != CAP_SET) continue;
    cap_set_flag(now.get(), CAP_PERMITTED, 1, &each, CAP_SET);
    cap_set_flag(now.get(), CAP_EFFECTIVE, 1, &each, CAP_SET);
  }
  if (cap_set_proc(now.get()) != 0) return fail_errno(Code::kBroken, "cannot reduce capabilities");
  return {};
}

}  // namespace

Result<void> drop_all_capabilities() {
  empty_bounding_set();
  cap_reset_ambient();  // fails only on kernels that have no ambient set
  const Capabilities none(cap_init(), cap_free);
  if (none == nullptr || cap_set_proc(none.get()) != 0)
    return fail_errno(Code::kBroken, "cannot drop capabilities");
  return {};
}

Result<void> become_user(uid_t uid, gid_t gid, gid_t group, const std::vector<int>& kept) {
  const std::size_t groups = group == static_cast<gid_t>(-1) ? 0 : 1;
  if (::prctl(PR_SET_KEEPCAPS, kept.empty() ? 0 : 1, 0, 0, 0) != 0)
    return fail_errno(Code::kBroken, "cannot keep capabilities");
  if (::setgroups(groups, &group) != 0 || ::setresgid(gid, gid, gid) != 0)
    return fail_errno(Code::kBroken, "cannot switch to the user in the configuration");
  empty_bounding_set();
  if (::setresuid(uid, uid, uid) != 0)
    return fail_errno(Code::kBroken, "cannot switch to the user in the configuration");
  return reduce_to(kept);
}

}  // namespace keyd::kernel
