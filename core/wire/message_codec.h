// Protocol buffer messages to octets and back, with the version and size rules applied before anything is
// looked at.
#pragma once

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/secret/secret.h"
#include "core/wire/keyd.pb.h"
#include "core/wire/limits.h"

namespace keyd::wire {

enum class Decoded { kMessage, kMalformed, kOtherVersion };

// Parses a packet. kOtherVersion: well-formed, but of a version that we do not speak. A message without a
// body decodes; the reader of the body refuses it.
[[nodiscard]] Decoded decode(ByteView packet, ClientPacket& out);
[[nodiscard]] Decoded decode(ByteView packet, ServerPacket& out);
[[nodiscard]] Decoded decode(ByteView packet, AdminRequest& out);
[[nodiscard]] Decoded decode(ByteView packet, AdminReply& out);

// Serializes with `version` set to ours.
[[nodiscard]] Bytes encode(ClientPacket& packet);
[[nodiscard]] Bytes encode(ServerPacket& packet);
[[nodiscard]] Bytes encode(AdminRequest& packet);
[[nodiscard]] Bytes encode(AdminReply& packet);

// The plaintext of a session record: be32(length of message) | message | payload. The payload may be a
// secret, so the whole lies in locked memory.
[[nodiscard]] secret::SecretBuffer encode_session(const SessionRequest& message, ByteView payload);
[[nodiscard]] secret::SecretBuffer encode_session(const SessionReply& message, ByteView payload);

// Takes it apart; `payload` views into `plaintext`. False when it is malformed.
[[nodiscard]] bool decode_session(ByteView plaintext, SessionRequest& message, ByteView& payload);
[[nodiscard]] bool decode_session(ByteView plaintext, SessionReply& message, ByteView& payload);

[[nodiscard]] ServerPacket refusal(RefusalCode code, std::string text);

}  // namespace keyd::wire
