// EAP and EAP-SRP packets: decoded into their fields, and encoded again from these.
#include "core/exchange/eap_packet.h"
#include "core/exchange/eap_srp.h"
#include "tests/vectors/families.h"

namespace keyd::vectors {
namespace {

using namespace exchange;

template <typename T>
T value_of(Result<T> result) {
  if (!result) throw CaseFailed(result.error().message());
  return std::move(*result);
}

// A packet's octets without what a link layer put behind them.
Bytes whole(const EapPacket& packet) { return value_of(encode_eap(packet)); }

void add_challenge(const EapSrpForm& form, ByteView body, Json& out, Bytes& again) {
  const ChallengeBody challenge = value_of(decode_challenge(form, body));
  out["server_name"] = to_hex(challenge.name);
  out["salt"] = to_hex(challenge.salt);
  out["generator"] = to_hex(challenge.generator_octets());
  out["modulus"] = to_hex(challenge.modulus_octets());
  again = value_of(encode_challenge(form, challenge));
}

void add_validator(const EapSrpForm& form, EapCode code, ByteView body, Json& out, Bytes& again) {
  const ValidatorBody validator = value_of(decode_validator(form, code, body));
  out["flags"] = to_hex(be32(validator.flags));
  out[code == EapCode::kRequest ? "M2" : "M1"] = to_hex(validator.proof);
  if (code == EapCode::kRequest) out["hidden_pseudonym"] = to_hex(validator.hidden_pseudonym);
  again = value_of(encode_validator(form, code, validator));
}

void add_change(const EapSrpMessage& message, Json& out, Bytes& again) {
  if (message.code == EapCode::kRequest) {
    const ChangeRequestBody request = value_of(decode_change_request(message.body));
    out["salt"] = to_hex(request.salt);
    out["modulus"] = to_hex(request.modulus);
    out["generator"] = to_hex(request.generator);
    out["mac"] = to_hex(request.mac);
    again = value_of(encode_change_request(request));
  } else {
    const ChangeResponseBody response = value_of(decode_change_response(message.body));
    out["verifier"] = to_hex(response.verifier);
    out["mac"] = to_hex(response.mac);
    again = value_of(encode_change_response(response));
  }
}

// The fields of an EAP-SRP message; its octets again.
Bytes add_srp(const EapPacket& packet, Json& out) {
  const EapSrpForm form = EapSrpForm::type19();
  EapSrpMessage message = value_of(decode_srp_message(form, whole(packet)));
  message.body = packet.data.subspan(1);  // the temporary's went with it
  const bool request = message.code == EapCode::kRequest;
  out["subtype"] = static_cast<int>(message.subtype);
  Bytes again(message.body.begin(), message.body.end());
  switch (message.subtype) {
    case SrpSubtype::kKey:
      if (request) {
        add_challenge(form, message.body, out, again);
      } else {
        out["A"] = to_hex(message.body);
      }
      break;
    case SrpSubtype::kValidator:
      if (request) {
        out["B"] = to_hex(message.body);
      } else {
        add_validator(form, message.code, message.body, out, again);
      }
      break;
    case SrpSubtype::kConfirmation:
      if (request) {
        add_validator(form, message.code, message.body, out, again);
      } else if (!message.body.empty()) {
        throw CaseFailed("an Ack says nothing");
      }
      break;
    case SrpSubtype::kLightRechallenge: out[request ? "challenge" : "digest"] = to_hex(message.body); break;
    case SrpSubtype::kChangePassword: add_change(message, out, again); break;
  }
  message.body = again;
  return value_of(encode_srp_message(form, message));
}

Bytes add_expanded(const EapPacket& packet, Json& out) {
  const EapExpanded expanded = value_of(decode_expanded(packet.data));
  out["vendor_id"] = expanded.vendor_id;
  out["vendor_type"] = expanded.vendor_type;
  out["data"] = to_hex(expanded.data);
  EapPacket again = packet;
  const Bytes data = value_of(encode_expanded(expanded));
  again.data = data;
  return whole(again);
}

Json fields_of(const EapPacket& packet) {
  Json out{{"code", static_cast<int>(packet.code)}, {"id", packet.identifier}, {"length", packet.length()}};
  Bytes again;
  if (packet.has_type()) out["type"] = packet.type;
  if (packet.has_type() && packet.type == eap_type::kSrpSha1) {
    again = add_srp(packet, out);
  } else if (packet.has_type() && packet.type == eap_type::kExpanded) {
    again = add_expanded(packet, out);
  } else {
    if (packet.has_type()) out["data"] = to_hex(packet.data);
    again = whole(packet);
  }
  out["reencoded"] = to_hex(again);
  return out;
}

}  // namespace

Json eap_packets(const Json& test) {
  const Bytes packet = octets(test, "hex");
  try {
    return fields_of(value_of(decode_eap(packet)));
  } catch (const CaseFailed&) {
    return {{"result", "reject"}};
  }
}

}  // namespace keyd::vectors
