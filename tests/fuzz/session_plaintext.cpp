// The plaintext of a session record, both directions: a payload lies inside it, and what decodes encodes
// again to something that decodes to the same.
#include <algorithm>

#include "core/wire/message_codec.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {
namespace {

template <typename Message>
void round_trip(ByteView plaintext) {
  Message message, again;
  ByteView payload, payload_again;
  if (!wire::decode_session(plaintext, message, payload)) return;
  must(payload.data() + payload.size() == plaintext.data() + plaintext.size());
  must(payload.size() + 4 <= plaintext.size());
  const auto encoded = wire::encode_session(message, payload);
  must(wire::decode_session(encoded.reveal(), again, payload_again));
  must(again.SerializeAsString() == message.SerializeAsString());
  must(std::ranges::equal(payload, payload_again));
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > keyd::wire::kMaxPacket) return 0;  // a record never carries more
  keyd::fuzz::round_trip<keyd::wire::SessionRequest>({data, size});
  keyd::fuzz::round_trip<keyd::wire::SessionReply>({data, size});
  return 0;
}
