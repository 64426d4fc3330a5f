// OpenSSL's own library context with both providers, for these ciphers alone: what else the process does goes
// on without the legacy provider. Contexts are made for one call and freed, which wipes the expanded key;
// this suite is not for speed.
#include "core/crypto/des.h"

#include <openssl/evp.h>
#include <openssl/provider.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <utility>

#include "core/crypto/openssl_check.h"

namespace keyd::crypto {
namespace {

// Loaded for the life of the process.
struct LegacyCiphers {
  const EVP_CIPHER *ecb = nullptr, *cbc = nullptr, *ede2 = nullptr, *ede3 = nullptr;
  [[nodiscard]] bool complete() const {
    return ecb != nullptr && cbc != nullptr && ede2 != nullptr && ede3 != nullptr;
  }
};

LegacyCiphers load() {
  OSSL_LIB_CTX* const context = OSSL_LIB_CTX_new();
  if (context == nullptr || OSSL_PROVIDER_load(context, "default") == nullptr ||
      OSSL_PROVIDER_load(context, "legacy") == nullptr) {
    OSSL_LIB_CTX_free(context);
    return {};
  }
  return {.ecb = EVP_CIPHER_fetch(context, "DES-ECB", nullptr),
          .cbc = EVP_CIPHER_fetch(context, "DES-CBC", nullptr),
          .ede2 = EVP_CIPHER_fetch(context, "DES-EDE-ECB", nullptr),
          .ede3 = EVP_CIPHER_fetch(context, "DES-EDE3-ECB", nullptr)};
}

const LegacyCiphers& ciphers() {
  static const LegacyCiphers loaded = load();
  return loaded;
}

struct Shape {
  const EVP_CIPHER* cipher;
  std::size_t key_size, iv_size;  // octets
};

Shape shape_of(DesMode mode) {
  switch (mode) {
    case DesMode::kEcb: return {ciphers().ecb, kDesKeySize, 0};
    case DesMode::kCbc: return {ciphers().cbc, kDesKeySize, kDesBlock};
    case DesMode::k3DesEcbEde2: return {ciphers().ede2, 2 * kDesKeySize, 0};
    case DesMode::k3DesEcbEde3: return {ciphers().ede3, 3 * kDesKeySize, 0};
  }
  std::abort();
}

struct FreeCipherContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

// Without their parity bits. NIST SP 800-67 (revision 2), section 3.3.2: the first four are weak, the others
// pairs of semi-weak ones.
using DesKey = std::array<std::uint8_t, kDesKeySize>;
constexpr std::array<DesKey, 16> kWeakKeys{{
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00},
    {0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe},
    {0xe0, 0xe0, 0xe0, 0xe0, 0xf0, 0xf0, 0xf0, 0xf0},
    {0x1e, 0x1e, 0x1e, 0x1e, 0x0e, 0x0e, 0x0e, 0x0e},
    {0x00, 0x1e, 0x00, 0x1e, 0x00, 0x0e, 0x00, 0x0e},
    {0x1e, 0x00, 0x1e, 0x00, 0x0e, 0x00, 0x0e, 0x00},
    {0x00, 0xe0, 0x00, 0xe0, 0x00, 0xf0, 0x00, 0xf0},
    {0xe0, 0x00, 0xe0, 0x00, 0xf0, 0x00, 0xf0, 0x00},
    {0x00, 0xfe, 0x00, 0xfe, 0x00, 0xfe, 0x00, 0xfe},
    {0xfe, 0x00, 0xfe, 0x00, 0xfe, 0x00, 0xfe, 0x00},
    {0x1e, 0xe0, 0x1e, 0xe0, 0x0e, 0xf0, 0x0e, 0xf0},
    {0xe0, 0x1e, 0xe0, 0x1e, 0xf0, 0x0e, 0xf0, 0x0e},
    {0x1e, 0xfe, 0x1e, 0xfe, 0x0e, 0xfe, 0x0e, 0xfe},
    {0xfe, 0x1e, 0xfe, 0x1e, 0xfe, 0x0e, 0xfe, 0x0e},
    {0xe0, 0xfe, 0xe0, 0xfe, 0xf0, 0xfe, 0xf0, 0xfe},
    {0xfe, 0xe0, 0xfe, 0xe0, 0xfe, 0xf0, 0xfe, 0xf0},
}};

}  // namespace

Result<void> load_legacy_ciphers() {
  if (!ciphers().complete()) {
    return fail(Code::kUnsupported,
                "OpenSSL has no DES here: its legacy provider (ossl-modules/legacy.so) is missing");
  }
  return {};
}

Result<void> des(DesMode mode, Direction direction, ByteView key, ByteView iv, ByteView data,
                 MutableByteView out) {
  if (auto loaded = load_legacy_ciphers(); !loaded) return loaded;
  const Shape shape = shape_of(mode);
  if (key.size() != shape.key_size || iv.size() != shape.iv_size || data.size() % kDesBlock != 0 ||
      out.size() != data.size() || data.size() > std::size_t{std::numeric_limits<int>::max()}) {
    return fail(Code::kInvalid, "a key, an initial value or data of a wrong size for DES");
  }
  const std::unique_ptr<EVP_CIPHER_CTX, FreeCipherContext> context(EVP_CIPHER_CTX_new());
  require(EVP_CipherInit_ex2(context.get(), shape.cipher, key.data(), iv.empty() ? nullptr : iv.data(),
                             direction == Direction::kEncrypt ? 1 : 0, nullptr) == 1);
  require(EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1);
  int written = 0, rest = 0;
  require(EVP_CipherUpdate(context.get(), out.data(), &written, data.data(), static_cast<int>(data.size())) ==
          1);
  require(EVP_CipherFinal_ex(context.get(), out.data() + written, &rest) == 1);
  require(std::cmp_equal(written, out.size()) && rest == 0);
  return {};
}

bool is_weak_des_key(ByteView key) {
  if (key.size() != kDesKeySize) return false;
  // All are looked at, whichever it is: the key is a secret.
  unsigned found = 0;
  for (const DesKey& weak : kWeakKeys) {
    unsigned different = 0;
    for (std::size_t i = 0; i < kDesKeySize; ++i)
      different |= static_cast<unsigned>(key[i] ^ weak[i]) & 0xfeu;
    found |= static_cast<unsigned>(different == 0);
  }
  return found != 0;
}

}  // namespace keyd::crypto
