// A whole challenge exchange for tests, packet by packet: each one is decoded as a connection would do it,
// and a test may change, drop or exchange any of them on the way.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "core/exchange/challenge.h"
#include "core/wire/message_codec.h"
#include "tests/unit/support/octets.h"

namespace keyd::test {

using exchange::ChallengeClient;
using exchange::ChallengeServer;
using exchange::SecureChannel;

inline constexpr std::string_view kPassword = "correct horse battery staple";

inline wire::ChallengeStart modern(std::uint32_t keys = 2) {
  wire::ChallengeStart choice;
  choice.set_user("ada");
  choice.set_suite(wire::SUITE_MODERN);
  choice.set_transform(wire::TRANSFORM_HMAC_SHA256);
  choice.set_nonce_bits(256);
  choice.set_key_count(keys);
  choice.set_server_name("keyd.example");
  return choice;
}

inline wire::ChallengeStart historic(wire::Transform transform = wire::TRANSFORM_HMAC_MD5,
                                     std::uint32_t bits = 16, std::uint32_t keys = 2) {
  wire::ChallengeStart choice = modern(keys);
  choice.set_suite(wire::SUITE_HISTORIC);
  choice.set_transform(transform);
  choice.set_nonce_bits(bits);
  return choice;
}

// Everything the two ends can agree on.
inline std::vector<wire::ChallengeStart> every_choice() {
  std::vector<wire::ChallengeStart> all;
  for (const std::uint32_t keys : {1u, 2u}) {
    all.push_back(modern(keys));
    for (const auto t : {wire::TRANSFORM_MD5, wire::TRANSFORM_HMAC_MD5, wire::TRANSFORM_KEYED_MD5_RFC1828}) {
      for (const std::uint32_t bits : {16u, 24u, 128u, 256u}) all.push_back(historic(t, bits, keys));
    }
  }
  return all;
}

inline std::string describe(const wire::ChallengeStart& choice) {
  return "transform " + std::to_string(choice.transform()) + ", " + std::to_string(choice.nonce_bits()) +
         " bits, " + std::to_string(choice.key_count()) + " keys";
}

inline bool always(ByteView, ByteView) { return true; }

// ---- one packet, from the socket into a machine

inline Result<Bytes> give_start(ChallengeServer& server, ByteView packet,
                                const exchange::RandomSource& random,
                                const std::function<bool(ByteView, ByteView)>& admissible = always) {
  wire::ClientPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage || !decoded.has_challenge_start()) {
    return fail(Code::kInvalid, "not a start");
  }
  return server.challenge(packet, decoded.challenge_start(), random, admissible);
}

inline Result<void> give_numbers(ChallengeClient& client, ByteView packet) {
  wire::ServerPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage || !decoded.has_challenge_numbers()) {
    return fail(Code::kInvalid, "no numbers");
  }
  return client.take_numbers(packet, decoded.challenge_numbers());
}

inline Result<void> give_proof(ChallengeServer& server, ByteView packet,
                               std::string_view password = kPassword) {
  wire::ClientPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage ||
      decoded.body_case() != wire::ClientPacket::kFinished) {
    return fail(Code::kInvalid, "no proof");
  }
  return server.verify(packet, bytes_of(decoded.finished()), bytes_of(password));
}

inline Result<SecureChannel> give_confirmation(ChallengeClient& client, ByteView packet) {
  wire::ServerPacket decoded;
  if (wire::decode(packet, decoded) != wire::Decoded::kMessage ||
      decoded.body_case() != wire::ServerPacket::kFinished) {
    return fail(Code::kInvalid, "no confirmation");
  }
  return client.finish(packet, bytes_of(decoded.finished()));
}

// ---- a conversation

// The four packets, in order.
enum Step { kStart, kNumbers, kProof, kConfirmation };

struct Outcome {
  std::array<Bytes, 4> packets;  // as they were sent
  bool server_done = false;      // the task would be COMPLETE
  std::optional<SecureChannel> client, server;
  std::string session_id;

  [[nodiscard]] bool both_done() const { return client.has_value() && server.has_value(); }
};

struct Script {
  wire::ChallengeStart choice = modern();
  std::string client_password{kPassword}, server_password{kPassword};
  exchange::RandomSource client_random = FixedRandom("client"), server_random = FixedRandom("server");
  std::function<bool(ByteView, ByteView)> admissible = always;
  // Between the ends: may change the packet of this step.
  std::function<void(Step, Bytes&)> on_the_wire = [](Step, Bytes&) {};
};

// Runs it until somebody refuses.
inline Outcome converse(const Script& script) {
  Outcome out;
  ChallengeClient client(script.choice);
  ChallengeServer server;
  const auto send = [&](Step step, const Bytes& packet) {
    out.packets[step] = packet;
    Bytes arrives = packet;
    script.on_the_wire(step, arrives);
    return arrives;
  };
  const auto start = client.start(script.client_random);
  if (!start) return out;
  const auto numbers = give_start(server, send(kStart, *start), script.server_random, script.admissible);
  if (!numbers || !give_numbers(client, send(kNumbers, *numbers))) return out;
  const auto proof = client.prove(bytes_of(script.client_password));
  if (!proof || !give_proof(server, send(kProof, *proof), script.server_password)) return out;
  const auto confirmation = server.confirm();
  if (!confirmation) return out;
  out.server_done = true;
  out.server.emplace(server.take_channel());
  auto channel = give_confirmation(client, send(kConfirmation, *confirmation));
  if (channel) out.client.emplace(std::move(*channel));
  out.session_id = server.session_id();
  return out;
}

// ---- what an established channel is good for

inline bool carries(SecureChannel& from, SecureChannel& to, std::string_view text = "a record") {
  const auto record = from.seal(exchange::RecordType::kSession, bytes_of(text));
  if (!record) return false;
  const auto opened = to.open(exchange::RecordType::kSession, *record);
  return opened && text_of(opened->reveal()) == text;
}

inline std::string exported(const SecureChannel& channel, std::string_view label = "test",
                            std::size_t size = 32) {
  Bytes out(size);
  return channel.export_key(label, out) ? to_hex(out) : "refused";
}

}  // namespace keyd::test
