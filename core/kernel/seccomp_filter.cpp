#include "core/kernel/seccomp_filter.h"

#include <seccomp.h>

#include <memory>

namespace keyd::kernel {
namespace {

using Filter = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

// libseccomp gives a negative errno.
Result<void> failed(int status, const std::string& what) {
  return std::unexpected(Error{Code::kUnsupported, what, -status});
}

Result<void> add(const Filter& filter, const SystemCalls& calls, std::uint32_t action) {
  for (const SystemCall& call : calls) {
    const int number = seccomp_syscall_resolve_name(call.name);
    if (number == __NR_SCMP_ERROR)
      return fail(Code::kUnsupported, std::string("libseccomp does not know ") + call.name);
    std::array<scmp_arg_cmp, 2> conditions{};
    unsigned count = 0;
    for (const ArgumentTest& test : call.tests) {
      if (test.mask == 0) continue;
      conditions[count++] = {test.argument, SCMP_CMP_MASKED_EQ, test.mask, test.value};
    }
    // A call that this machine's architecture does not have is passed over.
    const int status =
        seccomp_rule_add_array(filter.get(), action, number, count, count == 0 ? nullptr : conditions.data());
    if (status != 0) return failed(status, std::string("cannot make a filter for ") + call.name);
  }
  return {};
}

}  // namespace

Result<void> restrict_system_calls(const SystemCallRules& rules) {
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)), seccomp_release);
  if (filter == nullptr) return fail(Code::kExhausted, "cannot make a filter of system calls");
  // Calls by another architecture's numbers (32 bits, x32) are what no part of us makes. All threads get the
  // filter, or none. What is refused is told to the kernel's audit log, if that wants it; kernels before 4.14
  // cannot. The binary tree keeps the search short.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (const int status = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); status != 0)
    return failed(status, "this kernel cannot filter the system calls of all threads");
  for (const auto& [calls, action] : {std::pair(&rules.allowed, std::uint32_t{SCMP_ACT_ALLOW}),
                                      std::pair(&rules.absent, std::uint32_t{SCMP_ACT_ERRNO(ENOSYS)}),
                                      std::pair(&rules.deadly, std::uint32_t{SCMP_ACT_KILL_PROCESS})}) {
    if (auto added = add(filter, *calls, action); !added) return added;
  }
  if (const int status = seccomp_load(filter.get()); status != 0)
    return failed(status, "cannot filter system calls (seccomp)");
  return {};
}

}  // namespace keyd::kernel
