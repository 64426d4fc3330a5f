#include "core/kernel/task_capabilities.h"

#include <charconv>
#include <string>

#include "core/kernel/pidfd.h"
#include "core/kernel/proc_file.h"

namespace keyd::kernel {

std::optional<std::uint64_t> permitted_capabilities(int pidfd, std::uint32_t pid) {
  const auto status = read_proc_file("/proc/" + std::to_string(pid) + "/status");
  if (!status || has_exited(pidfd)) return std::nullopt;
  const auto digits = proc_field(*status, "CapPrm:");
  if (!digits) return std::nullopt;
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(digits->data(), digits->data() + digits->size(), value, 16);
  if (parsed.ec != std::errc() || parsed.ptr != digits->data() + digits->size()) return std::nullopt;
  return value;
}

}  // namespace keyd::kernel
