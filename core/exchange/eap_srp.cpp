// Every field is taken by Fields, which knows what is left, and every decoder ends by asking that nothing is: no
// length that a peer says is believed. The encoders refuse what the decoders would.
#include "core/exchange/eap_srp.h"

#include <algorithm>

#include "core/exchange/srp_group.h"

namespace keyd::exchange {
namespace {

constexpr std::size_t kServerRandom = 32, kFlags = 4, kSerial = 8;  // octets
constexpr std::size_t kPseudonymBlock = 20;
constexpr std::uint8_t kDefaultGenerator = 2;
constexpr unsigned kDefaultBits = 2048;

// Octets taken from the front. Once one was missing all are.
class Fields {
 public:
  explicit Fields(ByteView octets) : rest_(octets) {}

  ByteView take(std::size_t size) {
    if (size > rest_.size()) missing_ = true;
    if (missing_) return {};
    const ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  // Octets behind their length of 1 or 2 octets.
  ByteView counted(std::size_t length_size) {
    std::size_t size = 0;
    for (const std::uint8_t octet : take(length_size)) size = size << 8 | octet;
    return take(size);
  }
  ByteView rest() { return take(rest_.size()); }
  [[nodiscard]] bool ended() const { return !missing_ && rest_.empty(); }

 private:
  ByteView rest_;
  bool missing_ = false;
};

class Written {
 public:
  Written& add(ByteView octets) {
    out_.insert(out_.end(), octets.begin(), octets.end());
    return *this;
  }
  Written& counted(std::size_t length_size, ByteView octets) {
    if (octets.size() >> (8 * length_size) != 0) fits_ = false;
    for (std::size_t i = length_size; i-- > 0;)
      out_.push_back(static_cast<std::uint8_t>(octets.size() >> (8 * i)));
    return add(octets);
  }
  [[nodiscard]] Result<Bytes> done() {
    if (!fits_) return fail(Code::kInvalid, "a field is longer than its length can say");
    return std::move(out_);
  }

