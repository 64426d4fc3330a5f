// AES-256-GCM (NIST SP 800-38D). A key in its expanded form lies in the locked pool and nowhere else: neither
// OpenSSL's own heap nor the stack keeps anything of it after a call.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "core/base/bytes.h"

namespace keyd::crypto {

inline constexpr std::size_t kAeadKeySize = 32, kAeadNonceSize = 12, kAeadTagSize = 16;  // octets

// For one record under a key. The key is expanded for the call and wiped at its end. The first call of a
// thread takes a KiB of the locked pool: it may throw PoolExhausted.
//
// Encrypts. `out` must hold plaintext.size() + kAeadTagSize octets and gets ciphertext | tag. It may start
// where `plaintext` starts, or lie apart from it. A (key, nonce) pair must never be used twice: the caller's
// duty.
void aead_seal(ByteView key, ByteView nonce, ByteView aad, ByteView plaintext, MutableByteView out);

// Decrypts `sealed` (ciphertext | tag) into `out`, which must hold sealed.size() - kAeadTagSize octets.
// False, and `out` wiped, when anything was changed; false too when `sealed` is shorter than a tag.
[[nodiscard]] bool aead_open(ByteView key, ByteView nonce, ByteView aad, ByteView sealed,
                             MutableByteView out);

class CipherContext;

// A key that is expanded once, for many records; wiped when it goes. seal() and open() are aead_seal's and
// aead_open's. One thread at a time.
class ExpandedKey {
 public:
  static constexpr int kMost = 512;  // at a time in a process: half a MiB of the locked pool

  // Nothing when there are kMost, or no locked memory is left: then there still are the functions above.
  [[nodiscard]] static std::optional<ExpandedKey> of(ByteView key);
  ExpandedKey(ExpandedKey&&) noexcept;
  ExpandedKey& operator=(ExpandedKey&&) noexcept;
  ~ExpandedKey();

  // False in a forked child: the kernel has wiped what was the parent's. Then nothing else may be called.
  [[nodiscard]] bool usable() const;
  void seal(ByteView nonce, ByteView aad, ByteView plaintext, MutableByteView out);
  [[nodiscard]] bool open(ByteView nonce, ByteView aad, ByteView sealed, MutableByteView out);

 private:
  explicit ExpandedKey(std::unique_ptr<CipherContext> context);
  std::unique_ptr<CipherContext> context_;
};

}  // namespace keyd::crypto
