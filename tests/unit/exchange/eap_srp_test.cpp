#include "core/exchange/eap_srp.h"

#include <gtest/gtest.h>

#include "core/exchange/srp_group.h"
#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using test::hex;
using test::run;
using test::text;

const EapSrpForm kForms[] = {EapSrpForm::type19(), EapSrpForm::of_vendor()};

Bytes message(const EapSrpForm& form, EapCode code, SrpSubtype subtype, const Bytes& body) {
  return *encode_srp_message(form, {.code = code, .identifier = 7, .subtype = subtype, .body = body});
}

// A body of every message, each way.
struct Example {
  EapCode code;
  SrpSubtype subtype;
  Bytes body;
};
std::vector<Example> examples(const EapSrpForm& form) {
  const Bytes proof = run(1, form.proof_size()), random = run(2, 32), mac = run(3, 32), value = run(4, 128);
  const Bytes name = text("keyd"), salt = run(5, 16), pseudonym = run(6, 40);
  const ChallengeBody challenge{.server_random = random,
                                .derivation = kDefaultDerivation,
                                .name = name,
                                .salt = salt,
                                .generator = {},
                                .modulus = {}};
  return {
      {EapCode::kRequest, SrpSubtype::kKey, *encode_challenge(form, challenge)},
      {EapCode::kResponse, SrpSubtype::kKey, value},
      {EapCode::kRequest, SrpSubtype::kValidator, value},
      {EapCode::kResponse, SrpSubtype::kValidator,
       *encode_validator(form, EapCode::kResponse, {.flags = 1, .proof = proof, .hidden_pseudonym = {}})},
      {EapCode::kRequest, SrpSubtype::kConfirmation,
       *encode_validator(form, EapCode::kRequest,
                         {.flags = 1, .proof = proof, .hidden_pseudonym = pseudonym})},
      {EapCode::kResponse, SrpSubtype::kConfirmation, {}},
      {EapCode::kRequest, SrpSubtype::kLightRechallenge, run(7, 16)},
      {EapCode::kResponse, SrpSubtype::kLightRechallenge, run(8, 20)},
      {EapCode::kRequest, SrpSubtype::kChangePassword,
       *encode_change_request(
           {.serial = 1, .flags = 1, .salt = salt, .modulus = value, .generator = name, .mac = mac})},
      {EapCode::kResponse, SrpSubtype::kChangePassword,
       *encode_change_response({.serial = 1, .verifier = value, .mac = mac})},
  };
}

TEST(EapSrp, EveryMessageGoesInBothFormsAndBack) {
  for (const EapSrpForm& form : kForms) {
    for (const Example& example : examples(form)) {
      const Bytes octets = message(form, example.code, example.subtype, example.body);
      const auto again = decode_srp_message(form, octets);
      ASSERT_TRUE(again);
      EXPECT_EQ(again->code, example.code);
      EXPECT_EQ(again->identifier, 7);
      EXPECT_EQ(again->subtype, example.subtype);
      EXPECT_EQ(to_hex(again->body), to_hex(example.body));
    }
  }
}

TEST(EapSrp, OneFormIsNotTheOtherNorAnotherVendors) {
  for (const Example& example : examples(kForms[0])) {
    const Bytes type19 = message(kForms[0], example.code, example.subtype, example.body);
    const Bytes expanded = message(kForms[1], example.code, example.subtype, example.body);
    EXPECT_FALSE(decode_srp_message(kForms[1], type19));
    EXPECT_FALSE(decode_srp_message(kForms[0], expanded));
    EXPECT_FALSE(decode_srp_message(EapSrpForm::of_vendor(kExampleVendor + 1), expanded));
  }
}

TEST(EapSrp, LaysOutAsTheTableSays) {
  EXPECT_EQ(to_hex(message(kForms[0], EapCode::kResponse, SrpSubtype::kConfirmation, {})), "020700061303");
  EXPECT_EQ(to_hex(message(kForms[1], EapCode::kResponse, SrpSubtype::kConfirmation, {})),
            "0207000cfe007ed900000003");
  EXPECT_EQ(to_hex(message(kForms[1], EapCode::kRequest, SrpSubtype::kChangePassword, {})),
            "0107000cfe007ed9000000c0");
  const ChallengeBody challenge{.server_random = {},
                                .derivation = {},
                                .name = bytes_of("keyd"),
                                .salt = bytes_of("ab"),
                                .generator = {},
                                .modulus = {}};
  EXPECT_EQ(to_hex(*encode_challenge(kForms[0], challenge)), "046b65796402616200");
}

