// Seeds of the targets whose input is a script: what the peers of a quiet day do, and what past findings did.
#pragma once

#include <functional>
#include <string>

#include "core/base/bytes.h"

namespace keyd::fuzz {

using SaveSeed = std::function<void(const std::string& target, const std::string& name, ByteView octets)>;

void save_script_seeds(const SaveSeed& save);

}  // namespace keyd::fuzz
