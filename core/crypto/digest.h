// Hashes and keyed hashes, by OpenSSL. MD5 and SHA-1 serve the historic suites alone.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>

#include "core/base/bytes.h"

namespace keyd::crypto {

enum class Hash { kMd5, kSha1, kSha256 };

inline constexpr std::size_t kMd5Size = 16, kSha1Size = 20, kSha256Size = 32;  // octets
inline constexpr std::size_t kMaxHashSize = kSha256Size;

// Octets that `hash` (and an HMAC with it) gives.
[[nodiscard]] constexpr std::size_t size_of(Hash hash) {
  return hash == Hash::kMd5 ? kMd5Size : hash == Hash::kSha1 ? kSha1Size : kSha256Size;
}

// The hash of the parts' concatenation, written to `out`, which must hold exactly size_of(hash) octets.
// Aborts if OpenSSL cannot compute it: there is no result to go on with.
void digest(Hash hash, std::initializer_list<ByteView> parts, MutableByteView out);

// HMAC (RFC 2104) of the parts' concatenation, likewise.
void hmac(Hash hash, ByteView key, std::initializer_list<ByteView> parts, MutableByteView out);

// True when both have the same octets; time depends on the length alone. Different lengths: false.
[[nodiscard]] bool constant_time_equal(ByteView a, ByteView b);

// A SHA-256 that is fed piece by piece and can be asked for its value in between. Not for secret input: its
// state lies in ordinary memory.
class RunningSha256 {
 public:
  using Value = std::array<std::uint8_t, kSha256Size>;

  RunningSha256();
  RunningSha256(RunningSha256&&) noexcept;
  RunningSha256& operator=(RunningSha256&&) noexcept;
  ~RunningSha256();

  void update(ByteView octets);
  // The hash of everything so far; more may follow.
  [[nodiscard]] Value value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keyd::crypto
