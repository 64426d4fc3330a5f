// A command's own SessionKey. The nonces are asked for and answered inside the session, so nobody else sees
// them or chooses them; what the wrapping adds is what the text wants: a new SecretHash, that only the two
// who know P' can compute.
#include "core/exchange/kryptoknight.h"
#include "core/exchange/kryptoknight_keys.h"

namespace keyd::exchange {
namespace {

constexpr std::string_view kLabel = "keyd/1 kryptoknight command";

struct Command {
  Bytes nonces;  // Nc | Ns
  [[nodiscard]] ByteView client_nonce() const { return ByteView(nonces).first(kKryptoknightNonce); }
  [[nodiscard]] ByteView server_nonce() const { return ByteView(nonces).last(kKryptoknightNonce); }
};

Wrapping wrapping_of(const Command& command, wire::Suite suite, ByteView hash, std::string_view host_port) {
  return {.suite = suite,
          .hash = hash,
          .client_nonce = command.client_nonce(),
          .server_nonce = command.server_nonce(),
          .host_port = host_port,
          .label = kLabel,
          .transcript = {},
          .fresh = {},
          .bound = command.nonces};
}

Command command_of(ByteView client_nonce, ByteView server_nonce) {
  Command out{.nonces = Bytes(client_nonce.begin(), client_nonce.end())};
  out.nonces.insert(out.nonces.end(), server_nonce.begin(), server_nonce.end());
  return out;
}

}  // namespace

Result<wire::FreshKey> CommandKeyRequest::ask(const RandomSource& random) {
  Bytes nonce(kKryptoknightNonce);
  if (!random(nonce)) return fail(Code::kBroken, "no random numbers");
  sent_.set_client_nonce(nonce.data(), nonce.size());
  return sent_;
}

Result<secret::SecretBuffer> CommandKeyRequest::take(const wire::WrappedKey& answer, wire::Suite suite,
                                                     ByteView hash, std::string_view host_port) {
  if (sent_.client_nonce().size() != kKryptoknightNonce) return fail(Code::kRefused, "no key was asked for");
  if (!is_hash_of(suite, hash) || answer.server_nonce().size() != kKryptoknightNonce) {
    return fail(Code::kInvalid, "a hash or a server nonce of a wrong size");
  }
  const Command command = command_of(client_nonce(), bytes_of(answer.server_nonce()));
  return unwrap_session_key(wrapping_of(command, suite, hash, host_port), bytes_of(answer.wrapped_key()),
                            bytes_of(answer.proof()));
}

Result<CommandKey> make_command_key(const wire::FreshKey& request, wire::Suite suite, ByteView hash,
                                    std::string_view host_port, const RandomSource& random) {
  if (request.client_nonce().size() != kKryptoknightNonce)
    return fail(Code::kInvalid, "client_nonce is not 16 octets");
  if (!is_hash_of(suite, hash)) return fail(Code::kInvalid, "a stored hash of a wrong size");
  Bytes server_nonce(kKryptoknightNonce);
  if (!random(server_nonce)) return fail(Code::kBroken, "no random numbers");
  auto session_key = draw_session_key(suite, random);
  if (!session_key) return std::unexpected(session_key.error());
  const Command command = command_of(bytes_of(request.client_nonce()), server_nonce);
  const auto wrapped = wrap_session_key(wrapping_of(command, suite, hash, host_port), session_key->reveal());
  if (!wrapped) return std::unexpected(wrapped.error());
  CommandKey out{.answer = {}, .session_key = *std::move(session_key)};
  out.answer.set_server_nonce(server_nonce.data(), server_nonce.size());
  out.answer.set_wrapped_key(wrapped->key.data(), wrapped->key.size());
  out.answer.set_proof(wrapped->proof.data(), wrapped->proof.size());
  return out;
}

}  // namespace keyd::exchange
