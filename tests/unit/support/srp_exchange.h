// A whole srp exchange for tests, packet by packet: each one is decoded as a connection would do it, and a test may
// change, drop or exchange any of them on the way.
#pragma once

#include <google/protobuf/stubs/logging.h>

#include <functional>
#include <optional>
#include <string>

#include "core/exchange/srp.h"
#include "core/wire/limits.h"
#include "tests/unit/support/octets.h"

namespace keyd::test {

inline constexpr std::string_view kSrpPassword = "correct horse battery staple";

// The packets, in order.
enum SrpStep { kSrpStart, kSrpChallenge, kSrpClientKey, kSrpServerKey, kSrpM1, kSrpM2, kSrpAck, kSrpSuccess };
inline constexpr std::size_t kSrpSteps = 8;
inline bool is_clients(SrpStep step) { return step % 2 == 0; }

inline wire::SrpStart srp_modern() {
  wire::SrpStart choice;
  choice.set_user("ada");
  choice.set_suite(wire::SUITE_MODERN);
  choice.set_server_name("keyd.example");
  return choice;
}

inline wire::SrpStart srp_historic(wire::SrpInterleave interleave = wire::SRP_INTERLEAVE_RFC2945) {
  wire::SrpStart choice = srp_modern();
  choice.set_suite(wire::SUITE_HISTORIC);
  choice.set_interleave(interleave);
  return choice;
}

// Everything the two ends can agree on.
inline std::vector<wire::SrpStart> every_srp_choice() {
  return {srp_modern(), srp_historic(), srp_historic(wire::SRP_INTERLEAVE_STANFORD)};
}

// As fast as the suite can be: what is under test is not the cost.
inline exchange::XDerivation cheap_derivation(const wire::SrpStart& choice) {
  if (choice.suite() == wire::SUITE_HISTORIC) return {};
  return {exchange::DerivationKind::kSha256, {}};
}

// The user's, made from `password` in the group of `bits` bits.
inline exchange::SrpVerifier srp_verifier(const wire::SrpStart& choice,
                                          std::string_view password = kSrpPassword, unsigned bits = 1024,
                                          std::optional<exchange::XDerivation> derivation = std::nullopt) {
  const exchange::SrpGroup group = *exchange::SrpGroup::listed(bits);
  const exchange::XDerivation how = derivation.value_or(cheap_derivation(choice));
  Bytes salt = text("sixteen octets !");
  const auto x = exchange::derive_x(how, bytes_of(choice.user()), bytes_of(password), salt);
  return {group, salt, how, exchange::verifier_of(group, x->reveal())};
}

// Takes the groups and derivations of these tests.
inline exchange::SrpClientPolicy tolerant_policy() {
  exchange::SrpClientPolicy policy;
  policy.groups.least_bits = 1024;
  policy.derivations.sha1 = policy.derivations.sha256 = true;
  return policy;
}

inline std::optional<wire::SrpPacket> from_client(ByteView packet) {
  const google::protobuf::LogSilencer quiet;
  wire::ClientPacket out;
  if (!out.ParseFromArray(packet.data(), static_cast<int>(packet.size())) ||
      out.version() != wire::kVersion || !out.has_srp()) {
    return std::nullopt;
  }
  return out.srp();
}

inline std::optional<wire::SrpPacket> from_server(ByteView packet) {
  const google::protobuf::LogSilencer quiet;
  wire::ServerPacket out;
  if (!out.ParseFromArray(packet.data(), static_cast<int>(packet.size())) ||
      out.version() != wire::kVersion || !out.has_srp()) {
    return std::nullopt;
  }
  return out.srp();
}

// Packets with another EAP packet in them, the rest as it was.
inline Bytes with_eap(ByteView packet, bool clients, const Bytes& eap) {
  wire::SrpPacket inner = clients ? *from_client(packet) : *from_server(packet);
  inner.set_eap(eap.data(), eap.size());
  std::string out;
  if (clients) {
    wire::ClientPacket outer;
    outer.set_version(wire::kVersion);
    *outer.mutable_srp() = inner;
    out = outer.SerializeAsString();
  } else {
    wire::ServerPacket outer;
    outer.set_version(wire::kVersion);
    *outer.mutable_srp() = inner;
    out = outer.SerializeAsString();
  }
  return text(out);
}

inline Bytes eap_of(ByteView packet, bool clients) {
  return text(clients ? from_client(packet)->eap() : from_server(packet)->eap());
}

// The two machines and what a connection does around them.
struct SrpEnds {
  explicit SrpEnds(const wire::SrpStart& choice, exchange::SrpVerifier stored,
                   exchange::SrpClientPolicy policy = tolerant_policy())
      : client(choice, std::move(policy)), verifier(std::move(stored)) {}

