#include "core/exchange/srp_password_change.h"

#include <algorithm>
#include <array>

#include "core/crypto/aead.h"
#include "core/crypto/digest.h"

namespace keyd::exchange {
namespace {

// ---- constants and labels

constexpr std::string_view kRequestLabel = "keyd/1 change request";
constexpr std::string_view kResponseLabel = "keyd/1 change response";
constexpr std::size_t kSealed =
    crypto::kAeadNonceSize + crypto::kAeadTagSize;  // octets more than what is in it

// The elements of figure 4, as the additional data of their encryption.
enum class Element : std::uint8_t { kSalt = 1, kModulus = 2, kGenerator = 3, kVerifier = 4 };

bool is_historic(const ChangeContext& context) { return context.suite == wire::SUITE_HISTORIC; }
crypto::Hash mac_hash(const ChangeContext& context) {
  return is_historic(context) ? crypto::Hash::kSha1 : crypto::Hash::kSha256;
}
Bytes copy_of(ByteView octets) { return {octets.begin(), octets.end()}; }

std::array<std::uint8_t, 2> be16(std::size_t size) {
  return {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)};
}

// ---- derivations

struct Associated {
  std::array<std::uint8_t, 9> octets{};  // which element of which question
  Associated(Element element, std::uint64_t serial) {
    octets[0] = static_cast<std::uint8_t>(element);
    std::ranges::copy(be64(serial), octets.begin() + 1);
  }
};

Result<Bytes> sealed_element(ByteView key, Element element, std::uint64_t serial, ByteView value,
                             const RandomSource& random) {
  Bytes out(value.size() + kSealed);
  const MutableByteView nonce = MutableByteView(out).first(crypto::kAeadNonceSize);
  if (!random(nonce)) return fail(Code::kBroken, "no random numbers");
  crypto::aead_seal(key, nonce, Associated(element, serial).octets, value,
                    MutableByteView(out).subspan(crypto::kAeadNonceSize));
  return out;
}

// Into `out`, which has exactly the size.
bool open_element(ByteView key, Element element, std::uint64_t serial, ByteView sealed, MutableByteView out) {
  return crypto::aead_open(key, sealed.first(crypto::kAeadNonceSize), Associated(element, serial).octets,
                           sealed.subspan(crypto::kAeadNonceSize), out);
}

Bytes mac_of(ByteView key, const ChangeContext& context, std::string_view label,
             const XDerivation& derivation, ByteView placed, ByteView before_mac) {
  Bytes out(crypto::size_of(mac_hash(context)));
  const bool request = label == kRequestLabel;
  const auto placed_size = be32(static_cast<std::uint32_t>(placed.size()));
  crypto::hmac(mac_hash(context), key,
               {bytes_of(label), be16(context.user.size()), bytes_of(context.user), derivation.octets(),
                request ? ByteView(placed_size) : ByteView(), placed, before_mac},
               out);
  return out;
}

// The packet with its MAC, which is its end.
Result<Bytes> with_mac(Result<Bytes> packet, ByteView key, const ChangeContext& context,
                       std::string_view label, const XDerivation& derivation, ByteView placed) {
  if (!packet) return packet;
  const std::size_t before = packet->size() - crypto::size_of(mac_hash(context));
  std::ranges::copy(mac_of(key, context, label, derivation, placed, ByteView(*packet).first(before)),
                    packet->begin() + static_cast<std::ptrdiff_t>(before));
  return packet;
}

bool has_mac(ByteView packet, ByteView key, const ChangeContext& context, std::string_view label,
             const XDerivation& derivation, ByteView placed) {
  const std::size_t size = crypto::size_of(mac_hash(context));
  if (packet.size() < size) return false;
  const ByteView before = packet.first(packet.size() - size);
  return crypto::constant_time_equal(packet.subspan(before.size()),
                                     mac_of(key, context, label, derivation, placed, before));
}

}  // namespace

