#include "tools/keyadm/sandbox.h"

#include "core/kernel/hardening.h"
#include "tools/console/tool_calls.h"

namespace keyd::keyadm {

Result<void> enter_sandbox() {
  if (auto hidden = kernel::forbid_inspection(); !hidden) return hidden;
  if (auto without = kernel::forbid_core_files(); !without) return without;
  if (auto forbidden = kernel::forbid_new_privileges(); !forbidden) return forbidden;
  kernel::LandlockRules files{.paths = {{"/dev/tty", kernel::kReadFiles | kernel::kWriteFiles}},
                              .abstract_sockets = false};
  for (kernel::PathRule& each : kernel::instrumentation_paths()) files.paths.push_back(std::move(each));
  if (const auto version = kernel::restrict_files(files); !version) return std::unexpected(version.error());
  kernel::SystemCalls allowed = console::tool_calls();
  allowed.push_back({"fsync"});  // an export is said to be done once it is on the disk
  return kernel::restrict_system_calls({allowed, kernel::absent_calls(), kernel::deadly_calls()});
}

}  // namespace keyd::keyadm
