#include "core/exchange/eap_packet.h"

namespace keyd::exchange {
namespace {

constexpr std::size_t kHeader = 4, kTyped = 5, kExpandedHeader = 7;  // octets

}  // namespace

Result<EapPacket> decode_eap(ByteView octets) {
  if (octets.size() < kHeader) return fail(Code::kInvalid, "an EAP packet has 4 octets at least");
  const std::size_t length = std::size_t{octets[2]} << 8 | octets[3];
  if (length > octets.size()) return fail(Code::kInvalid, "the EAP packet is cut short");
  EapPacket out{.code = static_cast<EapCode>(octets[0]), .identifier = octets[1], .type = 0, .data = {}};
  switch (out.code) {
    case EapCode::kRequest:
    case EapCode::kResponse:
      if (length < kTyped) return fail(Code::kInvalid, "an EAP Request or Response without a Type");
      out.type = octets[4];
      out.data = octets.subspan(kTyped, length - kTyped);
      return out;
    case EapCode::kSuccess:
    case EapCode::kFailure:
      // RFC 3748 section 4.2: "contain no additional data".
      if (length != kHeader) return fail(Code::kInvalid, "an EAP Success or Failure that is not 4 octets");
      return out;
  }
  return fail(Code::kInvalid, "an unknown EAP Code");
}

Result<EapPacket> decode_whole_eap(ByteView octets) {
  auto out = decode_eap(octets);
  if (out && out->length() != octets.size()) return fail(Code::kInvalid, "octets behind the EAP packet");
  return out;
}

Result<Bytes> encode_eap(const EapPacket& packet) {
  const std::size_t length = packet.length();
  if (length > kLongestEapPacket) return fail(Code::kInvalid, "too long for an EAP packet");
  Bytes out{static_cast<std::uint8_t>(packet.code), packet.identifier, static_cast<std::uint8_t>(length >> 8),
            static_cast<std::uint8_t>(length)};
  out.reserve(length);
  if (!packet.has_type()) return out;
  out.push_back(packet.type);
  out.insert(out.end(), packet.data.begin(), packet.data.end());
  return out;
}

Result<EapExpanded> decode_expanded(ByteView data) {
  if (data.size() < kExpandedHeader)
    return fail(Code::kInvalid, "an Expanded packet without vendor and type");
  return EapExpanded{.vendor_id = read_be32(data) >> 8,
                     .vendor_type = read_be32(data.subspan(3)),
                     .data = data.subspan(kExpandedHeader)};
}

Result<Bytes> encode_expanded(const EapExpanded& expanded) {
  if (expanded.vendor_id >= 1u << 24) return fail(Code::kInvalid, "a vendor has 24 bits");
  const auto vendor = be32(expanded.vendor_id), type = be32(expanded.vendor_type);
  Bytes out(vendor.begin() + 1, vendor.end());
  out.insert(out.end(), type.begin(), type.end());
  out.insert(out.end(), expanded.data.begin(), expanded.data.end());
  return out;
}

}  // namespace keyd::exchange
