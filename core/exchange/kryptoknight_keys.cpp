#include "core/exchange/kryptoknight_keys.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/crypto/aead.h"
#include "core/crypto/des.h"
#include "core/crypto/digest.h"
#include "core/crypto/kdf.h"
#include "core/exchange/kryptoknight.h"

namespace keyd::exchange {
namespace {

constexpr std::size_t kSessionKeyModern = 32;  // octets
constexpr int kDraws = 64;
constexpr const char* kDoesNotVerify =
    "whoever answered does not know the stored hash, or the password is another one";

void append(Bytes& out, ByteView octets) { out.insert(out.end(), octets.begin(), octets.end()); }

// The claims' "hostname:port" has no length of its own. Octet i mod |hp| stands at place i.
void xor_host_port(std::string_view host_port, MutableByteView octets) {
  for (std::size_t i = 0; !host_port.empty() && i < octets.size(); ++i) {
    octets[i] ^= static_cast<std::uint8_t>(host_port[i % host_port.size()]);
  }
}

secret::SecretBuffer secret_hash_of(const Wrapping& how) {
  if (how.suite == wire::SUITE_HISTORIC) {
    secret::SecretBuffer out(kSecretHashHistoric);
    secret_hash_historic(how.hash, how.client_nonce, how.server_nonce, how.host_port, out.reveal());
    return out;
  }
  Bytes nonces, info;
  append(nonces, how.client_nonce);
  append(nonces, how.server_nonce);
  // Of the three only hp has no fixed length, and it stands between the others.
  append(info, bytes_of(how.label));
  append(info, bytes_of(how.host_port));
  append(info, how.transcript);
  secret::SecretBuffer out(kSecretHashModern);
  crypto::hkdf_sha256(how.hash, nonces, info, out.reveal());
  return out;
}

std::array<std::uint8_t, crypto::kAeadNonceSize> aead_nonce(ByteView fresh) {
  std::array<std::uint8_t, crypto::kAeadNonceSize> nonce{};
  std::ranges::copy(fresh.first(std::min(fresh.size(), nonce.size())), nonce.begin());
  return nonce;
}

// What the text leaves to "once the keys have been verified": a value that only those can make who know
// SecretHash.
std::array<std::uint8_t, crypto::kMd5Size> historic_proof(ByteView secret_hash, ByteView session_key,
                                                          const Wrapping& how) {
  std::array<std::uint8_t, crypto::kMd5Size> out{};
  crypto::hmac(crypto::Hash::kMd5, secret_hash, {session_key, how.client_nonce, how.server_nonce}, out);
  return out;
}

Result<secret::SecretBuffer> unwrap_historic(ByteView secret_hash, const Wrapping& how, ByteView wrapped,
                                             ByteView proof) {
  auto session_key = unwrap_session_key_historic(secret_hash, wrapped);
  if (!session_key) return session_key;
  if (!crypto::constant_time_equal(historic_proof(secret_hash, session_key->reveal(), how), proof)) {
    return fail(Code::kRefused, kDoesNotVerify);
  }
  if (crypto::is_weak_des_key(session_key->reveal()))
    return fail(Code::kRefused, "the server's session key is a weak one");
  return session_key;
}

}  // namespace

void password_hash_historic(ByteView password, ByteView salt, MutableByteView out) {
  crypto::digest(crypto::Hash::kMd5, {password, salt}, out);
}

void secret_hash_historic(ByteView password_hash, ByteView client_nonce, ByteView server_nonce,
                          std::string_view host_port, MutableByteView out) {
  Bytes nonce(client_nonce.begin(), client_nonce.end());
  xor_host_port(host_port, nonce);
  auto hash = secret::SecretBuffer::copy_of(password_hash);
  xor_host_port(host_port, hash.reveal());
  crypto::digest(crypto::Hash::kMd5, {nonce, server_nonce, hash.reveal()}, out);
}

Result<Bytes> wrap_session_key_historic(ByteView secret_hash, ByteView session_key) {
  if (secret_hash.size() != kSecretHashHistoric || session_key.size() != crypto::kDesKeySize) {
    return fail(Code::kInvalid, "SecretHash has 16 octets, SessionKey 8");
  }
  Bytes out(crypto::kDesBlock);
  const auto wrapped = crypto::des(crypto::DesMode::kEcb, crypto::Direction::kEncrypt,
                                   secret_hash.first(crypto::kDesKeySize), {}, session_key, out);
  if (!wrapped) return std::unexpected(wrapped.error());
  return out;
}

Result<secret::SecretBuffer> unwrap_session_key_historic(ByteView secret_hash, ByteView wrapped) {
  if (secret_hash.size() != kSecretHashHistoric || wrapped.size() != crypto::kDesBlock) {
    return fail(Code::kInvalid, "SecretHash has 16 octets, a wrapped SessionKey 8");
  }
  secret::SecretBuffer out(crypto::kDesKeySize);
  const auto unwrapped = crypto::des(crypto::DesMode::kEcb, crypto::Direction::kDecrypt,
                                     secret_hash.first(crypto::kDesKeySize), {}, wrapped, out.reveal());
  if (!unwrapped) return std::unexpected(unwrapped.error());
  return out;
}

Result<secret::SecretBuffer> draw_des_session_key(const RandomSource& random) {
  secret::SecretBuffer key(crypto::kDesKeySize);
  for (int i = 0; i < kDraws; ++i) {
    if (!random(key.reveal())) return fail(Code::kBroken, "no random numbers");
    // FIPS 46: the last bit of each octet makes the number of ones odd.
    for (std::uint8_t& octet : key.reveal()) {
      octet = static_cast<std::uint8_t>((octet & 0xfe) |
                                        ((std::popcount(static_cast<unsigned>(octet >> 1)) + 1) & 1));
    }
    if (!crypto::is_weak_des_key(key.reveal())) return key;
  }
  return fail(Code::kBroken, "the random numbers are always weak keys");
}

WrappedSize wrapped_size(wire::Suite suite) {
  if (suite == wire::SUITE_MODERN) return {.key = kSessionKeyModern + crypto::kAeadTagSize, .proof = 0};
  if (suite == wire::SUITE_HISTORIC) return {.key = crypto::kDesBlock, .proof = crypto::kMd5Size};
  return {.key = 0, .proof = 0};
}

bool is_hash_of(wire::Suite suite, ByteView hash) {
  if (suite == wire::SUITE_MODERN) return !hash.empty() && hash.size() <= crypto::kMaxCryptString;
  return suite == wire::SUITE_HISTORIC && hash.size() == crypto::kMd5Size;
}

Result<secret::SecretBuffer> draw_session_key(wire::Suite suite, const RandomSource& random) {
  if (suite == wire::SUITE_HISTORIC) return draw_des_session_key(random);
  secret::SecretBuffer key(kSessionKeyModern);
  if (!random(key.reveal())) return fail(Code::kBroken, "no random numbers");
  return key;
}

Result<WrappedSessionKey> wrap_session_key(const Wrapping& how, ByteView session_key) {
  const auto secret_hash = secret_hash_of(how);
  if (how.suite == wire::SUITE_HISTORIC) {
    auto key = wrap_session_key_historic(secret_hash.reveal(), session_key);
    if (!key) return std::unexpected(key.error());
    const auto proof = historic_proof(secret_hash.reveal(), session_key, how);
    return WrappedSessionKey{.key = *std::move(key), .proof = Bytes(proof.begin(), proof.end())};
  }
  WrappedSessionKey out{.key = Bytes(session_key.size() + crypto::kAeadTagSize), .proof = {}};
  crypto::aead_seal(secret_hash.reveal(), aead_nonce(how.fresh), how.bound, session_key, out.key);
  return out;
}

Result<secret::SecretBuffer> unwrap_session_key(const Wrapping& how, ByteView wrapped, ByteView proof) {
  const WrappedSize size = wrapped_size(how.suite);
  if (size.key == 0 || wrapped.size() != size.key || proof.size() != size.proof) {
    return fail(Code::kInvalid, "a wrapped session key of a wrong size");
  }
  const auto secret_hash = secret_hash_of(how);
  if (how.suite == wire::SUITE_HISTORIC) return unwrap_historic(secret_hash.reveal(), how, wrapped, proof);
  secret::SecretBuffer session_key(kSessionKeyModern);
  if (!crypto::aead_open(secret_hash.reveal(), aead_nonce(how.fresh), how.bound, wrapped,
                         session_key.reveal())) {
    return fail(Code::kRefused, kDoesNotVerify);
  }
  return session_key;
}

}  // namespace keyd::exchange
