// scrypt (RFC 7914), a hash of passwords that costs memory. OpenSSL's memory for it, 128·N·r octets, is ordinary heap,
// wiped at the end of the call.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/secret/secret.h"

namespace keyd::crypto {

struct ScryptCost {
  std::uint8_t log2_n = 0, r = 0, p = 0;
  bool operator==(const ScryptCost&) const = default;

  // Octets filled; p times one after the other. Of a cost whose log2_n is below 32.
  [[nodiscard]] std::uint64_t memory() const { return (std::uint64_t{128} * r) << log2_n; }
};

// `size` octets of scrypt(password, salt). The cost must have been weighed: kInvalid if it is none (log2_n 1 to 24, r
// and p not 0). kExhausted: not so much memory.
[[nodiscard]] Result<secret::SecretBuffer> scrypt(ByteView password, ByteView salt, ScryptCost cost,
                                                  std::size_t size);

}  // namespace keyd::crypto