TEST(EapSrp, AMessageIsCutAndExtendedInVain) {
  for (const EapSrpForm& form : kForms) {
    for (const Example& example : examples(form)) {
      Bytes octets = message(form, example.code, example.subtype, example.body);
      for (std::size_t cut = 0; cut < octets.size(); ++cut)
        EXPECT_FALSE(decode_srp_message(form, ByteView(octets).first(cut))) << cut;
      octets.push_back(0);
      EXPECT_FALSE(decode_srp_message(form, octets));
    }
  }
}

TEST(EapSrp, ThereAreNoOtherSubtypes) {
  for (std::uint32_t subtype = 0; subtype < 256; ++subtype) {
    const bool known = (subtype >= 1 && subtype <= 4) || subtype == 192;
    const Bytes type19 = hex("01070006130" + std::string("0"));
    Bytes octets = type19;
    octets[5] = static_cast<std::uint8_t>(subtype);
    EXPECT_EQ(decode_srp_message(kForms[0], octets).has_value(), known) << subtype;
  }
  EXPECT_FALSE(decode_srp_message(kForms[1], hex("0107000cfe007ed900000101")));  // 257
  EXPECT_FALSE(decode_srp_message(kForms[1], hex("0107000cfe007ed901000001")));
  EXPECT_FALSE(decode_srp_message(kForms[0], hex("0107000513")));  // none at all
  EXPECT_FALSE(decode_srp_message(kForms[0], hex("03070004")));
}

// pppd's CVE-2020-8597: a length that the parser believed.
TEST(EapSrp, AChallengesLengthsAreNotBelieved) {
  for (const char* body : {"", "04", "046b6579", "046b657964", "046b657964ff00", "046b65796402aabb",
                           "ff6b657964020102", "046b65796402aabb05aabb", "00", "0000"}) {
    EXPECT_FALSE(decode_challenge(kForms[0], hex(body))) << body;
  }
  const Bytes least = hex("000000");
  const auto empty = decode_challenge(kForms[0], least);
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->name.empty() && empty->salt.empty() && empty->modulus.empty());
}

TEST(EapSrp, AChallengeWithoutAGroupMeansTheDefaultOne) {
  const Bytes body = hex("046b65796402aabb00");
  const auto challenge = decode_challenge(kForms[0], body);
  ASSERT_TRUE(challenge);
  EXPECT_EQ(to_hex(challenge->generator_octets()), "02");
  EXPECT_EQ(to_hex(challenge->modulus_octets()), to_hex(SrpGroup::listed(2048)->modulus_octets()));
  EXPECT_EQ(to_hex(*encode_challenge(kForms[0], *challenge)), to_hex(body));
  const Bytes named = hex("046b65796402aabb010517");
  const auto other = decode_challenge(kForms[0], named);
  EXPECT_EQ(to_hex(other->generator_octets()), "05");
  EXPECT_EQ(to_hex(other->modulus_octets()), "17");
}

TEST(EapSrp, AnExpandedChallengeSaysHowXIsMade) {
  for (const Example& example : examples(kForms[1])) {
    if (example.subtype != SrpSubtype::kKey || example.code != EapCode::kRequest) continue;
    const auto challenge = decode_challenge(kForms[1], example.body);
    ASSERT_TRUE(challenge);
    EXPECT_EQ(challenge->derivation, kDefaultDerivation);
    EXPECT_EQ(to_hex(challenge->server_random), to_hex(run(2, 32)));
    Bytes unknown = example.body;
    unknown[32] = 9;
    EXPECT_FALSE(decode_challenge(kForms[1], unknown));
    EXPECT_FALSE(decode_challenge(kForms[1], ByteView(example.body).first(35)));
  }
}

TEST(EapSrp, EncodersRefuseWhatDoesNotFit) {
  const Bytes long_name(256), random(32);
  EXPECT_FALSE(encode_challenge(kForms[0], {.server_random = {},
                                            .derivation = {},
                                            .name = long_name,
                                            .salt = {},
                                            .generator = {},
                                            .modulus = {}}));
  EXPECT_FALSE(encode_challenge(kForms[1], {.server_random = ByteView(random).first(31),
                                            .derivation = {},
                                            .name = {},
                                            .salt = {},
                                            .generator = {},
                                            .modulus = {}}));
  EXPECT_FALSE(encode_change_request(
      {.serial = 0, .flags = 4, .salt = {}, .modulus = {}, .generator = {}, .mac = random}));
  EXPECT_FALSE(encode_change_response({.serial = 0, .verifier = {}, .mac = random}));
  EXPECT_FALSE(encode_change_response({.serial = 0, .verifier = random, .mac = ByteView(random).first(31)}));
  EXPECT_FALSE(encode_srp_message(
      kForms[0],
      {.code = EapCode::kRequest, .identifier = 1, .subtype = SrpSubtype::kKey, .body = Bytes(65530)}));
}

