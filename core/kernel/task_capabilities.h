// The capabilities another process holds, to tell whether an exec made it more powerful than it was.
#pragma once

#include <cstdint>
#include <optional>

namespace keyd::kernel {

// The permitted set of the process behind `pidfd`, whose number here is `pid`, from /proc/PID/status. Nothing
// when it cannot be read (hidepid) or the process is gone: the number is trusted only if the pidfd is alive
// afterwards.
[[nodiscard]] std::optional<std::uint64_t> permitted_capabilities(int pidfd, std::uint32_t pid);

}  // namespace keyd::kernel
