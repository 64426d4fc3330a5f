// The `kryptoknight` exchange: seed 001 (US 6,064,736), figures 3 and 5; the session that the KryptoKnight protocol
// opens by the stored hash of a password, and the clear password as the first thing in it. Two state machines without
// I/O, read from top to bottom. What the server then does with the password is kryptoknight_password.h (figures 4, 6).
//
//   symbols  U user   P password   s salt   P' = H(P, s) the stored hash   hp "host:port" of the server
//            Nc, Ns nonces, 16 octets   Rc, Rs 32 fresh octets each   TH transcript hash so far
//            SK SessionKey   SH SecretHash   {x}k encrypted under k
//
//   client                                                  server
//     305  draws Nc
//     309  KryptoknightStart     U, Nc, Rc     ─────────►
//                                                           task → PENDING
//                                                      311  retrieves P', s
//                                                      313  draws Ns
//                                                      315  draws SK
//                                                      317  SH from P', Nc, Ns; {SK}SH
//     319, 519                     ◄─────────  KryptoknightReply  {SK}SH, Ns, s, Rs, session id
//     521  P' = H(P, s)
//     323  SH, decrypts SK, verifies that the server knew P'
//     327  ═══════════ the session: sealed under keys from SK and TH ═══════════
//     329  KryptoknightPassword  {P}, {TH}     ─────────►
//                                                 331, 531  H(P, s)
//                                                      333  compares with P' as it stands now
//                                                      536  draws s2, stores H(P, s2), s2 in place of P', s
//                                                           task → COMPLETE
//     335                          ◄─────────  Finished     {TH}
//
// modern    P' is a crypt(3) string. SH = HKDF-SHA256(P', Nc | Ns, "keyd/1 kryptoknight login" | hp | TH after 309).
//           SK 32 octets, wrapped with AES-256-GCM under SH, bound to TH after 309 and the rest of the reply
//           (kryptoknight_messages.h); the nonce is the first 12 octets of Rs. Its tag is what the client verifies.
// historic  P' = MD5(P | s). SH = MD5((Nc xor hp) | Ns | (P' xor hp)), hp repeated to 16 octets. SK 8 octets, a DES key
//           with parity that is not weak, wrapped with DES-ECB under the first 8 octets of SH. What the client
//           verifies: proof = HMAC-MD5(SH, SK | Nc | Ns).
// a command's own key: likewise with "keyd/1 kryptoknight command" | hp, bound to Nc | Ns alone, its GCM nonce zeros.
//
// Randomness and the password come from outside. A step out of order, or a wrong octet, is a failure that ends the
// machine; there is no way back from Failed.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/crypto/password_hash.h"
#include "core/exchange/random_source.h"
#include "core/exchange/secure_channel.h"
#include "core/exchange/transcript.h"
#include "core/secret/secret.h"
#include "core/wire/keyd.pb.h"
#include "core/wire/limits.h"

namespace keyd::exchange {

inline constexpr std::size_t kKryptoknightNonce = 16, kSecretHashModern = 32,
                             kSecretHashHistoric = 16;  // octets
inline constexpr std::size_t kMaxHistoricSalt = 32;     // octets

// P' and how it is made of a password: what a server stores.
struct PasswordHash {
  wire::Suite suite = wire::SUITE_UNSPECIFIED;
  crypto::CryptSetting setting;  // modern
  Bytes salt;                    // historic: 0 to 32 octets
  secret::SecretBuffer hash;     // modern: the whole crypt(3) string; historic: 16 octets
};

// P' = H(P, s) by the setting or salt of `how`, whose own hash is not looked at. Modern: as slow as the setting says.
[[nodiscard]] Result<secret::SecretBuffer> hash_password(ByteView password, const PasswordHash& how);

// ---- derivations, apart from the machines, for test vectors

// Historic P' = MD5(P | s), whatever their lengths.
void password_hash_historic(ByteView password, ByteView salt, MutableByteView out);
// Historic: MD5((Nc xor hp) | Ns | (P' xor hp)). Where hp has not 16 octets its octet i mod |hp| stands at place i.
void secret_hash_historic(ByteView password_hash, ByteView client_nonce, ByteView server_nonce,
                          std::string_view host_port, MutableByteView out);
// {SK}SH, and back: one DES block.
[[nodiscard]] Result<Bytes> wrap_session_key_historic(ByteView secret_hash, ByteView session_key);
[[nodiscard]] Result<secret::SecretBuffer> unwrap_session_key_historic(ByteView secret_hash,
                                                                       ByteView wrapped);
// Octets with DES parity that are no weak key; drawn again until they are none.
[[nodiscard]] Result<secret::SecretBuffer> draw_des_session_key(const RandomSource& random);

// Whether a start's fields have their sizes and the suite is known. kInvalid says which is wrong.
[[nodiscard]] Result<void> check_start(const wire::KryptoknightStart& start);

// ---- a command's own key (the text: "A new SessionKey and SecretHash are generated for each new session
// command/response exchange"); both ends pass the SK and the nonces to SecureChannel::advance_with_key

// The client's side of one: draws Nc, then reads the server's answer under the P' of the login.
class CommandKeyRequest {
 public:
  [[nodiscard]] Result<wire::FreshKey> ask(const RandomSource& random);
  // kRefused: it was not made by somebody who knows P'.
  [[nodiscard]] Result<secret::SecretBuffer> take(const wire::WrappedKey& answer, wire::Suite suite,
                                                  ByteView hash, std::string_view host_port);
  [[nodiscard]] ByteView client_nonce() const { return bytes_of(sent_.client_nonce()); }

