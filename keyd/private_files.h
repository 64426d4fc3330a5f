// Files and directories that must be ours alone: checked for kind, owner, mode and links before anything is
// trusted to them or made in them. Nothing here ever writes over what it did not make.
#pragma once

#include <sys/types.h>

#include <string>

#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::daemon {

// Opens directory `path`, made with `mode` when it is missing. Refused unless it is a directory (no symbolic
// link), owned by the caller, and writable by nobody else; with `exclusive` it must not be readable by others
// either.
[[nodiscard]] Result<UniqueFd> open_own_directory(const std::string& path, mode_t mode, bool exclusive);

// Opens the regular file `name` in `directory` with open(2) `flags`. Refused when it is a symbolic link, not
// a regular file, has another hard link, another owner, or any permission for group or others. kNotFound when
// missing.
[[nodiscard]] Result<UniqueFd> open_own_file(int directory, const std::string& name, int flags);

// Checks without opening for use: kNotFound when missing.
[[nodiscard]] Result<void> check_own_file(int directory, const std::string& name);

}  // namespace keyd::daemon
