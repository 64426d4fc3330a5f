#include "core/crypto/kdf.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "core/crypto/digest.h"
#include "core/crypto/openssl_check.h"
#include "core/secret/locked_pool.h"

namespace keyd::crypto {

void hkdf_sha256(ByteView secret, ByteView salt, ByteView info, MutableByteView out) {
  require(out.size() <= kMaxHkdfOutput);
  constexpr std::array<std::uint8_t, kSha256Size> kZeroSalt{};
  struct {
    std::array<std::uint8_t, kSha256Size> prk, block;
  } state;
  // RFC 5869 section 2.2, extract; section 2.3, expand: T(i) = HMAC(PRK, T(i-1) | info | i).
  hmac(Hash::kSha256, salt.empty() ? ByteView(kZeroSalt) : salt, {secret}, state.prk);
  std::size_t done = 0;
  for (std::uint8_t i = 1; done < out.size(); ++i) {
    const ByteView previous = i == 1 ? ByteView() : ByteView(state.block);
    hmac(Hash::kSha256, state.prk, {previous, info, {&i, 1}}, state.block);
    const std::size_t take = std::min(state.block.size(), out.size() - done);
    std::copy_n(state.block.begin(), take, out.begin() + static_cast<std::ptrdiff_t>(done));
    done += take;
  }
  secret::wipe(&state, sizeof state);
}

}  // namespace keyd::crypto
