#include "core/wire/message_codec.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>

namespace keyd::wire {
namespace {

template <typename Message>
Decoded decode_versioned(ByteView packet, Message& out) {
  const google::protobuf::LogSilencer quiet;  // a peer must not be able to write to our stderr
  if (packet.size() > kMaxPacket || !out.ParseFromArray(packet.data(), static_cast<int>(packet.size()))) {
    return Decoded::kMalformed;
  }
  return out.version() == kVersion ? Decoded::kMessage : Decoded::kOtherVersion;
}

template <typename Message>
Bytes encode_versioned(Message& packet) {
  packet.set_version(kVersion);
  Bytes out(packet.ByteSizeLong());
  packet.SerializeWithCachedSizesToArray(out.data());
  return out;
}

template <typename Message>
secret::SecretBuffer encode_record(const Message& message, ByteView payload) {
  const std::size_t size = message.ByteSizeLong();
  secret::SecretBuffer out(4 + size + payload.size());
  const MutableByteView octets = out.reveal();
  const auto length = be32(static_cast<std::uint32_t>(size));
  std::copy(length.begin(), length.end(), octets.begin());
  message.SerializeWithCachedSizesToArray(octets.data() + 4);
  std::copy(payload.begin(), payload.end(), octets.begin() + 4 + static_cast<std::ptrdiff_t>(size));
  return out;
}

template <typename Message>
bool decode_record(ByteView plaintext, Message& message, ByteView& payload) {
  const google::protobuf::LogSilencer quiet;
  if (plaintext.size() < 4) return false;
  const std::size_t length = read_be32(plaintext);
  const ByteView rest = plaintext.subspan(4);
  if (length > rest.size() || !message.ParseFromArray(rest.data(), static_cast<int>(length))) return false;
  payload = rest.subspan(length);
  return true;
}

}  // namespace

Decoded decode(ByteView packet, ClientPacket& out) { return decode_versioned(packet, out); }
Decoded decode(ByteView packet, ServerPacket& out) { return decode_versioned(packet, out); }
Decoded decode(ByteView packet, AdminRequest& out) { return decode_versioned(packet, out); }
Decoded decode(ByteView packet, AdminReply& out) { return decode_versioned(packet, out); }

Bytes encode(ClientPacket& packet) { return encode_versioned(packet); }
Bytes encode(ServerPacket& packet) { return encode_versioned(packet); }
Bytes encode(AdminRequest& packet) { return encode_versioned(packet); }
Bytes encode(AdminReply& packet) { return encode_versioned(packet); }

secret::SecretBuffer encode_session(const SessionRequest& message, ByteView payload) {
  return encode_record(message, payload);
}
secret::SecretBuffer encode_session(const SessionReply& message, ByteView payload) {
  return encode_record(message, payload);
}
bool decode_session(ByteView plaintext, SessionRequest& message, ByteView& payload) {
  return decode_record(plaintext, message, payload);
}
bool decode_session(ByteView plaintext, SessionReply& message, ByteView& payload) {
  return decode_record(plaintext, message, payload);
}

ServerPacket refusal(RefusalCode code, std::string text) {
  ServerPacket packet;
  packet.mutable_refused()->set_code(code);
  packet.mutable_refused()->set_text(std::move(text));
  return packet;
}

}  // namespace keyd::wire
