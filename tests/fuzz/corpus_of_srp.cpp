#include "tests/fuzz/corpus_of_srp.h"

#include "core/exchange/eap_srp.h"
#include "core/exchange/srp_pseudonym.h"
#include "tests/fuzz/change_scene.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/srp_scene.h"

namespace keyd::fuzz {
namespace {

using namespace exchange;

Bytes octets(std::string_view text) {
  const ByteView view = bytes_of(text);
  return {view.begin(), view.end()};
}

void save_plain_packets(const SaveSeed& save) {
  const auto one = [&](const std::string& name, const EapPacket& packet) {
    save("eap_packet", name, *encode_eap(packet));
  };
  const Bytes name = octets("alice"), nak{4},
              vendor = *encode_expanded({.vendor_id = 1, .vendor_type = 2, .data = name});
  one("identity", {.code = EapCode::kResponse, .identifier = 6, .type = eap_type::kIdentity, .data = name});
  one("nak", {.code = EapCode::kResponse, .identifier = 7, .type = eap_type::kNak, .data = nak});
  one("vendor", {.code = EapCode::kRequest, .identifier = 8, .type = eap_type::kExpanded, .data = vendor});
  one("success", {.code = EapCode::kSuccess, .identifier = 9, .type = 0, .data = {}});
  Bytes padded = *encode_eap({.code = EapCode::kFailure, .identifier = 9, .type = 0, .data = {}});
  padded.resize(60);
  save("eap_packet", "failure_padded", padded);
}

void save_messages(const SaveSeed& save, const std::string& prefix, const EapSrpForm& form) {
  const auto one = [&](const std::string& name, EapCode code, SrpSubtype subtype, const Result<Bytes>& body) {
    must(body.has_value());
    save("eap_packet", prefix + name,
         *encode_srp_message(form, {.code = code, .identifier = 3, .subtype = subtype, .body = *body}));
  };
  const Bytes random(32, 'S'), salt(16, 's'), proof(form.proof_size(), 'M'), mac(32, 'm'), value(8, 'v'),
      g{2};
  const Bytes name = octets("keyd.example");
  FixedRandom fill('f');
  const Bytes hidden = *hide_pseudonym(3, value, name, bytes_of("somebody else tomorrow"), std::ref(fill));
  one("challenge", EapCode::kRequest, SrpSubtype::kKey,
      encode_challenge(form, {.server_random = random,
                              .derivation = kDefaultDerivation,
                              .name = name,
                              .salt = salt,
                              .generator = g,
                              .modulus = srp_group().modulus_octets()}));
  one("challenge_default", EapCode::kRequest, SrpSubtype::kKey,
      encode_challenge(form, {.server_random = random,
                              .derivation = {},
                              .name = name,
                              .salt = salt,
                              .generator = {},
                              .modulus = {}}));
  one("client_key", EapCode::kResponse, SrpSubtype::kKey, value);
  one("server_key", EapCode::kRequest, SrpSubtype::kValidator, value);
  one("client_validator", EapCode::kResponse, SrpSubtype::kValidator,
      encode_validator(form, EapCode::kResponse, {.flags = 1, .proof = proof, .hidden_pseudonym = {}}));
  one("server_validator", EapCode::kRequest, SrpSubtype::kConfirmation,
      encode_validator(form, EapCode::kRequest, {.flags = 1, .proof = proof, .hidden_pseudonym = hidden}));
  one("ack", EapCode::kResponse, SrpSubtype::kConfirmation, Bytes());
  one("light_rechallenge", EapCode::kRequest, SrpSubtype::kLightRechallenge, salt);
  one("change_request", EapCode::kRequest, SrpSubtype::kChangePassword,
      encode_change_request({.serial = 7,
                             .flags = ChangeRequestBody::kEncrypted,
                             .salt = salt,
                             .modulus = value,
                             .generator = g,
                             .mac = mac}));
  one("change_response", EapCode::kResponse, SrpSubtype::kChangePassword,
      encode_change_response({.serial = 7, .verifier = value, .mac = mac}));
}

// A step is its number and how its packet is delivered (0: as it was said); step 3 has one more: the password.
void save_scripts(const SaveSeed& save) {
  const Bytes honest{8, 0, 0, 1, 0, 2, 0, 3, 0, 0, 4, 0, 5, 0, 6, 0, 7, 0};
  for (std::uint8_t variant = 0; variant < kSrpVariants; ++variant) {
    Bytes script{variant};
    script.insert(script.end(), honest.begin(), honest.end());
    save("srp_steps", "exchange_" + std::to_string(variant), script);
    script[10] = 3;
    save("srp_steps", "wrong_password_" + std::to_string(variant), script);
  }
  save("srp_steps", "repeated_proof", Bytes{0, 8, 0, 0, 1, 0, 2, 0, 3, 0, 0, 4, 0, 4, 0xd4, 6, 0xd6});
  save("srp_steps", "reflected", Bytes{1, 8, 0, 0, 1, 0, 2, 0, 4, 0xd3, 3, 0xd2, 0});
  save("srp_steps", "altered_key", Bytes{0, 8, 0, 0, 1, 0, 2, 0xf0, 0, 12, 1, 3, 0, 0, 4, 0});
  save("srp_steps", "cut_validator", Bytes{2, 8, 0, 0, 1, 0, 2, 0, 3, 0, 0, 4, 0xe0, 1});
}

// Steps of password_change.cpp: 0 ask, 1 the question is delivered (how, what is placed, the derivation), 2 answer, 3 the
// answer is delivered (how), 4 success, 5 withdrawn.
void save_changes(const SaveSeed& save) {
  for (std::uint8_t variant = 0; variant < kChangeVariants; ++variant) {
    const bool placed = variant == 3;
    Bytes script{variant, 0, 1, 0};
    if (placed) script.push_back(0);
    for (const int octet : {0, 2, 3, 0, 4, 0, 1, 0}) script.push_back(static_cast<std::uint8_t>(octet));
    if (placed) script.push_back(0);
    for (const int octet : {0, 2, 3, 0xd0, 3, 0, 4}) script.push_back(static_cast<std::uint8_t>(octet));
    save("password_change", "twice_" + std::to_string(variant), script);
  }
  save("password_change", "altered_question", Bytes{0, 0, 1, 0xf0, 0, 40, 1, 0, 1, 0, 0, 2, 3, 0});
  save("password_change", "altered_answer", Bytes{0, 0, 1, 0, 0, 2, 3, 0xf0, 0, 30, 1, 3, 0});
  save("password_change", "reflected", Bytes{1, 0, 1, 0, 0, 2, 3, 0xc0, 1, 0xc0, 0});
  save("password_change", "late", Bytes{2, 0, 1, 0, 0, 2, 5, 3, 0, 0, 3, 0, 4});
  save("password_change", "altered_place", Bytes{3, 0, 1, 0, 0xff, 0, 3, 1, 0});
  save("password_change", "placed",
       encode_placed({.salt = Bytes(16, 's'), .modulus = Bytes(8, 'N'), .generator = Bytes(1, 2)}));
}

}  // namespace

void save_srp_seeds(const SaveSeed& save) {
  save_plain_packets(save);
  save_messages(save, "type19_", EapSrpForm::type19());
  save_messages(save, "expanded_", EapSrpForm::of_vendor());
  save_scripts(save);
  save_changes(save);
}

}  // namespace keyd::fuzz
