#include "core/crypto/aead.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <limits>
#include <memory>

#include "core/crypto/openssl_check.h"

namespace keyd::crypto {
namespace {

struct FreeCipherContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

// One cipher context a thread; its key schedule is wiped when the use ends.
class CipherUse {
 public:
  CipherUse() { require(context() != nullptr); }
  ~CipherUse() { EVP_CIPHER_CTX_reset(context()); }
  CipherUse(const CipherUse&) = delete;
  CipherUse& operator=(const CipherUse&) = delete;

  static EVP_CIPHER_CTX* context() {
    thread_local const std::unique_ptr<EVP_CIPHER_CTX, FreeCipherContext> held(EVP_CIPHER_CTX_new());
    return held.get();
  }
  static const EVP_CIPHER* algorithm() {
    static const EVP_CIPHER* const fetched = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    require(fetched != nullptr);
    return fetched;
  }
};

int length(ByteView view) {
  require(view.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  return static_cast<int>(view.size());
}

}  // namespace

void aead_seal(ByteView key, ByteView nonce, ByteView aad, ByteView plaintext, MutableByteView out) {
  require(key.size() == kAeadKeySize && nonce.size() == kAeadNonceSize);
  require(out.size() == plaintext.size() + kAeadTagSize);
  const CipherUse use;
  int written = 0;
  require(EVP_EncryptInit_ex2(use.context(), use.algorithm(), key.data(), nonce.data(), nullptr) == 1);
  if (!aad.empty())
    require(EVP_EncryptUpdate(use.context(), nullptr, &written, aad.data(), length(aad)) == 1);
  if (!plaintext.empty()) {
    require(EVP_EncryptUpdate(use.context(), out.data(), &written, plaintext.data(), length(plaintext)) == 1);
  }
  require(EVP_EncryptFinal_ex(use.context(), out.data() + plaintext.size(), &written) == 1);
  require(EVP_CIPHER_CTX_ctrl(use.context(), EVP_CTRL_AEAD_GET_TAG, kAeadTagSize,
                              out.data() + plaintext.size()) == 1);
}

bool aead_open(ByteView key, ByteView nonce, ByteView aad, ByteView sealed, MutableByteView out) {
  require(key.size() == kAeadKeySize && nonce.size() == kAeadNonceSize);
  if (sealed.size() < kAeadTagSize) return false;
  const ByteView ciphertext = sealed.first(sealed.size() - kAeadTagSize);
  require(out.size() == ciphertext.size());
  const CipherUse use;
  int written = 0;
  require(EVP_DecryptInit_ex2(use.context(), use.algorithm(), key.data(), nonce.data(), nullptr) == 1);
  if (!aad.empty())
    require(EVP_DecryptUpdate(use.context(), nullptr, &written, aad.data(), length(aad)) == 1);
  if (!ciphertext.empty()) {
    require(EVP_DecryptUpdate(use.context(), out.data(), &written, ciphertext.data(), length(ciphertext)) ==
            1);
  }
  auto* const tag =
      const_cast<std::uint8_t*>(sealed.data() + ciphertext.size());  // only read: OpenSSL's signature
  require(EVP_CIPHER_CTX_ctrl(use.context(), EVP_CTRL_AEAD_SET_TAG, kAeadTagSize, tag) == 1);
  std::uint8_t rest[kAeadTagSize];
  if (EVP_DecryptFinal_ex(use.context(), rest, &written) == 1) return true;
  OPENSSL_cleanse(out.data(), out.size());
  return false;
}

}  // namespace keyd::crypto
