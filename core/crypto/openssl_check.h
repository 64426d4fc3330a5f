// Inside core/crypto only: an OpenSSL call that cannot fail with the arguments we give it, and did.
#pragma once

#include <cstdlib>

namespace keyd::crypto {

// Aborts unless `ok`. Going on without the result of a primitive would be a silent loss of security.
inline void require(bool ok) {
  if (!ok) std::abort();
}

}  // namespace keyd::crypto
