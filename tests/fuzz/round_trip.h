// What decodes as a packet encodes again, to something that decodes to the same.
#pragma once

#include "core/wire/message_codec.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {

// False when `octets` are no packet of this kind and our version.
template <typename Packet>
bool round_trip(ByteView octets, Packet& packet) {
  if (wire::decode(octets, packet) != wire::Decoded::kMessage) return false;
  Packet again;
  must(wire::decode(wire::encode(packet), again) == wire::Decoded::kMessage);
  must(again.SerializeAsString() == packet.SerializeAsString());
  return true;
}

}  // namespace keyd::fuzz
