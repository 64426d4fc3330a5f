// Not in the header: where the compiler knows how many octets are copied, it copies through vector registers by itself,
// and g++ 12 then leaves some of them on the stack.
#include "core/secret/secret.h"

#include <cstring>

namespace keyd::secret {

SecretBuffer SecretBuffer::copy_of(ByteView octets) {
  SecretBuffer out(octets.size());
  if (out.data_ != nullptr) std::memcpy(out.data_, octets.data(), octets.size());
  return out;
}

}  // namespace keyd::secret
