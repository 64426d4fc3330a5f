// Hashes and keyed hashes, by OpenSSL. MD5 and SHA-1 serve the historic suites alone, SHA-384 and SHA-512 the SRP-6a of
// other programs.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>

#include "core/base/bytes.h"

namespace keyd::crypto {

enum class Hash { kMd5, kSha1, kSha256, kSha384, kSha512 };

inline constexpr std::size_t kMd5Size = 16, kSha1Size = 20, kSha256Size = 32;  // octets
inline constexpr std::size_t kSha384Size = 48, kSha512Size = 64;
inline constexpr std::size_t kMaxHashSize = kSha512Size;

// Octets that `hash` (and an HMAC with it) gives.
[[nodiscard]] constexpr std::size_t size_of(Hash hash) {
  switch (hash) {
    case Hash::kMd5: return kMd5Size;
    case Hash::kSha1: return kSha1Size;
    case Hash::kSha256: return kSha256Size;
    case Hash::kSha384: return kSha384Size;
    case Hash::kSha512: return kSha512Size;
  }
  return 0;
}

// The hash of the parts' concatenation, written to `out`, which must hold exactly size_of(hash) octets.
// Aborts if OpenSSL cannot compute it: there is no result to go on with.
void digest(Hash hash, std::initializer_list<ByteView> parts, MutableByteView out);

// HMAC (RFC 2104) of the parts' concatenation, likewise. Not with SHA-384 and SHA-512: it aborts.
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
