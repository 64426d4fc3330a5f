// Where the expanded key lies. OpenSSL's provided ciphers keep it in a block of ordinary heap whose place
// they do not tell; to leave nothing there means to free the block after every record, and to expand the key
// anew costs as much as sealing 512 octets. CRYPTO_set_mem_functions would move it, but is the whole
// process's, and a library must not take it. So OpenSSL's own AES-256-GCM is used through its method table,
// whose context data the caller may place (EVP_CIPHER_CTX_set_cipher_data): in a block of the locked pool.
// The method API is marked deprecated in OpenSSL 3 and gone in 4 (docs/decisions/0014).
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/crypto/aead.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <atomic>
#include <limits>

#include "core/crypto/openssl_check.h"
#include "core/secret/secret.h"

namespace keyd::crypto {
namespace {

using ControlFunction = int (*)(EVP_CIPHER_CTX*, int, int, void*);

const EVP_CIPHER* original() { return EVP_aes_256_gcm(); }

// OpenSSL sets a context up with EVP_CTRL_INIT, before anything else touches its data: here it gets them.
int place_data(EVP_CIPHER_CTX* context, int type, int argument, void* pointer) {
  static const ControlFunction control = EVP_CIPHER_meth_get_ctrl(original());
  if (type == EVP_CTRL_INIT) EVP_CIPHER_CTX_set_cipher_data(context, EVP_CIPHER_CTX_get_app_data(context));
  if (type == EVP_CTRL_COPY) return 0;  // two contexts would share one block
  return control(context, type, argument, pointer);
}

// The original's functions, and no context data for OpenSSL to allocate.
const EVP_CIPHER* method() {
  static const EVP_CIPHER* const made = [] {
    const EVP_CIPHER* const from = original();
    EVP_CIPHER* const to = EVP_CIPHER_meth_new(EVP_CIPHER_get_nid(from), EVP_CIPHER_get_block_size(from),
                                               EVP_CIPHER_get_key_length(from));
    require(to != nullptr && EVP_CIPHER_meth_set_iv_length(to, EVP_CIPHER_get_iv_length(from)) == 1 &&
            EVP_CIPHER_meth_set_flags(to, EVP_CIPHER_get_flags(from)) == 1 &&
            EVP_CIPHER_meth_set_init(to, EVP_CIPHER_meth_get_init(from)) == 1 &&
            EVP_CIPHER_meth_set_do_cipher(to, EVP_CIPHER_meth_get_do_cipher(from)) == 1 &&
            EVP_CIPHER_meth_set_ctrl(to, place_data) == 1);
    return to;
  }();
  return made;
}

std::size_t data_size() { return static_cast<std::size_t>(EVP_CIPHER_impl_ctx_size(original())); }

int length(ByteView view) {
  require(view.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  return static_cast<int>(view.size());
}

std::atomic<int> expanded_keys{0};

}  // namespace

// A cipher context whose key material is in the locked pool.
class CipherContext {
 public:
  CipherContext() : data_(data_size()), context_(EVP_CIPHER_CTX_new()) {
    require(context_ != nullptr);
    EVP_CIPHER_CTX_set_app_data(context_, data_.reveal().data());
  }
  ~CipherContext() {
    EVP_CIPHER_CTX_set_cipher_data(context_, nullptr);  // the pool's, not OpenSSL's to free
    EVP_CIPHER_CTX_free(context_);
  }
  CipherContext(const CipherContext&) = delete;
  CipherContext& operator=(const CipherContext&) = delete;

  // Whether the block still holds what was put there: after a fork the child's does not.
  [[nodiscard]] bool intact() const { return !data_.lost(); }

  void expand(ByteView key) {
    require(key.size() == kAeadKeySize);
    if (!started_) {
      require(EVP_CipherInit_ex(context_, method(), nullptr, key.data(), nullptr, 1) == 1);
      started_ = true;
    } else {
      require(EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_INIT, 0, nullptr) == 1);  // after forget()
      require(EVP_CipherInit_ex(context_, nullptr, nullptr, key.data(), nullptr, 1) == 1);
    }
  }
  void forget() { secret::wipe(data_.reveal().data(), data_size()); }

