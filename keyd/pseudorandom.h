// Octets that a name has, and that nobody foretells who has not the key: for stand-ins.
#pragma once

#include <string_view>

#include "core/base/bytes.h"

namespace keyd::daemon {

// HMAC-SHA256(key, purpose | 0 | name | be32(block)), as many octets as it takes.
void pseudorandom(ByteView key, std::string_view purpose, std::string_view name, MutableByteView out);

}  // namespace keyd::daemon
