// Packets of the Extensible Authentication Protocol (RFC 3748, section 4): the header that all have, and the Expanded
// type around a vendor's own messages (section 5.7). Octets to fields and back; what is said is eap_srp.h's.
//
//   0            1            2 3       4         5 …
//   Code         Identifier   Length    Type      Type-Data            Success and Failure end after Length
//
//   Type 254:    Vendor-Id (3)          Vendor-Type (4)      Vendor-Data
#pragma once

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace keyd::exchange {

enum class EapCode : std::uint8_t { kRequest = 1, kResponse = 2, kSuccess = 3, kFailure = 4 };

namespace eap_type {
inline constexpr std::uint8_t kIdentity = 1, kNotification = 2, kNak = 3, kSrpSha1 = 19, kExpanded = 254;
}

inline constexpr std::size_t kLongestEapPacket = 65535;  // octets

struct EapPacket {
  EapCode code = EapCode::kRequest;
  std::uint8_t identifier = 0;  // a Response has its Request's
  std::uint8_t type = 0;        // of a Request or Response
  ByteView data;                // of a Request or Response; into what was decoded

  [[nodiscard]] bool has_type() const { return code == EapCode::kRequest || code == EapCode::kResponse; }
  // Octets of the packet.
  [[nodiscard]] std::size_t length() const { return has_type() ? 5 + data.size() : 4; }
};

// The packet at the start of `octets`. Behind its Length may be what a link layer filled a frame up with; it is not
// looked at (RFC 3748, section 4.1). kInvalid: cut short, an unknown Code, a Length that its Code cannot have.
[[nodiscard]] Result<EapPacket> decode_eap(ByteView octets);
// The same, with nothing behind it.
[[nodiscard]] Result<EapPacket> decode_whole_eap(ByteView octets);
// kInvalid: longer than kLongestEapPacket.
[[nodiscard]] Result<Bytes> encode_eap(const EapPacket& packet);

// The Type-Data of an Expanded packet.
struct EapExpanded {
  std::uint32_t vendor_id = 0;  // an IANA Private Enterprise Number, below 2^24
  std::uint32_t vendor_type = 0;
  ByteView data;
};
// kInvalid: shorter than its two fields.
[[nodiscard]] Result<EapExpanded> decode_expanded(ByteView data);
// kInvalid: a vendor that does not fit.
[[nodiscard]] Result<Bytes> encode_expanded(const EapExpanded& expanded);

}  // namespace keyd::exchange
