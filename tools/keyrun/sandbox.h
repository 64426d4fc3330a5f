// What keyrun gives up while it is keyrun.
#pragma once

#include "core/base/error.h"

namespace keyd::keyrun {

// Until the exec nobody of the same uid looks into this process, and it leaves no core file.
[[nodiscard]] Result<void> enter_sandbox();

}  // namespace keyd::keyrun
