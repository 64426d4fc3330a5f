// Salt and group that keyd has placed in its runtime directory, in place of sending them (seed 002, claims 5, 37).
#pragma once

#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace keyd::client {

// What lies there under `name`; exchange::kMostPlaced octets at most, a regular file. Nothing in it is to be believed
// before the MAC over it is.
[[nodiscard]] Result<Bytes> read_placed(const std::string& runtime_dir, std::string_view name);

}  // namespace keyd::client
