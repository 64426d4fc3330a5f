// A whole kryptoknight exchange for tests, packet by packet, as exchange.h has it for challenge.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/crypto/password_hash.h"
#include "core/exchange/kryptoknight.h"
#include "core/exchange/kryptoknight_password.h"
#include "core/wire/message_codec.h"
#include "tests/unit/support/octets.h"

namespace keyd::test::kryptoknight {

using exchange::KryptoknightClient;
using exchange::KryptoknightServer;
using exchange::PasswordHash;
using exchange::SecureChannel;

inline constexpr std::string_view kPassword = "correct horse battery staple";

inline wire::KryptoknightStart choice_of(wire::Suite suite,
                                         std::string_view server_name = "keyd.example:3389") {
  wire::KryptoknightStart choice;
  choice.set_user("ada");
  choice.set_suite(suite);
  choice.set_server_name(std::string(server_name));
  return choice;
}

// A cheap one, as nothing here is to be kept safe; its salt has the size of a nonce.
inline const crypto::CryptSetting kSetting{"$sha1$10$", "sixteenoctets16.", "$"};

// P' of a password.
inline PasswordHash hashed(PasswordHash how, std::string_view password = kPassword) {
  auto hash = exchange::hash_password(bytes_of(password), how);
  if (!hash) std::abort();
  how.hash = std::move(*hash);
  return how;
}
inline PasswordHash modern_hash(const crypto::CryptSetting& setting = kSetting,
                                std::string_view password = kPassword) {
  PasswordHash how;
  how.suite = wire::SUITE_MODERN;
  how.setting = setting;
  return hashed(std::move(how), password);
}
inline PasswordHash historic_hash(std::string_view salt = "sixteen octets..",
                                  std::string_view password = kPassword) {
  PasswordHash how;
  how.suite = wire::SUITE_HISTORIC;
  how.salt = text(salt);
  return hashed(std::move(how), password);
}
inline PasswordHash copy_of(const PasswordHash& from) {
  PasswordHash to;
  to.suite = from.suite;
  to.setting = from.setting;
  to.salt = from.salt;
  to.hash = secret::SecretBuffer::copy_of(from.hash.reveal());
  return to;
}
inline PasswordHash hash_for(wire::Suite suite, std::string_view password = kPassword) {
  return suite == wire::SUITE_MODERN ? modern_hash(kSetting, password)
                                     : historic_hash("sixteen octets..", password);
}

// ---- one packet, from the socket into a machine

inline Result<Bytes> give_start(KryptoknightServer& server, ByteView packet, PasswordHash stored,
                                wire::SaltCarriage carriage, const exchange::RandomSource& random) {
  wire::ClientPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage || !decoded.has_kryptoknight_start()) {
    return fail(Code::kInvalid, "not a start");
  }
  return server.reply(packet, decoded.kryptoknight_start(), std::move(stored), carriage, random);
}

inline Result<void> give_reply(KryptoknightClient& client, ByteView packet) {
  wire::ServerPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage || !decoded.has_kryptoknight_reply()) {
    return fail(Code::kInvalid, "no reply");
  }
  return client.take_reply(packet, decoded.kryptoknight_reply());
}

inline Result<secret::SecretBuffer> give_password(KryptoknightServer& server, ByteView packet) {
  wire::ClientPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage || !decoded.has_kryptoknight_password()) {
    return fail(Code::kInvalid, "no password");
  }
  return server.take_password(packet, decoded.kryptoknight_password());
}

inline Result<SecureChannel> give_confirmation(KryptoknightClient& client, ByteView packet) {
  wire::ServerPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage ||
      decoded.body_case() != wire::ServerPacket::kFinished) {
    return fail(Code::kInvalid, "no confirmation");
  }
  return client.finish(packet, bytes_of(decoded.finished()));
}

// 521, 323: hashes as the server said, and opens the session.
inline Result<void> open_with(KryptoknightClient& client, std::string_view password) {
  auto hash = exchange::hash_password(bytes_of(password), client.how());
  if (!hash) return std::unexpected(hash.error());
  return client.open_session(std::move(*hash));
}

// ---- a conversation

// The four packets, in order.
enum Step { kStart, kReply, kSentPassword, kConfirmation };
inline constexpr Step kSteps[] = {kStart, kReply, kSentPassword, kConfirmation};

struct Outcome {
  std::array<Bytes, 4> packets;  // as they were sent
  bool session_opened = false;   // by the client
  bool password_taken = false;   // by the server
  bool server_done = false;      // the task would be COMPLETE
  std::optional<SecureChannel> client, server;

  [[nodiscard]] bool both_done() const { return client.has_value() && server.has_value(); }
};

struct Script {
  wire::KryptoknightStart choice = choice_of(wire::SUITE_MODERN);
  std::string client_password{kPassword};  // hashed and opened with
  std::string sent_password{kPassword};    // said inside the session
  const PasswordHash* stored = nullptr;    // null: of kPassword
  wire::SaltCarriage carriage = wire::SALT_CARRIAGE_BESIDE_NONCE;
  crypto::CryptLimits limits = {};
  exchange::RandomSource client_random = FixedRandom("client"), server_random = FixedRandom("server");
  // Between the ends: may change the packet of this step.
  std::function<void(Step, Bytes&)> on_the_wire = [](Step, Bytes&) {};
};

// Runs it until somebody refuses.
inline Outcome converse(const Script& script) {
  Outcome out;
  KryptoknightClient client(script.choice, script.limits);
  KryptoknightServer server;
  const auto send = [&](Step step, const Bytes& packet) {
    out.packets[step] = packet;
    Bytes arrives = packet;
    script.on_the_wire(step, arrives);
    return arrives;
  };
  const auto start = client.start(script.client_random);
  if (!start) return out;
  PasswordHash stored = script.stored != nullptr ? copy_of(*script.stored) : hash_for(script.choice.suite());
  const auto reply =
      give_start(server, send(kStart, *start), std::move(stored), script.carriage, script.server_random);
  if (!reply || !give_reply(client, send(kReply, *reply)) || !open_with(client, script.client_password))
    return out;
  out.session_opened = true;
  const auto said = client.send_password(bytes_of(script.sent_password));
  if (!said) return out;
  const auto password = give_password(server, send(kSentPassword, *said));
  if (!password) return out;
  out.password_taken = true;
  const auto is_right = exchange::is_password_of(server.opened_by(), password->reveal());
  if (!is_right || !*is_right) return out;
  const auto confirmation = server.confirm();
  if (!confirmation) return out;
  out.server_done = true;
  out.server.emplace(server.take_channel());
  auto channel = give_confirmation(client, send(kConfirmation, *confirmation));
  if (channel) out.client.emplace(std::move(*channel));
  return out;
}

// ---- what an established channel is good for

inline bool carries(SecureChannel& from, SecureChannel& to, std::string_view text = "a record") {
  const auto record = from.seal(exchange::RecordType::kSession, bytes_of(text));
  if (!record) return false;
  const auto opened = to.open(exchange::RecordType::kSession, *record);
  return opened && text_of(opened->reveal()) == text;
}

inline std::string exported(const SecureChannel& channel) {
  Bytes out(32);
  return channel.export_key("test", out) ? to_hex(out) : "refused";
}

}  // namespace keyd::test::kryptoknight
