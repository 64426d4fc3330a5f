// The system calls that the sandboxes of keyd and of its tools have in common: what every program's run time
// needs, and what none of them ever does.
#pragma once

#include "core/kernel/landlock.h"
#include "core/kernel/seccomp_filter.h"

namespace keyd::kernel {

// ioctl(PIDFD_GET_INFO), whatever the size of what it fills in, which is in the upper 16 bits of its number.
inline constexpr SystemCall kPidfdGetInfo{"ioctl", {ArgumentTest{1, 0xffff, 0xff0b}}};

// Memory (none that can be executed), time, random numbers, signals to itself, reading and writing what is
// open. Of a build with sanitizers also what those need.
[[nodiscard]] SystemCalls run_time_calls();

// Calls that take flags where no filter sees them. The C library has an older way for each.
[[nodiscard]] SystemCalls absent_calls();

// Other programs, processes, users, namespaces, file systems, kernels, networks; looking into other
// processes.
[[nodiscard]] SystemCalls deadly_calls();

// Where a build with sanitizers or coverage writes its reports, and what it reads. None in any other build.
[[nodiscard]] std::vector<PathRule> instrumentation_paths();

}  // namespace keyd::kernel
