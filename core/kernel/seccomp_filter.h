// Which system calls this process and all that it becomes may still make (seccomp(2), mode 2, by libseccomp).
// There is no way back, and no way to more. A call that is in no list fails with EPERM.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/base/error.h"

namespace keyd::kernel {

// Passes when the bits of an argument (0 … 5) under `mask` are `value`. A mask of 0 passes always.
struct ArgumentTest {
  unsigned argument = 0;
  std::uint64_t mask = 0, value = 0;
};

// Of an argument that is an int: the upper half of its register is nobody's.
constexpr ArgumentTest is(unsigned argument, std::uint32_t value) { return {argument, 0xffffffff, value}; }
constexpr ArgumentTest has(unsigned argument, std::uint64_t bits) { return {argument, bits, bits}; }
constexpr ArgumentTest has_not(unsigned argument, std::uint64_t bits) { return {argument, bits, 0}; }
constexpr ArgumentTest is_null(unsigned argument) { return {argument, ~std::uint64_t{0}, 0}; }

// A call when all its tests pass. The same call may be in a list several times: one line that fits is enough.
struct SystemCall {
  const char* name;  // as in the kernel, e.g. "newfstatat"
  std::array<ArgumentTest, 2> tests{};
};
using SystemCalls = std::vector<SystemCall>;

// The three lists must not overlap.
struct SystemCallRules {
  SystemCalls allowed;
  SystemCalls absent;  // ENOSYS: the C library then takes an older call, whose arguments can be judged
  SystemCalls deadly;  // nobody but an attacker makes them: the process ends by SIGSYS
};

// For every thread of the process; sets no_new_privs. Fails when the kernel has no seccomp, or when
// libseccomp does not know a name.
[[nodiscard]] Result<void> restrict_system_calls(const SystemCallRules& rules);

}  // namespace keyd::kernel
