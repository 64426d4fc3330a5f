// What a client may send: packets are decoded as a connection does and fed to the server's end of the
// challenge exchange. The right proof is refused unless the whole conversation is the one it was made for.
#include "tests/fuzz/round_trip.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

void converse(ByteView input) {
  Packets packets(input);
  exchange::ChallengeServer server;
  FixedRandom random('S');
  while (!packets.done()) {
    const ByteView octets = packets.next();
    wire::ClientPacket packet;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage) continue;
    switch (packet.body_case()) {
      case wire::ClientPacket::kChallengeStart: {
        const auto reply = server.challenge(octets, packet.challenge_start(), std::ref(random),
                                            [](ByteView n1, ByteView n2) { return n1.size() >= n2.size(); });
        if (!reply) break;
        wire::ServerPacket sent;
        must(wire::decode(*reply, sent) == wire::Decoded::kMessage && sent.has_challenge_numbers());
        must(exchange::check_choice(server.choice()).has_value());
        break;
      }
      case wire::ClientPacket::kFinished:
        if (server.verify(octets, bytes_of(packet.finished()), bytes_of(kPassword))) {
          must(server.confirm().has_value());
          exchange::SecureChannel established = server.take_channel();
          must(established.epoch() == 0);
          must(!server.confirm().has_value());
        } else {
          must(!server.confirm().has_value());
        }
        break;
      default: break;
    }
  }
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // As one packet, and as a conversation of several.
  keyd::wire::ClientPacket packet;
  if (keyd::fuzz::round_trip({data, size}, packet) && packet.has_challenge_start()) {
    (void)keyd::exchange::check_choice(packet.challenge_start());
  }
  keyd::fuzz::converse({data, size});
  return 0;
}
