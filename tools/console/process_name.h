// How a process is named on a command line: PID, or PID:INODE for one that cannot be another.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace keyd::console {

struct ProcessName {
  std::uint32_t pid = 0;
  std::uint64_t inode = 0;  // 0: not given
  bool operator==(const ProcessName&) const = default;
};

// Nothing when `text` is neither; no number in it is 0.
[[nodiscard]] std::optional<ProcessName> parse_process(std::string_view text);

}  // namespace keyd::console
