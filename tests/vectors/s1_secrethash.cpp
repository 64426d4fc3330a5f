// The stored hash, SecretHash and the wrapped SessionKey of kryptoknight in its historic suite: the password
// before the salt, and the first 8 octets of SecretHash for the DES key (docs/protocols/kryptoknight.md).
#include <algorithm>
#include <array>
#include <string>

#include "core/exchange/kryptoknight.h"
#include "tests/vectors/families.h"

namespace keyd::vectors {
namespace {

// The salt that is hashed after the password; a case of the other order is none of ours. An order names the
// two in their order ("password_salt", "password|salt", "pw-salt"), or the one that is first
// ("password-first").
Bytes salt_after_password(const Json& in) {
  const auto order = in.at("salt_order").get<std::string>();
  if (order == "none") return {};
  const auto password = std::min(order.find("password"), order.find("pw")), salt = order.find("salt");
  if (password == std::string::npos || password > salt)
    throw CaseFailed("this project hashes no password by salt_order " + order);
  return octets(in, "salt");
}

}  // namespace

Json s1_secrethash(const Json& test) {
  const Json& in = test.at("in");
  std::array<std::uint8_t, exchange::kSecretHashHistoric> password_hash{}, secret_hash{};
  exchange::password_hash_historic(octets(in, "password"), salt_after_password(in), password_hash);
  const Bytes host_port = octets(in, "hostport");
  exchange::secret_hash_historic(password_hash, octets(in, "client_nonce"), octets(in, "server_nonce"),
                                 text_of(host_port), secret_hash);
  const auto wrapped = exchange::wrap_session_key_historic(secret_hash, octets(in, "session_key"));
  if (!wrapped) throw CaseFailed(wrapped.error().message());
  return {{"pw_hash", to_hex(password_hash)},
          {"secret_hash", to_hex(secret_hash)},
          {"wrapped_des_first8", to_hex(*wrapped)}};
}

}  // namespace keyd::vectors
