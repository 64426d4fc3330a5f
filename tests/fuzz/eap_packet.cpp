// What arrives as an EAP packet, of the srp exchange in either form or of anything else: nothing is read beyond it, and
// what decodes encodes again to the same octets.
#include "core/exchange/eap_packet.h"

#include <algorithm>

#include "core/exchange/eap_srp.h"
#include "core/exchange/srp_pseudonym.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {
namespace {

using namespace exchange;

bool same(const Result<Bytes>& again, ByteView octets) { return again && std::ranges::equal(*again, octets); }

void take_validator(const EapSrpForm& form, EapCode code, ByteView body) {
  const auto validator = decode_validator(form, code, body);
  if (!validator) return;
  must(same(encode_validator(form, code, *validator), body));
  must(code == EapCode::kRequest || validator->hidden_pseudonym.empty());
  const auto pseudonym = reveal_pseudonym(1, bytes_of("K"), bytes_of("user"), validator->hidden_pseudonym);
  must(!pseudonym || (!pseudonym->empty() && pseudonym->size() < validator->hidden_pseudonym.size()));
}

void take_body(const EapSrpForm& form, const EapSrpMessage& message) {
  const bool request = message.code == EapCode::kRequest;
  switch (message.subtype) {
    case SrpSubtype::kKey:
      if (const auto challenge =
              request ? decode_challenge(form, message.body) : fail(Code::kInvalid, "a key")) {
        must(same(encode_challenge(form, *challenge), message.body));
        must(!challenge->generator_octets().empty() && !challenge->modulus_octets().empty());
      }
      break;
    case SrpSubtype::kValidator:
      if (!request) take_validator(form, message.code, message.body);
      break;
    case SrpSubtype::kConfirmation:
      if (request) take_validator(form, message.code, message.body);
      break;
    case SrpSubtype::kLightRechallenge: break;
    case SrpSubtype::kChangePassword:
      if (request) {
        if (const auto change = decode_change_request(message.body))
          must(same(encode_change_request(*change), message.body));
      } else if (const auto change = decode_change_response(message.body)) {
        must(same(encode_change_response(*change), message.body));
      }
      break;
  }
}

void take(ByteView octets) {
  const auto packet = decode_eap(octets);
  const auto whole = decode_whole_eap(octets);
  must(!whole || (packet && packet->length() == octets.size()));
  if (packet) {
    must(packet->length() <= octets.size());
    must(same(encode_eap(*packet), octets.first(packet->length())));
    if (packet->has_type() && packet->type == eap_type::kExpanded) {
      if (const auto expanded = decode_expanded(packet->data))
        must(same(encode_expanded(*expanded), packet->data));
    }
  }
  int forms = 0;
  for (const EapSrpForm& form : {EapSrpForm::type19(), EapSrpForm::of_vendor()}) {
    const auto message = decode_srp_message(form, octets);
    if (!message) continue;
    ++forms;
    must(whole.has_value());
    must(same(encode_srp_message(form, *message), octets));
    take_body(form, *message);
  }
  must(forms <= 1);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  keyd::fuzz::take({data, size});
  return 0;
}