TEST(EapSrp, AValidatorIsExactlyFlagsAndProof) {
  for (const EapSrpForm& form : kForms) {
    const std::size_t size = 4 + form.proof_size();
    for (std::size_t n = 0; n < size + 41; ++n) {
      const Bytes body = run(0, n);
      EXPECT_EQ(decode_validator(form, EapCode::kResponse, body).has_value(), n == size) << n;
      EXPECT_EQ(decode_validator(form, EapCode::kRequest, body).has_value(),
                n >= size && (n - size) % 20 == 0)
          << n;
    }
    EXPECT_FALSE(
        encode_validator(form, EapCode::kResponse,
                         {.flags = 0, .proof = run(0, form.proof_size()), .hidden_pseudonym = run(0, 20)}));
  }
}

// Claims 2, 20, 34 (an EAP-SRP message) and 3, 21, 35 (a vendor's), 50 to 53: the data elements of figure 4 in each.
TEST(SrpClaims, Claims2And3And50To53TheMessagesOfAChangeInBothForms) {
  const Bytes salt = run(1, 16), N = run(2, 256), g = {2}, mac = run(3, 32), verifier = run(4, 256);
  const ChangeRequestBody request{.serial = 0x0102030405060708,
                                  .flags = ChangeRequestBody::kEncrypted,
                                  .salt = salt,
                                  .modulus = N,
                                  .generator = g,
                                  .mac = mac};
  const ChangeResponseBody response{.serial = request.serial, .verifier = verifier, .mac = mac};
  for (const EapSrpForm& form : kForms) {
    const Bytes asks =
        message(form, EapCode::kRequest, SrpSubtype::kChangePassword, *encode_change_request(request));
    const Bytes answers =
        message(form, EapCode::kResponse, SrpSubtype::kChangePassword, *encode_change_response(response));
    const auto asked = decode_change_request(decode_srp_message(form, asks)->body);
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->serial, request.serial);
    EXPECT_EQ(to_hex(asked->salt), to_hex(salt));
    EXPECT_EQ(to_hex(asked->modulus), to_hex(N));
    EXPECT_EQ(to_hex(asked->generator), "02");
    EXPECT_EQ(to_hex(asked->mac), to_hex(mac));
    const auto answered = decode_change_response(decode_srp_message(form, answers)->body);
    ASSERT_TRUE(answered);
    EXPECT_EQ(answered->serial, request.serial);
    EXPECT_EQ(to_hex(answered->verifier), to_hex(verifier));
    EXPECT_EQ(to_hex(answered->mac), to_hex(mac));
  }
}

// Claims 4, 7: salt and group may be those of before, and are then not there.
TEST(SrpClaims, Claims4And7AChangeMayKeepSaltAndGroup) {
  const Bytes mac = run(3, 20);
  const Bytes body = *encode_change_request(
      {.serial = 1, .flags = 0, .salt = {}, .modulus = {}, .generator = {}, .mac = mac});
  EXPECT_EQ(to_hex(body), "000000000000000100000000000000" + to_hex(mac));
  ASSERT_TRUE(decode_change_request(body));
  EXPECT_TRUE(decode_change_request(body)->salt.empty());
}

TEST(EapSrp, AChangeIsCutAndExtendedInVain) {
  const Bytes mac = run(3, 32), value = run(4, 40);
  const Bytes request = *encode_change_request(
      {.serial = 1, .flags = 3, .salt = value, .modulus = value, .generator = value, .mac = mac});
  const Bytes response = *encode_change_response({.serial = 1, .verifier = value, .mac = mac});
  for (std::size_t cut = 0; cut < request.size(); ++cut) {
    if (cut == request.size() - 12) continue;  // a MAC of 20 octets: not this one, but one
    EXPECT_FALSE(decode_change_request(ByteView(request).first(cut))) << cut;
  }
  for (std::size_t cut = 0; cut < response.size(); ++cut) {
    if (cut == response.size() - 12) continue;
    EXPECT_FALSE(decode_change_response(ByteView(response).first(cut))) << cut;
  }
  Bytes longer = request, flagged = request;
  longer.push_back(0);
  flagged[8] = 4;
  EXPECT_FALSE(decode_change_request(longer));
  EXPECT_FALSE(decode_change_request(flagged));
  longer = response;
  longer.push_back(0);
  EXPECT_FALSE(decode_change_response(longer));
}

}  // namespace
}  // namespace keyd::exchange