 private:
  wire::FreshKey sent_;
};
struct CommandKey {
  wire::WrappedKey answer;
  secret::SecretBuffer session_key;
};
// The server's: kInvalid when the nonce has not 16 octets.
[[nodiscard]] Result<CommandKey> make_command_key(const wire::FreshKey& request, wire::Suite suite,
                                                  ByteView hash, std::string_view host_port,
                                                  const RandomSource& random);

// ---- the machines

class KryptoknightClient {
 public:
  // `choice` is everything but client_random and client_nonce, which start() adds. `limits`: what the client is
  // willing to spend on a hash.
  explicit KryptoknightClient(wire::KryptoknightStart choice, crypto::CryptLimits limits = {})
      : start_(std::move(choice)), limits_(limits) {}

  // 305, 309: the packet to send.
  [[nodiscard]] Result<Bytes> start(const RandomSource& random);
  // 319, 519: takes the server's packet. kInvalid: not what was asked for; kRefused: a setting that costs too much.
  // Nothing is hashed yet.
  [[nodiscard]] Result<void> take_reply(ByteView packet, const wire::KryptoknightReply& reply);
  // 521: how the server wants the password hashed, with an empty hash: for hash_password().
  [[nodiscard]] const PasswordHash& how() const { return how_; }
  // 323, 327: opens the session with P'. kRefused: whoever answered does not know this P', or the password was
  // another one; nothing of the password may leave then, and nothing can: the machine has failed.
  [[nodiscard]] Result<void> open_session(secret::SecretBuffer password_hash);
  // 329: the packet with the password, and the proof.
  [[nodiscard]] Result<Bytes> send_password(ByteView password);
  // 335: checks the server's confirmation. The established channel; may be called once.
  [[nodiscard]] Result<SecureChannel> finish(ByteView packet, ByteView finished_record);
  // P' of this login, for the keys of commands; once.
  [[nodiscard]] secret::SecretBuffer take_hash();

  [[nodiscard]] const wire::KryptoknightStart& choice() const { return start_; }
  [[nodiscard]] const std::string& session_id() const { return reply_.session_id(); }

 private:
  enum class State { kIdle, kStarted, kReplied, kOpened, kProved, kDone, kFailed };
  [[nodiscard]] std::unexpected<Error> failed(Code code, std::string why);

  State state_ = State::kIdle;
  wire::KryptoknightStart start_;
  wire::KryptoknightReply reply_;
  crypto::CryptLimits limits_;
  PasswordHash how_;
  Transcript transcript_;
  Transcript::Hash after_start_{};
  secret::SecretBuffer hash_;
  std::optional<SecureChannel> channel_;
};

class KryptoknightServer {
 public:
  // 311 to 319: takes the client's packet and the stored hash, and gives the packet to send once the task is PENDING.
  // `carriage` is the way for the salt; where the salt does not fit it (kryptoknight.cpp), the next that it fits.
  [[nodiscard]] Result<Bytes> reply(ByteView packet, const wire::KryptoknightStart& start,
                                    PasswordHash stored, wire::SaltCarriage carriage,
                                    const RandomSource& random);
  // 329: the clear password, out of the session's first record. kRefused: it does not open, so its sender does not
  // know P'; or the conversation was changed. kInvalid: it opens and is no password, so its sender knows P'.
  [[nodiscard]] Result<secret::SecretBuffer> take_password(ByteView packet,
                                                           const wire::KryptoknightPassword& message);
  // 335, once the password was compared, the new hash is durable, and the task is COMPLETE: the packet to send.
  [[nodiscard]] Result<Bytes> confirm();
  // The established channel; may be called once, after confirm().
  [[nodiscard]] SecureChannel take_channel();
  // P' of this login: what the session was opened by. take_hash(): once.
  [[nodiscard]] const PasswordHash& opened_by() const { return stored_; }
  [[nodiscard]] secret::SecretBuffer take_hash();

  [[nodiscard]] const wire::KryptoknightStart& choice() const { return start_; }
  [[nodiscard]] const std::string& session_id() const { return reply_.session_id(); }

 private:
  enum class State { kIdle, kReplied, kPassword, kDone, kFailed };
  [[nodiscard]] std::unexpected<Error> failed(Code code, std::string why);

  State state_ = State::kIdle;
  wire::KryptoknightStart start_;
  wire::KryptoknightReply reply_;
  PasswordHash stored_;
  secret::SecretBuffer session_key_;
  Transcript transcript_;
  std::optional<SecureChannel> channel_;
};

}  // namespace keyd::exchange
