// The C ABI: records of a program's own, under keys exported from its session.
#include <cstring>
#include <functional>

#include "libkeyclient/src/handle.h"

using namespace keyd;
using namespace keyd::client;

struct keyclient_channel {
  exchange::SecureChannel channel;
};

namespace {
// A program may seal and open within one buffer of its own.
bool overlap(ByteView a, ByteView b) {
  const std::less<> before;
  return before(a.data(), b.data() + b.size()) && before(b.data(), a.data() + a.size());
}
}  // namespace

extern "C" {

keyclient_status keyclient_channel_new(keyclient_t* client, const char* label, keyclient_role role,
                                       keyclient_channel_t** out) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (label == nullptr || out == nullptr || (role != KEYCLIENT_INITIATOR && role != KEYCLIENT_RESPONDER)) {
      return report(KEYCLIENT_INVALID, "no label, no role or no place for the channel");
    }
    *out = nullptr;
    secret::SecretBuffer keys(64);
    const auto exported =
        session.channel().export_key("keyclient channel " + std::string(label), keys.reveal());
    if (!exported) return report(failure_of(exported.error()));
    // As in the session itself (claims 6 and 10): the first key one way, the second the other.
    const auto end = role == KEYCLIENT_INITIATOR ? exchange::Role::kClient : exchange::Role::kServer;
    *out = new keyclient_channel{exchange::SecureChannel(
        end, keys.reveal().first(32), keys.reveal().subspan(32), bytes_of("keyclient channel"))};
    return KEYCLIENT_OK;
  });
}

void keyclient_channel_free(keyclient_channel_t* channel) { delete channel; }

keyclient_status keyclient_seal(keyclient_channel_t* channel, const void* data, size_t size, void* record) {
  return guarded([&]() -> keyclient_status {
    static_assert(KEYCLIENT_RECORD_OVERHEAD == exchange::kRecordOverhead);
    if (channel == nullptr || record == nullptr || (data == nullptr && size != 0) ||
        size > wire::kMaxCredential) {
      return report(KEYCLIENT_INVALID, "no channel, no room, or more than 65536 octets");
    }
    const ByteView plaintext(static_cast<const std::uint8_t*>(data), size);
    const MutableByteView room(static_cast<std::uint8_t*>(record), size + exchange::kRecordOverhead);
    if (overlap(plaintext, room)) {
      const auto apart = channel->channel.seal(exchange::RecordType::kApplication, plaintext);
      if (!apart) return report(failure_of(apart.error()));
      std::memcpy(record, apart->data(), apart->size());
      return KEYCLIENT_OK;
    }
    const auto sealed = channel->channel.seal_into(exchange::RecordType::kApplication, plaintext, room);
    return sealed ? KEYCLIENT_OK : report(failure_of(sealed.error()));
  });
}

keyclient_status keyclient_open_record(keyclient_channel_t* channel, const void* record, size_t size,
                                       void* data) {
  return guarded([&]() -> keyclient_status {
    if (channel == nullptr || record == nullptr || size < KEYCLIENT_RECORD_OVERHEAD ||
        size > wire::kMaxCredential + KEYCLIENT_RECORD_OVERHEAD ||
        (data == nullptr && size > KEYCLIENT_RECORD_OVERHEAD)) {
      return report(KEYCLIENT_INVALID, "no channel, no room, or not the size of a record");
    }
    const ByteView sealed(static_cast<const std::uint8_t*>(record), size);
    const MutableByteView room(static_cast<std::uint8_t*>(data), size - exchange::kRecordOverhead);
    const bool apart = !overlap(sealed, room);
    const Bytes copy = apart ? Bytes() : Bytes(sealed.begin(), sealed.end());
    return channel->channel.open_into(exchange::RecordType::kApplication, apart ? sealed : ByteView(copy),
                                      room)
               ? KEYCLIENT_OK
               : report(KEYCLIENT_INVALID, "not the other end's next record; the channel is over");
  });
}

}  // extern "C"
