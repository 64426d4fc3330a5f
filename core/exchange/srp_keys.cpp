#include "core/exchange/srp_keys.h"

#include <string_view>

#include "core/crypto/digest.h"
#include "core/crypto/kdf.h"
#include "core/crypto/tls10_prf.h"

namespace keyd::exchange {
namespace {

constexpr std::size_t kEncryptSize = 32, kMasterSize = 48;  // octets

secret::SecretBuffer modern_key(ByteView K, ByteView transcript_hash, std::string_view label) {
  secret::SecretBuffer out(32);
  crypto::hkdf_sha256(K, transcript_hash, bytes_of(label), out.reveal());
  return out;
}

Bytes joined(ByteView a, ByteView b) {
  Bytes out(a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

}  // namespace

SrpKeys modern_srp_keys(ByteView K, ByteView transcript_hash) {
  return {.encrypt_client_to_server = modern_key(K, transcript_hash, "keyd/1 srp encrypt client to server"),
          .encrypt_server_to_client = modern_key(K, transcript_hash, "keyd/1 srp encrypt server to client"),
          .authenticate_client_to_server =
              modern_key(K, transcript_hash, "keyd/1 srp authenticate client to server"),
          .authenticate_server_to_client =
              modern_key(K, transcript_hash, "keyd/1 srp authenticate server to client")};
}

SrpKeys historic_srp_keys(ByteView K, ByteView client_random, ByteView server_random) {
  constexpr std::size_t kMac = crypto::kSha1Size;
  secret::SecretBuffer master(kMasterSize), block(2 * kMac + 2 * kEncryptSize);
  crypto::tls10_prf(K, bytes_of("master secret"), joined(client_random, server_random), master.reveal());
  crypto::tls10_prf(master.reveal(), bytes_of("key expansion"), joined(server_random, client_random),
                    block.reveal());
  const auto part = [&block](std::size_t at, std::size_t size) {
    return secret::SecretBuffer::copy_of(block.reveal().subspan(at, size));
  };
  return {.encrypt_client_to_server = part(2 * kMac, kEncryptSize),
          .encrypt_server_to_client = part(2 * kMac + kEncryptSize, kEncryptSize),
          .authenticate_client_to_server = part(0, kMac),
          .authenticate_server_to_client = part(kMac, kMac)};
}

}  // namespace keyd::exchange