  void seal(ByteView nonce, ByteView aad, ByteView plaintext, MutableByteView out) {
    require(out.size() == plaintext.size() + kAeadTagSize);
    begin(nonce, aad, 1);
    int written = 0;
    if (!plaintext.empty())
      require(EVP_CipherUpdate(context_, out.data(), &written, plaintext.data(), length(plaintext)) == 1);
    require(EVP_CipherFinal_ex(context_, out.data() + plaintext.size(), &written) == 1);
    require(EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, kAeadTagSize,
                                out.data() + plaintext.size()) == 1);
  }

  [[nodiscard]] bool open(ByteView nonce, ByteView aad, ByteView sealed, MutableByteView out) {
    if (sealed.size() < kAeadTagSize) return false;
    const ByteView ciphertext = sealed.first(sealed.size() - kAeadTagSize);
    require(out.size() == ciphertext.size());
    begin(nonce, aad, 0);
    auto* const tag =
        const_cast<std::uint8_t*>(sealed.data() + ciphertext.size());  // only read: OpenSSL's signature
    require(EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, kAeadTagSize, tag) == 1);
    int written = 0;
    if (!ciphertext.empty())
      require(EVP_CipherUpdate(context_, out.data(), &written, ciphertext.data(), length(ciphertext)) == 1);
    std::uint8_t rest[kAeadTagSize];
    if (EVP_CipherFinal_ex(context_, rest, &written) == 1) return true;
    secret::wipe(out.data(), out.size());
    return false;
  }

 private:
  void begin(ByteView nonce, ByteView aad, int encrypt) {
    require(nonce.size() == kAeadNonceSize);
    require(EVP_CipherInit_ex(context_, nullptr, nullptr, nullptr, nonce.data(), encrypt) == 1);
    int written = 0;
    if (!aad.empty()) require(EVP_CipherUpdate(context_, nullptr, &written, aad.data(), length(aad)) == 1);
  }

  secret::SecretBuffer data_;  // OpenSSL's context data
  EVP_CIPHER_CTX* context_;
  bool started_ = false;
};

namespace {

// The thread's context with a key in it; wiped when the use ends.
class KeyUse {
 public:
  explicit KeyUse(ByteView key) : context_(of_thread()) { context_.expand(key); }
  ~KeyUse() { context_.forget(); }
  KeyUse(const KeyUse&) = delete;
  KeyUse& operator=(const KeyUse&) = delete;
  CipherContext* operator->() { return &context_; }

 private:
  static CipherContext& of_thread() {
    thread_local std::unique_ptr<CipherContext> held;
    if (held == nullptr || !held->intact()) held = std::make_unique<CipherContext>();
    return *held;
  }
  CipherContext& context_;
};

}  // namespace

void aead_seal(ByteView key, ByteView nonce, ByteView aad, ByteView plaintext, MutableByteView out) {
  KeyUse(key)->seal(nonce, aad, plaintext, out);
}

bool aead_open(ByteView key, ByteView nonce, ByteView aad, ByteView sealed, MutableByteView out) {
  return KeyUse(key)->open(nonce, aad, sealed, out);
}

std::optional<ExpandedKey> ExpandedKey::of(ByteView key) {
  if (expanded_keys.fetch_add(1, std::memory_order_relaxed) < kMost) {
    try {
      auto context = std::make_unique<CipherContext>();
      context->expand(key);
      return ExpandedKey(std::move(context));
    } catch (const secret::PoolExhausted&) {  // a session goes on without
    }
  }
  expanded_keys.fetch_sub(1, std::memory_order_relaxed);
  return std::nullopt;
}

ExpandedKey::ExpandedKey(std::unique_ptr<CipherContext> context) : context_(std::move(context)) {}
ExpandedKey::ExpandedKey(ExpandedKey&&) noexcept = default;
ExpandedKey& ExpandedKey::operator=(ExpandedKey&& other) noexcept {
  std::swap(context_, other.context_);
  return *this;
}
ExpandedKey::~ExpandedKey() {
  if (context_ != nullptr) expanded_keys.fetch_sub(1, std::memory_order_relaxed);
}

bool ExpandedKey::usable() const { return context_->intact(); }
void ExpandedKey::seal(ByteView nonce, ByteView aad, ByteView plaintext, MutableByteView out) {
  context_->seal(nonce, aad, plaintext, out);
}
bool ExpandedKey::open(ByteView nonce, ByteView aad, ByteView sealed, MutableByteView out) {
  return context_->open(nonce, aad, sealed, out);
}

}  // namespace keyd::crypto
