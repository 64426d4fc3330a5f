// Algorithms are fetched once; EVP contexts are one a thread, and emptied after each use. HMAC-SHA256, which
// carries keys, goes without EVP: its state is on the stack, and wiped.
#define OPENSSL_SUPPRESS_DEPRECATED  // SHA256_Init and its like: in OpenSSL 3 EVP alone is current
#include "core/crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>

#include "core/crypto/openssl_check.h"
#include "core/secret/locked_pool.h"

namespace keyd::crypto {
namespace {

const EVP_MD* algorithm(Hash hash) {
  // Fetched for the life of the process: a fetch costs more than a short hash.
  static const EVP_MD* const md5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  static const EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static const EVP_MD* const sha384 = EVP_MD_fetch(nullptr, "SHA384", nullptr);
  static const EVP_MD* const sha512 = EVP_MD_fetch(nullptr, "SHA512", nullptr);
  const EVP_MD* found = nullptr;
  switch (hash) {
    case Hash::kMd5: found = md5; break;
    case Hash::kSha1: found = sha1; break;
    case Hash::kSha256: found = sha256; break;
    case Hash::kSha384: found = sha384; break;
    case Hash::kSha512: found = sha512; break;
  }
  require(found != nullptr);
  return found;
}

struct FreeDigestContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeDigestContext>;

constexpr std::size_t kBlock = 64;  // octets; MD5, SHA-1 and SHA-256 alike

}  // namespace

void digest(Hash hash, std::initializer_list<ByteView> parts, MutableByteView out) {
  require(out.size() == size_of(hash));
  thread_local const DigestContext context(EVP_MD_CTX_new());
  require(EVP_DigestInit_ex2(context.get(), algorithm(hash), nullptr) == 1);
  for (const ByteView part : parts) require(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1);
  unsigned written = 0;
  require(EVP_DigestFinal_ex(context.get(), out.data(), &written) == 1 && written == out.size());
  EVP_MD_CTX_reset(context.get());
}

namespace {

// SHA-256 without EVP, which takes a third of an HMAC's time for itself and keeps its state in its own heap.
// The state may come from a key: it is on the stack, and wiped.
class BareSha256 {
 public:
  BareSha256() { require(SHA256_Init(&state_) == 1); }
  ~BareSha256() { secret::wipe(&state_, sizeof state_); }
  BareSha256(const BareSha256&) = delete;
  BareSha256& operator=(const BareSha256&) = delete;
  void update(ByteView octets) { require(SHA256_Update(&state_, octets.data(), octets.size()) == 1); }
  void finish(MutableByteView out) { require(SHA256_Final(out.data(), &state_) == 1); }

 private:
  SHA256_CTX state_;
};

void hmac_sha256(std::array<std::uint8_t, kBlock>& pad, std::initializer_list<ByteView> parts,
                 MutableByteView out) {
  for (auto& octet : pad) octet ^= 0x36;
  BareSha256 inner, outer;
  inner.update(pad);
  for (const ByteView part : parts) inner.update(part);
  inner.finish(out);
  for (auto& octet : pad) octet ^= 0x36 ^ 0x5c;
  outer.update(pad);
  outer.update(out);
  outer.finish(out);
  secret::wipe(pad.data(), pad.size());
}

}  // namespace

void hmac(Hash hash, ByteView key, std::initializer_list<ByteView> parts, MutableByteView out) {
  require(out.size() == size_of(hash) && hash != Hash::kSha384 && hash != Hash::kSha512);
  thread_local const DigestContext context(EVP_MD_CTX_new());
  std::array<std::uint8_t, kBlock> pad{};
  if (key.size() > kBlock) {
    digest(hash, {key}, MutableByteView(pad).first(size_of(hash)));
  } else {
    std::copy(key.begin(), key.end(), pad.begin());
  }
  if (hash == Hash::kSha256) return hmac_sha256(pad, parts, out);
  unsigned written = 0;
  for (auto& octet : pad) octet ^= 0x36;
  require(EVP_DigestInit_ex2(context.get(), algorithm(hash), nullptr) == 1);
  require(EVP_DigestUpdate(context.get(), pad.data(), pad.size()) == 1);
  for (const ByteView part : parts) require(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1);
  require(EVP_DigestFinal_ex(context.get(), out.data(), &written) == 1);
  for (auto& octet : pad) octet ^= 0x36 ^ 0x5c;
  require(EVP_DigestInit_ex2(context.get(), algorithm(hash), nullptr) == 1);
  require(EVP_DigestUpdate(context.get(), pad.data(), pad.size()) == 1);
  require(EVP_DigestUpdate(context.get(), out.data(), out.size()) == 1);
  require(EVP_DigestFinal_ex(context.get(), out.data(), &written) == 1);
  EVP_MD_CTX_reset(context.get());
  secret::wipe(pad.data(), pad.size());
}

bool constant_time_equal(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

struct RunningSha256::State {
  DigestContext context{EVP_MD_CTX_new()};
};

RunningSha256::RunningSha256() : state_(std::make_unique<State>()) {
  require(EVP_DigestInit_ex2(state_->context.get(), algorithm(Hash::kSha256), nullptr) == 1);
}
RunningSha256::RunningSha256(RunningSha256&&) noexcept = default;
RunningSha256& RunningSha256::operator=(RunningSha256&&) noexcept = default;
RunningSha256::~RunningSha256() = default;

void RunningSha256::update(ByteView octets) {
  require(EVP_DigestUpdate(state_->context.get(), octets.data(), octets.size()) == 1);
}

RunningSha256::Value RunningSha256::value() const {
  thread_local const DigestContext copy(EVP_MD_CTX_new());
  Value out{};
  unsigned written = 0;
  require(EVP_MD_CTX_copy_ex(copy.get(), state_->context.get()) == 1);
  require(EVP_DigestFinal_ex(copy.get(), out.data(), &written) == 1);
  return out;
}

}  // namespace keyd::crypto
