// Where an exchange takes its random octets from: passed in, so that a test can give fixed ones.
#pragma once

#include <functional>

#include "core/base/bytes.h"

namespace keyd::exchange {

// Fills its argument with random octets; false when it cannot.
using RandomSource = std::function<bool(MutableByteView)>;

}  // namespace keyd::exchange
