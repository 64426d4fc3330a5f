#include "tools/keystat/sandbox.h"

#include <ctime>

#include "core/kernel/hardening.h"
#include "tools/console/tool_calls.h"
#include "tools/keystat/text_width.h"

namespace keyd::keystat {

Result<void> enter_sandbox() {
  // What the C library reads once: the time zone for the screen's clock, the locale for characters' widths.
  ::tzset();
  (void)display_width("…");
  if (auto forbidden = kernel::forbid_new_privileges(); !forbidden) return forbidden;
  kernel::LandlockRules files{.paths = {{"/proc", kernel::kReadFiles}}, .abstract_sockets = false};
  for (kernel::PathRule& each : kernel::instrumentation_paths()) files.paths.push_back(std::move(each));
  if (const auto version = kernel::restrict_files(files); !version) return std::unexpected(version.error());

  kernel::SystemCalls allowed = console::tool_calls();
  // The library asks a socket's or a pid's process for its name.
  for (const kernel::SystemCall& call :
       kernel::SystemCalls{{"pidfd_open"}, {"fstatfs"}, kernel::kPidfdGetInfo})
    allowed.push_back(call);
  return kernel::restrict_system_calls({allowed, kernel::absent_calls(), kernel::deadly_calls()});
}

}  // namespace keyd::keystat
