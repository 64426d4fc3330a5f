#include "core/crypto/scrypt.h"

#include <openssl/err.h>
#include <openssl/evp.h>

namespace keyd::crypto {

Result<secret::SecretBuffer> scrypt(ByteView password, ByteView salt, ScryptCost cost, std::size_t size) {
  if (cost.log2_n < 1 || cost.log2_n > 24 || cost.r == 0 || cost.p == 0)
    return fail(Code::kInvalid, "not a cost of scrypt");
  secret::SecretBuffer out(size);
  // OpenSSL's bound counts the blocks of all p, and a little, beside what N takes.
  const std::uint64_t most = cost.memory() + std::uint64_t{128} * cost.r * (cost.p + 2u);
  const int done = EVP_PBE_scrypt(reinterpret_cast<const char*>(password.data()), password.size(),
                                  salt.data(), salt.size(), std::uint64_t{1} << cost.log2_n, cost.r, cost.p,
                                  most, out.reveal().data(), out.size());
  if (done == 1) return out;
  ERR_clear_error();
  return fail(Code::kExhausted, "no memory for scrypt");
}

}  // namespace keyd::crypto
