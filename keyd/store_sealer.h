// Seals what the store keeps secret: AES-256-GCM under the store key, bound to what it is and whose it is, so
// that a sealed value moved to another user or column does not open. Safe to use from several threads once
// made.
//
// Sealed value: nonce(12) | ciphertext | tag(16).   Binding: "keyd/1 store" | be32(|part|) | part | …
#pragma once

#include <initializer_list>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/secret/secret.h"

namespace keyd::daemon {

class StoreSealer {
 public:
  static constexpr std::size_t kKeySize = 32;  // octets
  struct KeyTag;
  using Key = secret::Secret<kKeySize, KeyTag>;

  explicit StoreSealer(Key key) : key_(std::move(key)) {}

  // A fresh key. kBroken when there are no random numbers.
  [[nodiscard]] static Result<Key> generate_key();
  // Reads exactly kKeySize octets from `fd`, straight into locked memory.
  [[nodiscard]] static Result<Key> read_key(int fd);
  // Writes the key and makes it durable.
  [[nodiscard]] static Result<void> write_key(int fd, const Key& key);

  [[nodiscard]] Result<Bytes> seal(std::initializer_list<std::string_view> binding, ByteView plaintext) const;
  // kBroken when it was changed, or sealed under another key or binding.
  [[nodiscard]] Result<secret::SecretBuffer> open(std::initializer_list<std::string_view> binding,
                                                  ByteView sealed) const;

  // A key for another purpose than sealing: HKDF-SHA256(key, "", "keyd/1 store" | purpose), steady as long as the
  // store key is. At most 8160 octets.
  void derive(std::string_view purpose, MutableByteView out) const;

 private:
  Key key_;
};

}  // namespace keyd::daemon
