// The calling process's own capabilities and user.
#pragma once

#include <sys/types.h>

#include "core/base/error.h"

namespace keyd::kernel {

// Empties the permitted, effective, inheritable and ambient sets, for all threads made afterwards: call
// before any.
[[nodiscard]] Result<void> drop_all_capabilities();

// Becomes `uid`:`gid` for good, with `group` as the only supplementary group, or none when it is -1. Needs to
// be root.
[[nodiscard]] Result<void> become_user(uid_t uid, gid_t gid, gid_t group);

}  // namespace keyd::kernel
