#include "keyd/store_sealer.h"

#include <unistd.h>

#include <algorithm>

#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"

namespace keyd::daemon {
namespace {

Bytes additional_data(std::initializer_list<std::string_view> binding) {
  constexpr std::string_view kPurpose = "keyd/1 store";
  Bytes out(kPurpose.begin(), kPurpose.end());
  for (const std::string_view part : binding) {
    const auto length = be32(static_cast<std::uint32_t>(part.size()));
    out.insert(out.end(), length.begin(), length.end());
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

}  // namespace

Result<StoreSealer::Key> StoreSealer::generate_key() {
  Key key;
  if (!crypto::fill_random_private(key.reveal()))
    return fail(Code::kBroken, "no random numbers for a store key");
  return key;
}

Result<StoreSealer::Key> StoreSealer::read_key(int fd) {
  Key key;
  std::size_t have = 0;
  while (have < kKeySize) {
    const ssize_t got = ::read(fd, key.reveal().data() + have, kKeySize - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(Code::kBroken, "cannot read the store key");
    if (got == 0) return fail(Code::kInvalid, "the store key is shorter than 32 octets");
    have += static_cast<std::size_t>(got);
  }
  char more = 0;
  if (::read(fd, &more, 1) != 0) return fail(Code::kInvalid, "the store key is longer than 32 octets");
  return key;
}

Result<void> StoreSealer::write_key(int fd, const Key& key) {
  ByteView rest = key.reveal();
  while (!rest.empty()) {
    const ssize_t written = ::write(fd, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail_errno(Code::kExhausted, "cannot write the store key");
    rest = rest.subspan(static_cast<std::size_t>(written));
  }
  if (::fsync(fd) != 0) return fail_errno(Code::kExhausted, "cannot write the store key");
  return {};
}

Result<Bytes> StoreSealer::seal(std::initializer_list<std::string_view> binding, ByteView plaintext) const {
  Bytes sealed(crypto::kAeadNonceSize + plaintext.size() + crypto::kAeadTagSize);
  const MutableByteView octets(sealed);
  if (!crypto::fill_random(octets.first(crypto::kAeadNonceSize)))
    return fail(Code::kBroken, "no random numbers");
  crypto::aead_seal(key_.reveal(), octets.first(crypto::kAeadNonceSize), additional_data(binding), plaintext,
                    octets.subspan(crypto::kAeadNonceSize));
  return sealed;
}

Result<secret::SecretBuffer> StoreSealer::open(std::initializer_list<std::string_view> binding,
                                               ByteView sealed) const {
  constexpr std::size_t kOverhead = crypto::kAeadNonceSize + crypto::kAeadTagSize;
  if (sealed.size() < kOverhead) return fail(Code::kBroken, "a sealed value in the store is damaged");
  secret::SecretBuffer plaintext(sealed.size() - kOverhead);
  if (!crypto::aead_open(key_.reveal(), sealed.first(crypto::kAeadNonceSize), additional_data(binding),
                         sealed.subspan(crypto::kAeadNonceSize), plaintext.reveal())) {
    return fail(Code::kBroken, "a sealed value in the store does not open under its key");
  }
  return plaintext;
}

void StoreSealer::derive(std::string_view purpose, MutableByteView out) const {
  const std::string info = "keyd/1 store" + std::string(purpose);
  crypto::hkdf_sha256(key_.reveal(), {}, bytes_of(info), out);
}

}  // namespace keyd::daemon