 private:
  Bytes out_;
  bool fits_ = true;
};

bool is_subtype(std::uint32_t number) {
  return (number >= 1 && number <= 4) || number == static_cast<std::uint32_t>(SrpSubtype::kChangePassword);
}

bool is_mac(ByteView mac) { return mac.size() == crypto::kSha1Size || mac.size() == crypto::kSha256Size; }

}  // namespace

Result<EapSrpMessage> decode_srp_message(const EapSrpForm& form, ByteView octets) {
  const auto packet = decode_whole_eap(octets);
  if (!packet) return std::unexpected(packet.error());
  std::uint32_t subtype = 0;
  EapSrpMessage out{
      .code = packet->code, .identifier = packet->identifier, .subtype = SrpSubtype::kKey, .body = {}};
  if (!packet->has_type()) return fail(Code::kInvalid, "an EAP packet without a message");
  if (form.expanded) {
    if (packet->type != eap_type::kExpanded) return fail(Code::kInvalid, "not an Expanded EAP packet");
    const auto expanded = decode_expanded(packet->data);
    if (!expanded) return std::unexpected(expanded.error());
    if (expanded->vendor_id != form.vendor_id) return fail(Code::kInvalid, "a message of another vendor");
    subtype = expanded->vendor_type;
    out.body = expanded->data;
  } else {
    if (packet->type != eap_type::kSrpSha1 || packet->data.empty())
      return fail(Code::kInvalid, "not EAP-SRP");
    subtype = packet->data[0];
    out.body = packet->data.subspan(1);
  }
  if (!is_subtype(subtype)) return fail(Code::kInvalid, "an unknown subtype");
  out.subtype = static_cast<SrpSubtype>(subtype);
  return out;
}

Result<Bytes> encode_srp_message(const EapSrpForm& form, const EapSrpMessage& message) {
  const auto subtype = static_cast<std::uint8_t>(message.subtype);
  EapPacket packet{
      .code = message.code, .identifier = message.identifier, .type = eap_type::kSrpSha1, .data = {}};
  Bytes data;
  if (form.expanded) {
    auto expanded =
        encode_expanded({.vendor_id = form.vendor_id, .vendor_type = subtype, .data = message.body});
    if (!expanded) return expanded;
    packet.type = eap_type::kExpanded;
    data = std::move(*expanded);
  } else {
    data.push_back(subtype);
    data.insert(data.end(), message.body.begin(), message.body.end());
  }
  packet.data = data;
  return encode_eap(packet);
}

Bytes ChallengeBody::generator_octets() const {
  if (generator.empty()) return {kDefaultGenerator};
  return {generator.begin(), generator.end()};
}

Bytes ChallengeBody::modulus_octets() const {
  if (!modulus.empty()) return {modulus.begin(), modulus.end()};
  const ByteView known = SrpGroup::listed(kDefaultBits)->modulus_octets();
  return {known.begin(), known.end()};
}

Result<ChallengeBody> decode_challenge(const EapSrpForm& form, ByteView body) {
  Fields fields(body);
  ChallengeBody out;
  if (form.expanded) {
    out.server_random = fields.take(kServerRandom);
    const auto derivation = XDerivation::from(fields.take(XDerivation::kSize));
    if (!derivation) return std::unexpected(derivation.error());
    out.derivation = *derivation;
  }
  out.name = fields.counted(1);
  out.salt = fields.counted(1);
  out.generator = fields.counted(1);
  out.modulus = fields.rest();
  if (!fields.ended()) return fail(Code::kInvalid, "the Challenge is cut short");
  return out;
}

Result<Bytes> encode_challenge(const EapSrpForm& form, const ChallengeBody& challenge) {
  Written out;
  if (form.expanded) {
    if (challenge.server_random.size() != kServerRandom)
      return fail(Code::kInvalid, "server random is 32 octets");
    out.add(challenge.server_random).add(challenge.derivation.octets());
  }
  out.counted(1, challenge.name)
      .counted(1, challenge.salt)
      .counted(1, challenge.generator)
      .add(challenge.modulus);
  return out.done();
}

Result<ValidatorBody> decode_validator(const EapSrpForm& form, EapCode code, ByteView body) {
  Fields fields(body);
  ValidatorBody out;
  const ByteView flags = fields.take(kFlags);
  out.proof = fields.take(form.proof_size());
  if (code == EapCode::kRequest) out.hidden_pseudonym = fields.rest();
  if (!fields.ended()) return fail(Code::kInvalid, "not a Validator of the right length");
  if (out.hidden_pseudonym.size() % kPseudonymBlock != 0)
    return fail(Code::kInvalid, "a hidden pseudonym comes in blocks of 20 octets");
  out.flags = read_be32(flags);
  return out;
}

Result<Bytes> encode_validator(const EapSrpForm& form, EapCode code, const ValidatorBody& validator) {
  if (validator.proof.size() != form.proof_size())
    return fail(Code::kInvalid, "not a proof of the right length");
  if (validator.hidden_pseudonym.size() % kPseudonymBlock != 0 ||
      (code != EapCode::kRequest && !validator.hidden_pseudonym.empty())) {
    return fail(Code::kInvalid, "a hidden pseudonym is the server's, in blocks of 20 octets");
  }
  return Written().add(be32(validator.flags)).add(validator.proof).add(validator.hidden_pseudonym).done();
}

Result<ChangeRequestBody> decode_change_request(ByteView body) {
  Fields fields(body);
  ChangeRequestBody out;
  const ByteView serial = fields.take(kSerial), flags = fields.take(1);
  out.salt = fields.counted(2);
  out.modulus = fields.counted(2);
  out.generator = fields.counted(2);
  out.mac = fields.rest();
  if (!fields.ended() || !is_mac(out.mac)) return fail(Code::kInvalid, "not a request of the right length");
  out.serial = read_be64(serial);
  out.flags = flags[0];
  if ((out.flags & ~(ChangeRequestBody::kEncrypted | ChangeRequestBody::kElsewhere)) != 0)
    return fail(Code::kInvalid, "unknown flags");
  return out;
}

Result<Bytes> encode_change_request(const ChangeRequestBody& request) {
  if (!is_mac(request.mac)) return fail(Code::kInvalid, "a MAC has 20 or 32 octets");
  if ((request.flags & ~(ChangeRequestBody::kEncrypted | ChangeRequestBody::kElsewhere)) != 0)
    return fail(Code::kInvalid, "unknown flags");
  return Written()
      .add(be64(request.serial))
      .add({&request.flags, 1})
      .counted(2, request.salt)
      .counted(2, request.modulus)
      .counted(2, request.generator)
      .add(request.mac)
      .done();
}

Result<ChangeResponseBody> decode_change_response(ByteView body) {
  Fields fields(body);
  ChangeResponseBody out;
  const ByteView serial = fields.take(kSerial);
  out.verifier = fields.counted(2);
  out.mac = fields.rest();
  if (!fields.ended() || out.verifier.empty() || !is_mac(out.mac))
    return fail(Code::kInvalid, "not a response of the right length");
  out.serial = read_be64(serial);
  return out;
}

Result<Bytes> encode_change_response(const ChangeResponseBody& response) {
  if (response.verifier.empty() || !is_mac(response.mac))
    return fail(Code::kInvalid, "a response has a verifier, and a MAC of 20 or 32 octets");
  return Written().add(be64(response.serial)).counted(2, response.verifier).add(response.mac).done();
}

}  // namespace keyd::exchange
