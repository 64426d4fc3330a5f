#include "core/crypto/random.h"

#include <openssl/rand.h>

namespace keyd::crypto {

bool fill_random(MutableByteView out) { return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1; }
bool fill_random_private(MutableByteView out) {
  return RAND_priv_bytes(out.data(), static_cast<int>(out.size())) == 1;
}

}  // namespace keyd::crypto
