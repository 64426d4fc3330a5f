// Octet strings for tests: from hexadecimal, from text, and random-looking ones that are the same in every
// run.
#pragma once

#include <cstdlib>
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/digest.h"

namespace keyd::test {

// Aborts on a slip in the test itself.
inline Bytes hex(std::string_view text) {
  Bytes out;
  if (!from_hex(text, out)) std::abort();
  return out;
}

inline Bytes text(std::string_view characters) {
  const ByteView view = bytes_of(characters);
  return {view.begin(), view.end()};
}

inline Bytes repeated(std::uint8_t octet, std::size_t count) { return Bytes(count, octet); }

// first, first + 1, … `count` octets.
inline Bytes run(std::uint8_t first, std::size_t count) {
  Bytes out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::uint8_t>(first + i);
  return out;
}

inline Bytes joined(ByteView a, ByteView b) {
  Bytes out(a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

// SHA-256(seed | be64(0)) | SHA-256(seed | be64(1)) | …: fixed "randomness" to pass into an exchange.
class FixedRandom {
 public:
  explicit FixedRandom(std::string_view seed) : seed_(text(seed)) {}

  bool operator()(MutableByteView out) {
    for (std::uint8_t& octet : out) {
      if (used_ == block_.size()) refill();
      octet = block_[used_++];
    }
    return true;
  }

 private:
  void refill() {
    crypto::digest(crypto::Hash::kSha256, {seed_, be64(counter_++)}, block_);
    used_ = 0;
  }
  Bytes seed_;
  std::uint64_t counter_ = 0;
  std::array<std::uint8_t, crypto::kSha256Size> block_{};
  std::size_t used_ = crypto::kSha256Size;
};

}  // namespace keyd::test
