// What a server may send: the first octet picks what the client asked for, the packets that follow are
// decoded as the library does and fed to the client's end of the exchange.
#include "tests/fuzz/round_trip.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

void converse(int variant, ByteView input) {
  Packets packets(input);
  exchange::ChallengeClient client(choice(variant));
  FixedRandom random('C');
  must(client.start(std::ref(random)).has_value());
  while (!packets.done()) {
    const ByteView octets = packets.next();
    wire::ServerPacket packet;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage) continue;
    switch (packet.body_case()) {
      case wire::ServerPacket::kChallengeNumbers:
        if (!client.take_numbers(octets, packet.challenge_numbers())) {
          must(!client.prove(bytes_of(kPassword)).has_value());
        } else {
          must(client.prove(bytes_of(kPassword)).has_value());
          must(client.session_id().size() == wire::kSessionIdSize);
        }
        break;
      case wire::ServerPacket::kFinished: {
        auto established = client.finish(octets, bytes_of(packet.finished()));
        if (established) must(established->seal(exchange::RecordType::kSession, {}).has_value());
        must(!client.finish(octets, bytes_of(packet.finished())).has_value());
        break;
      }
      default: break;
    }
  }
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  keyd::wire::ServerPacket packet;
  (void)keyd::fuzz::round_trip({data, size}, packet);
  keyd::fuzz::converse(data[0] % keyd::fuzz::kVariants, {data + 1, size - 1});
  return 0;
}