// ---- what lies where both ends reach it

Bytes encode_placed(const PlacedParameters& parameters) {
  Bytes out;
  for (const Bytes* part : {&parameters.salt, &parameters.modulus, &parameters.generator}) {
    const auto size = be16(part->size());
    out.insert(out.end(), size.begin(), size.end());
    out.insert(out.end(), part->begin(), part->end());
  }
  return out;
}

Result<PlacedParameters> decode_placed(ByteView octets) {
  PlacedParameters out;
  for (Bytes* part : {&out.salt, &out.modulus, &out.generator}) {
    if (octets.size() < 2) return fail(Code::kInvalid, "the placed parameters are cut short");
    const std::size_t size = std::size_t{octets[0]} << 8 | octets[1];
    octets = octets.subspan(2);
    if (octets.size() < size) return fail(Code::kInvalid, "the placed parameters are cut short");
    *part = copy_of(octets.first(size));
    octets = octets.subspan(size);
  }
  if (!octets.empty()) return fail(Code::kInvalid, "octets behind the placed parameters");
  return out;
}

bool is_place_name(std::string_view name) {
  return name.size() == kPlaceNameSize &&
         std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// ---- the server's steps

PasswordChangeServer::PasswordChangeServer(SrpKeys keys, ChangeContext context)
    : keys_(std::move(keys)), context_(std::move(context)) {}

Result<Bytes> PasswordChangeServer::ask(Question question, const RandomSource& random) {
  question_.reset();
  placed_.clear();
  if (question.serial == 0) return fail(Code::kInvalid, "a question has a serial");
  if (question.as_eap_srp && !is_historic(context_))
    return fail(Code::kInvalid, "type 19 is of the historic suite");
  if (is_historic(context_) && question.fresh.derivation.kind != DerivationKind::kSha1)
    return fail(Code::kInvalid, "the historic suite takes verifiers by SHA-1");
  if (!question.place.empty() && !is_place_name(question.place)) return fail(Code::kInvalid, "no such place");

  const VerifierParameters& fresh = question.fresh;
  PlacedParameters elements;
  if (!question.same_salt) elements.salt = fresh.salt;
  if (!question.same_group) {
    elements.modulus = copy_of(fresh.group.modulus_octets());
    elements.generator = copy_of(fresh.group.generator_octets());
  }
  if (!question.place.empty()) {
    placed_ = encode_placed(elements);
    elements = {copy_of(bytes_of(question.place)), {}, {}};
  } else {
    for (auto [element, value] : {std::pair{Element::kSalt, &elements.salt},
                                  {Element::kModulus, &elements.modulus},
                                  {Element::kGenerator, &elements.generator}}) {
      if (value->empty()) continue;
      auto sealed =
          sealed_element(keys_.encrypt_client_to_server.reveal(), element, question.serial, *value, random);
      if (!sealed) return sealed;
      *value = std::move(*sealed);
    }
  }
  const Bytes room_for_mac(crypto::size_of(mac_hash(context_)));
  const auto body = encode_change_request(
      {.serial = question.serial,
       .flags = question.place.empty() ? ChangeRequestBody::kEncrypted : ChangeRequestBody::kElsewhere,
       .salt = elements.salt,
       .modulus = elements.modulus,
       .generator = elements.generator,
       .mac = room_for_mac});
  if (!body) return body;
  ++identifier_;
  auto packet = with_mac(encode_srp_message(question.as_eap_srp ? EapSrpForm::type19()
                                                                : EapSrpForm::of_vendor(context_.vendor_id),
                                            {.code = EapCode::kRequest,
                                             .identifier = identifier_,
                                             .subtype = SrpSubtype::kChangePassword,
                                             .body = *body}),
                         keys_.authenticate_client_to_server.reveal(), context_, kRequestLabel,
                         fresh.derivation, placed_);
  if (packet) question_ = std::move(question);
  return packet;
}

Result<SrpVerifier> PasswordChangeServer::take_answer(ByteView packet) const {
  if (!question_) return fail(Code::kRefused, "nothing is asked");
  const auto message = decode_srp_message(
      question_->as_eap_srp ? EapSrpForm::type19() : EapSrpForm::of_vendor(context_.vendor_id), packet);
  if (!message) return std::unexpected(message.error());
  if (message->code != EapCode::kResponse || message->subtype != SrpSubtype::kChangePassword ||
      message->identifier != identifier_)
    return fail(Code::kRefused, "not the answer to what is asked");
  const auto body = decode_change_response(message->body);
  if (!body) return std::unexpected(body.error());
  if (body->serial != question_->serial) return fail(Code::kRefused, "the answer to another question");
  if (!has_mac(packet, keys_.authenticate_server_to_client.reveal(), context_, kResponseLabel,
               question_->fresh.derivation, {}))
    return fail(Code::kRefused, "the answer's MAC is wrong");
  const SrpGroup& group = question_->fresh.group;
  if (body->verifier.size() != group.octets() + kSealed)
    return fail(Code::kInvalid, "the verifier does not have the modulus' size");
  secret::SecretBuffer padded(group.octets());
  if (!open_element(keys_.encrypt_server_to_client.reveal(), Element::kVerifier, body->serial, body->verifier,
                    padded.reveal()))
    return fail(Code::kRefused, "the verifier does not open");
  if (auto checked = check_verifier(group, padded.reveal()); !checked)
    return std::unexpected(checked.error());
  return SrpVerifier{group, question_->fresh.salt, question_->fresh.derivation,
                     crypto::Number::of(padded.reveal()).secret_octets()};
}

Bytes PasswordChangeServer::succeed() {
  question_.reset();
  placed_.clear();
  return *encode_eap({.code = EapCode::kSuccess, .identifier = identifier_, .type = 0, .data = {}});
}

// ---- the client's steps

PasswordChangeClient::PasswordChangeClient(SrpKeys keys, ChangeContext context, VerifierParameters before,
                                           SrpClientPolicy policy)
    : keys_(std::move(keys)),
      context_(std::move(context)),
      before_(std::move(before)),
      policy_(std::move(policy)) {}

Result<void> PasswordChangeClient::take_question(ByteView packet, ByteView derivation_octets,
                                                 const ReadPlaced& read_placed) {
  EapSrpForm form = EapSrpForm::of_vendor(context_.vendor_id);
  auto message = decode_srp_message(form, packet);
  if (!message && is_historic(context_)) {
    form = EapSrpForm::type19();
    message = decode_srp_message(form, packet);
  }
  if (!message) return std::unexpected(message.error());
  if (message->code != EapCode::kRequest || message->subtype != SrpSubtype::kChangePassword)
    return fail(Code::kRefused, "no question about the password");
  const auto body = decode_change_request(message->body);
  if (!body) return std::unexpected(body.error());
  const auto derivation = XDerivation::from(derivation_octets);
  if (!derivation) return std::unexpected(derivation.error());
  Bytes placed;
  if (body->flags == ChangeRequestBody::kElsewhere) {
    if (!is_place_name(text_of(body->salt)) || !body->modulus.empty() || !body->generator.empty())
      return fail(Code::kInvalid, "no place of parameters");
    auto read = read_placed(text_of(body->salt));
    if (!read) return std::unexpected(read.error());
    placed = std::move(*read);
  } else if (body->flags != ChangeRequestBody::kEncrypted) {
    return fail(Code::kInvalid, "the elements are neither encrypted nor elsewhere");
  }
  // Claims 6, 24, 38: before anything in it is believed.
  if (!has_mac(packet, keys_.authenticate_client_to_server.reveal(), context_, kRequestLabel, *derivation,
               placed))
    return fail(Code::kRefused, "the question's MAC is wrong");
  // The same one again is one: its octets, and so its Identifier, stay.
  if (question_ && body->serial == question_->serial && message->identifier == question_->identifier)
    return {};
  if (body->serial <= last_serial_) return fail(Code::kRefused, "a question from before");
  auto fresh = parameters_of(*body, placed, *derivation);
  if (!fresh) return std::unexpected(fresh.error());
  last_serial_ = body->serial;
  question_ = Question{body->serial, message->identifier, form, std::move(*fresh)};
  return {};
}

Result<VerifierParameters> PasswordChangeClient::parameters_of(const ChangeRequestBody& body, ByteView placed,
                                                               const XDerivation& derivation) const {
  PlacedParameters elements;
  if (body.flags == ChangeRequestBody::kElsewhere) {
    auto decoded = decode_placed(placed);
    if (!decoded) return std::unexpected(decoded.error());
    elements = std::move(*decoded);
  } else {
    for (const auto& [element, sealed, into] : {std::tuple{Element::kSalt, body.salt, &elements.salt},
                                                {Element::kModulus, body.modulus, &elements.modulus},
                                                {Element::kGenerator, body.generator, &elements.generator}}) {
      if (sealed.empty()) continue;
      if (sealed.size() <= kSealed) return fail(Code::kInvalid, "an element without a value");
      into->resize(sealed.size() - kSealed);
      if (!open_element(keys_.encrypt_client_to_server.reveal(), element, body.serial, sealed, *into))
        return fail(Code::kRefused, "an element does not open");
    }
  }
  if (elements.modulus.empty() != elements.generator.empty())
    return fail(Code::kInvalid, "a modulus and its generator come together");
  if (elements.salt.size() > kLongestSalt) return fail(Code::kInvalid, "the salt is too long");
  // Weighed before any work, and before anybody is asked: the server has proved that it knows the old verifier, no more.
  if (is_historic(context_) ? derivation.kind != DerivationKind::kSha1
                            : !check_derivation(derivation, policy_.derivations))
    return fail(Code::kRefused, "the new verifier would be derived in a way that is not taken");
  VerifierParameters out = before_;
  out.derivation = derivation;
  if (!elements.salt.empty()) out.salt = std::move(elements.salt);
  if (!elements.modulus.empty()) {
    auto group = accept_group(elements.modulus, elements.generator, policy_.groups);
    if (!group) return std::unexpected(group.error());
    out.group = std::move(*group);
  }
  return out;
}

Result<Bytes> PasswordChangeClient::answer(ByteView v, const RandomSource& random) const {
  if (!question_) return fail(Code::kRefused, "nothing is asked");
  const VerifierParameters& fresh = question_->fresh;
  if (auto checked = check_verifier(fresh.group, v); !checked) return std::unexpected(checked.error());
  const auto padded = crypto::Number::of(v).secret_octets(fresh.group.octets());
  auto sealed = sealed_element(keys_.encrypt_server_to_client.reveal(), Element::kVerifier, question_->serial,
                               padded.reveal(), random);
  if (!sealed) return sealed;
  const Bytes room_for_mac(crypto::size_of(mac_hash(context_)));
  const auto body =
      encode_change_response({.serial = question_->serial, .verifier = *sealed, .mac = room_for_mac});
  if (!body) return body;
  return with_mac(encode_srp_message(question_->form, {.code = EapCode::kResponse,
                                                       .identifier = question_->identifier,
                                                       .subtype = SrpSubtype::kChangePassword,
                                                       .body = *body}),
                  keys_.authenticate_server_to_client.reveal(), context_, kResponseLabel, fresh.derivation,
                  {});
}

bool PasswordChangeClient::take_success(ByteView packet) {
  const auto eap = decode_whole_eap(packet);
  if (!question_ || !eap || eap->code != EapCode::kSuccess || eap->identifier != question_->identifier)
    return false;
  question_.reset();
  return true;
}

}  // namespace keyd::exchange
