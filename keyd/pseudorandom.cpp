#include "keyd/pseudorandom.h"

#include <algorithm>
#include <array>

#include "core/crypto/digest.h"

namespace keyd::daemon {

void pseudorandom(ByteView key, std::string_view purpose, std::string_view name, MutableByteView out) {
  const std::uint8_t end = 0;
  for (std::size_t at = 0; at < out.size(); at += crypto::kSha256Size) {
    std::array<std::uint8_t, crypto::kSha256Size> mac{};
    const auto block = be32(static_cast<std::uint32_t>(at / crypto::kSha256Size));
    crypto::hmac(crypto::Hash::kSha256, key, {bytes_of(purpose), {&end, 1}, bytes_of(name), block}, mac);
    std::ranges::copy(ByteView(mac).first(std::min(mac.size(), out.size() - at)),
                      out.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

}  // namespace keyd::daemon
