// The memory of another process, as its owner or root can look at it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace keyd::testing {

struct Mapping {
  std::uint64_t from = 0, to = 0;
  std::string name;   // "anonymous" where it has none
  std::string flags;  // the VmFlags, a space before and behind each
  bool readable = false;

  [[nodiscard]] bool has_flag(const std::string& flag) const {
    return flags.find(" " + flag + " ") != std::string::npos;
  }
  // Locked and left out of core files: what the pool's pages are, of either kind.
  [[nodiscard]] bool guarded() const { return has_flag("lo") && has_flag("dd"); }
  // Pages of memfd_secret(2).
  [[nodiscard]] bool secret() const { return name == "/secretmem"; }
};
std::vector<Mapping> mappings_of(pid_t pid);

// Through /proc/PID/mem: as many octets as can be read of `size` at `from`.
Bytes read_memory(pid_t pid, std::uint64_t from, std::size_t size);

}  // namespace keyd::testing
