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

}  // namespace keyd::kernel
