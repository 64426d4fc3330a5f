#include "core/exchange/srp_pseudonym.h"

#include <algorithm>

namespace keyd::exchange {
namespace {

constexpr std::size_t kBlock = crypto::kSha1Size;
constexpr std::size_t kLongestText = 255;  // octets

std::size_t blocks_for(std::size_t text) { return (1 + text + kBlock - 1) / kBlock; }

// Xors each block of `octets` with its mask; `ciphertext` is where the masks after the first come from.
void mask(std::uint8_t identifier, ByteView K, ByteView user, ByteView ciphertext, MutableByteView octets) {
  std::array<std::uint8_t, kBlock> hash{};
  ByteView previous = user;
  for (std::size_t at = 0; at < octets.size(); at += kBlock) {
    crypto::digest(crypto::Hash::kSha1, {{&identifier, 1}, K, previous}, hash);
    for (std::size_t i = 0; i < kBlock; ++i) octets[at + i] ^= hash[i];
    previous = ciphertext.subspan(at, kBlock);
  }
}

}  // namespace

Result<Bytes> hide_pseudonym(std::uint8_t identifier, ByteView K, ByteView user, ByteView text,
                             const RandomSource& random) {
  if (text.empty() || text.size() > kLongestText)
    return fail(Code::kInvalid, "a pseudonym is 1 to 255 octets");
  Bytes out(blocks_for(text.size()) * kBlock);
  out[0] = static_cast<std::uint8_t>(text.size());
  std::ranges::copy(text, out.begin() + 1);
  if (!random(MutableByteView(out).subspan(1 + text.size()))) return fail(Code::kBroken, "no random numbers");
  mask(identifier, K, user, out, out);
  return out;
}

Result<Bytes> reveal_pseudonym(std::uint8_t identifier, ByteView K, ByteView user, ByteView hidden) {
  if (hidden.empty() || hidden.size() % kBlock != 0) return fail(Code::kInvalid, "not blocks of 20 octets");
  Bytes out(hidden.begin(), hidden.end());
  mask(identifier, K, user, hidden, out);
  const std::size_t size = out[0];
  if (size == 0 || hidden.size() != blocks_for(size) * kBlock)
    return fail(Code::kInvalid, "the pseudonym's length does not fit");
  out.erase(out.begin());
  out.resize(size);
  return out;
}

std::array<std::uint8_t, crypto::kSha1Size> light_response(std::uint8_t identifier, ByteView K,
                                                           ByteView challenge, ByteView user) {
  std::array<std::uint8_t, crypto::kSha1Size> out{};
  crypto::digest(crypto::Hash::kSha1, {{&identifier, 1}, K, challenge, user}, out);
  return out;
}

}  // namespace keyd::exchange
