// Which pid and user namespace a process lives in, by the inode that names it.
#pragma once

#include <cstdint>

namespace keyd::kernel {

struct NamespaceIds {
  std::uint64_t pid = 0, user = 0;  // nsfs inodes; 0 where they cannot be read
  bool operator==(const NamespaceIds&) const = default;
};

// The calling process's own.
[[nodiscard]] NamespaceIds own_namespaces();

// own_namespaces().pid, for one load: remembered, and forgotten by every forked child, which may be the first of
// another namespace.
[[nodiscard]] std::uint64_t own_pid_namespace();

}  // namespace keyd::kernel