  exchange::SrpClient client;
  exchange::SrpServer server;
  exchange::SrpVerifier verifier;
  std::string password{kSrpPassword};
  exchange::RandomSource client_random = FixedRandom("client"), server_random = FixedRandom("server");
  bool server_done = false;  // the task would be COMPLETE
  std::optional<exchange::SecureChannel> client_channel, server_channel;

  // Gives `packet` to the end that takes it in this step, and has that end's next packet back. Nothing: refused.
  std::optional<Bytes> give(SrpStep step, ByteView packet) {
    return is_clients(step) ? give_server(step, packet) : give_client(step, packet);
  }

 private:
  template <typename T>
  static std::optional<T> value(Result<T> result) {
    if (!result) return std::nullopt;
    return std::move(*result);
  }

  std::optional<Bytes> give_server(SrpStep step, ByteView packet) {
    if (step == kSrpStart) {
      const google::protobuf::LogSilencer quiet;
      wire::ClientPacket decoded;
      if (!decoded.ParseFromArray(packet.data(), static_cast<int>(packet.size())) ||
          decoded.version() != wire::kVersion || !decoded.has_srp_start()) {
        return std::nullopt;
      }
      return value(server.challenge(packet, decoded.srp_start(), std::move(verifier), server_random));
    }
    const auto decoded = from_client(packet);
    if (!decoded) return std::nullopt;
    if (step == kSrpClientKey) return value(server.take_key(packet, *decoded, pair()));
    if (step == kSrpM1) return value(server.verify(packet, *decoded));
    if (!server.take_finished(packet, *decoded)) return std::nullopt;
    server_done = true;
    auto success = value(server.confirm());
    if (success) server_channel.emplace(server.take_channel());
    return success;
  }

  std::optional<Bytes> give_client(SrpStep step, ByteView packet) {
    const auto decoded = from_server(packet);
    if (!decoded) return std::nullopt;
    if (step == kSrpChallenge) return value(client.take_challenge(packet, *decoded, client_random));
    if (step == kSrpServerKey) {
      if (!client.take_key(packet, *decoded)) return std::nullopt;
      return value(client.prove(bytes_of(password)));
    }
    if (step == kSrpM2) return value(client.take_proof(packet, *decoded));
    auto channel = client.finish(packet, *decoded);
    if (!channel) return std::nullopt;
    client_channel.emplace(std::move(*channel));
    return Bytes();
  }

 public:
  unsigned group_bits = 1024;
  exchange::EphemeralPair pair() {
    return *exchange::draw_ephemeral(*exchange::SrpGroup::listed(group_bits), server_random);
  }
};

struct SrpScript {
  wire::SrpStart choice = srp_modern();
  std::string client_password{kSrpPassword}, server_password{kSrpPassword};
  std::string client_seed = "client", server_seed = "server";
  // Between the ends: may change the packet of this step.
  std::function<void(SrpStep, Bytes&)> on_the_wire = [](SrpStep, Bytes&) {};
};

struct SrpOutcome {
  std::vector<Bytes> packets;  // as they were sent
  bool server_done = false, client_done = false;
  std::unique_ptr<SrpEnds> ends;
  [[nodiscard]] bool both_done() const { return server_done && client_done; }
};

// Runs it until somebody refuses.
inline SrpOutcome converse_srp(const SrpScript& script) {
  SrpOutcome out;
  out.ends = std::make_unique<SrpEnds>(script.choice, srp_verifier(script.choice, script.server_password));
  SrpEnds& ends = *out.ends;
  ends.password = script.client_password;
  ends.client_random = FixedRandom(script.client_seed);
  ends.server_random = FixedRandom(script.server_seed);
  const auto start = ends.client.start(ends.client_random);
  std::optional<Bytes> said;
  if (start) said = *start;
  for (std::size_t step = 0; said && step < kSrpSteps; ++step) {
    out.packets.push_back(*said);
    Bytes arrives = *said;
    script.on_the_wire(static_cast<SrpStep>(step), arrives);
    said = ends.give(static_cast<SrpStep>(step), arrives);
  }
  out.server_done = ends.server_done;
  out.client_done = ends.client_channel.has_value();
  return out;
}

}  // namespace keyd::test
