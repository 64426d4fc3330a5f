// The calling process's own capabilities and user.
#pragma once

#include <linux/capability.h>  // the capabilities' numbers, for whoever keeps some
#include <sys/types.h>

#include <vector>

#include "core/base/error.h"

namespace keyd::kernel {

// Empties the permitted, effective, inheritable and ambient sets, for all threads made afterwards: call
// before any. The bounding set too while there is CAP_SETPCAP; without it, that set stays as it is (what
// no_new_privs makes meaningless).
[[nodiscard]] Result<void> drop_all_capabilities();

// Becomes `uid`:`gid` for good, with `group` as the only supplementary group, or none when it is -1. Needs to
// be root. Of its capabilities it has none afterwards but those in `kept` that it had; the bounding set is
// empty.
[[nodiscard]] Result<void> become_user(uid_t uid, gid_t gid, gid_t group, const std::vector<int>& kept = {});

}  // namespace keyd::kernel
