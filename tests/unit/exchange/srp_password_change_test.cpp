#include "core/exchange/srp_password_change.h"

#include <gtest/gtest.h>

#include "core/crypto/aead.h"
#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using test::FixedRandom;
using test::run;
using test::text;

constexpr std::string_view kNewPassword = "9 new words for ada";

// A session's two ends after an exchange in the 1024-bit group, and what is asked in it.
struct Scene {
  wire::Suite suite = wire::SUITE_MODERN;
  bool as_eap_srp = false, same_salt = false, same_group = false, placed = false;
  unsigned bits = 1024;
};

struct Ends {
  explicit Ends(const Scene& of, std::uint8_t session = 1, std::string user = "ada")
      : scene(of),
        server(keys(session), {user, of.suite}),
        client(keys(session), {user, of.suite}, before(), policy()) {}

  [[nodiscard]] SrpKeys keys(std::uint8_t session) const {
    return scene.suite == wire::SUITE_HISTORIC ? historic_srp_keys(run(session, 40), run(2, 32), run(3, 32))
                                               : modern_srp_keys(run(session, 32), run(2, 32));
  }
  [[nodiscard]] XDerivation derivation() const {
    if (scene.suite == wire::SUITE_HISTORIC) return {};
    return {DerivationKind::kSha256, {}};
  }
  [[nodiscard]] VerifierParameters before() const {
    return {*SrpGroup::listed(1024), text("the salt before"), derivation()};
  }
  [[nodiscard]] VerifierParameters fresh() const {
    VerifierParameters out = before();
    if (!scene.same_group) out.group = *SrpGroup::listed(scene.bits);
    if (!scene.same_salt) out.salt = text("another salt");
    return out;
  }
  static SrpClientPolicy policy() {
    SrpClientPolicy out;
    out.groups.least_bits = 1024;
    out.derivations.sha256 = true;
    return out;
  }
  [[nodiscard]] Result<Bytes> ask(std::uint64_t serial = 7) {
    PasswordChangeServer::Question question{.serial = serial, .fresh = fresh()};
    question.same_group = scene.same_group;
    question.same_salt = scene.same_salt;
    question.as_eap_srp = scene.as_eap_srp;
    if (scene.placed) question.place = "0123456789abcdef0123456789abcdef";
    return server.ask(std::move(question), FixedRandom("server"));
  }
  // What is placed, as the client finds it.
  [[nodiscard]] PasswordChangeClient::ReadPlaced found() {
    return [this](std::string_view) -> Result<Bytes> {
      ++reads;
      return Bytes(server.placed().begin(), server.placed().end());
    };
  }
  [[nodiscard]] Result<void> take(ByteView packet) {
    return client.take_question(packet, derivation().octets(), found());
  }
  [[nodiscard]] Result<Bytes> answer(std::string_view password = kNewPassword) {
    return client.answer(made_verifier(password), FixedRandom("client"));
  }
  // From fresh() of this end.
  [[nodiscard]] Bytes made_verifier(std::string_view password) const {
    if (client.serial() == 0) return run(2, 1);
    const auto v = make_verifier(client.fresh(), bytes_of("ada"), bytes_of(password));
    return {v->reveal().begin(), v->reveal().end()};
  }
  // From what the server asked for.
  [[nodiscard]] Bytes expected_verifier(std::string_view password = kNewPassword) const {
    const auto v = make_verifier(fresh(), bytes_of("ada"), bytes_of(password));
    return {v->reveal().begin(), v->reveal().end()};
  }

  Scene scene;
  PasswordChangeServer server;
  PasswordChangeClient client;
  int reads = 0;
};

std::vector<Scene> every_scene() {
  std::vector<Scene> all;
  for (const bool same_salt : {false, true}) {
    for (const bool same_group : {false, true}) {
      for (const bool placed : {false, true}) {
        all.push_back({wire::SUITE_MODERN, false, same_salt, same_group, placed, 1536});
        all.push_back({wire::SUITE_HISTORIC, false, same_salt, same_group, placed, 1536});
        all.push_back({wire::SUITE_HISTORIC, true, same_salt, same_group, placed, 1536});
      }
    }
  }
  return all;
}

Bytes verifier_in(const SrpVerifier& verifier) {
  return {verifier.v.reveal().begin(), verifier.v.reveal().end()};
}

// Claims 1, 4, 5, 7, 13, 18, 19, 22, 23, 29, 32, 33, 36, 37, 44, 49; each in both forms of message (2, 3, 20, 21, 34, 35).
TEST(SrpPasswordChange, FromTheRequestToTheVerifierInEveryForm) {
  for (const Scene& scene : every_scene()) {
    Ends ends(scene);
    const auto question = ends.ask();
    ASSERT_TRUE(question);
    EXPECT_EQ((*question)[4], scene.as_eap_srp ? 19 : 254);
    ASSERT_TRUE(ends.take(*question));
    EXPECT_EQ(ends.reads, scene.placed ? 1 : 0);
    EXPECT_EQ(ends.client.serial(), 7u);
    const auto answer = ends.answer();
    ASSERT_TRUE(answer);
    const auto taken = ends.server.take_answer(*answer);
    ASSERT_TRUE(taken) << taken.error().detail;
    EXPECT_EQ(to_hex(verifier_in(*taken)), to_hex(ends.expected_verifier()));
    EXPECT_EQ(taken->salt, ends.fresh().salt);
    EXPECT_TRUE(taken->group == ends.fresh().group);
    EXPECT_TRUE(taken->derivation == ends.derivation());
    EXPECT_TRUE(ends.client.take_success(ends.server.succeed()));
    EXPECT_EQ(ends.client.serial(), 0u);
  }
}

TEST(SrpPasswordChange, NeitherSaltNorGroupNorVerifierIsReadableOnTheWay) {
  for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    Ends ends({.suite = suite, .bits = 1536});
    const Bytes question = *ends.ask();
    ASSERT_TRUE(ends.take(question));
    const Bytes answer = *ends.answer();
    const auto holds = [](const Bytes& octets, ByteView part) {
      return std::ranges::search(octets, part).begin() != octets.end();
    };
    EXPECT_FALSE(holds(question, ends.fresh().salt));
    EXPECT_FALSE(holds(question, ends.fresh().group.modulus_octets().first(16)));
    EXPECT_FALSE(holds(answer, ByteView(ends.expected_verifier()).first(16)));
    EXPECT_FALSE(holds(answer, bytes_of(kNewPassword)));
  }
}

// Claims 6, 14, 24, 30, 38, 45: with one bit changed it is ignored, and nobody is prompted.
TEST(SrpPasswordChange, ARequestWithAFlippedBitIsIgnored) {
  for (const Scene& scene :
       {Scene{}, Scene{.suite = wire::SUITE_HISTORIC, .as_eap_srp = true}, Scene{.placed = true}}) {
    Ends ends(scene);
    const Bytes question = *ends.ask();
    for (std::size_t bit = 0; bit < question.size() * 8; ++bit) {
      Bytes changed = question;
      changed[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      ASSERT_FALSE(ends.take(changed)) << bit;
      ASSERT_EQ(ends.client.serial(), 0u);
      ASSERT_FALSE(ends.answer());
    }
    EXPECT_TRUE(ends.take(question));
  }
}

TEST(SrpPasswordChange, ARequestCutShortOrWithMoreBehindItIsIgnored) {
  Ends ends({});
  const Bytes question = *ends.ask();
  for (std::size_t size = 0; size < question.size(); ++size)
    ASSERT_FALSE(ends.take(ByteView(question).first(size))) << size;
  Bytes longer = question;
  longer.push_back(0);
  EXPECT_FALSE(ends.take(longer));
  EXPECT_TRUE(ends.take(question));
}

// What lies elsewhere is under the MAC as well (claims 6 and 24 with the second way of claim 5).
TEST(SrpPasswordChange, PlacedParametersThatWereChangedAreIgnored) {
  Ends ends({.placed = true, .bits = 1536});
  const Bytes question = *ends.ask();
  const Bytes placed(ends.server.placed().begin(), ends.server.placed().end());
  const auto take = [&](const Bytes& found) {
    return ends.client.take_question(question, ends.derivation().octets(),
                                     [&](std::string_view) -> Result<Bytes> { return found; });
  };
  for (std::size_t bit = 0; bit < placed.size() * 8; ++bit) {
    Bytes changed = placed;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    ASSERT_FALSE(take(changed)) << bit;
  }
  EXPECT_FALSE(take({}));
  EXPECT_FALSE(ends.client.take_question(
      question, ends.derivation().octets(),
      [](std::string_view) -> Result<Bytes> { return fail(Code::kNotFound, "nothing there"); }));
  EXPECT_EQ(ends.client.serial(), 0u);
  EXPECT_TRUE(take(placed));
}

TEST(SrpPasswordChange, APlaceIsNamedByHexadecimalDigitsAlone) {
  EXPECT_TRUE(is_place_name("0123456789abcdef0123456789abcdef"));
  for (const char* name : {"", "0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0",
                           "../../../etc/passwd/0123456789ab", "0123456789ABCDEF0123456789ABCDEF"})
    EXPECT_FALSE(is_place_name(name)) << name;
  Ends ends({});
  PasswordChangeServer::Question question{.serial = 1, .fresh = ends.fresh()};
  question.place = "../../../etc/passwd/0123456789ab";
  EXPECT_FALSE(ends.server.ask(question, FixedRandom("server")));
}

TEST(SrpPasswordChange, PlacedParametersRoundTripAndNothingElseDecodes) {
  const PlacedParameters parameters{run(1, 16), run(2, 128), run(3, 1)};
  const Bytes octets = encode_placed(parameters);
  EXPECT_LE(octets.size(), kMostPlaced);
  const auto decoded = decode_placed(octets);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->salt, parameters.salt);
  EXPECT_EQ(decoded->modulus, parameters.modulus);
  EXPECT_EQ(decoded->generator, parameters.generator);
  for (std::size_t size = 0; size < octets.size(); ++size)
    EXPECT_FALSE(decode_placed(ByteView(octets).first(size)));
  Bytes longer = octets;
  longer.push_back(0);
  EXPECT_FALSE(decode_placed(longer));
}

// Claims 10, 26, 42: stored only when the MAC matches. The question stands, and the right answer is still taken.
TEST(SrpPasswordChange, AnAnswerWithAFlippedBitIsRefused) {
  for (const Scene& scene : {Scene{}, Scene{.suite = wire::SUITE_HISTORIC, .as_eap_srp = true}}) {
    Ends ends(scene);
    ASSERT_TRUE(ends.take(*ends.ask()));
    const Bytes answer = *ends.answer();
    for (std::size_t bit = 0; bit < answer.size() * 8; ++bit) {
      Bytes changed = answer;
      changed[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      ASSERT_FALSE(ends.server.take_answer(changed)) << bit;
    }
    for (std::size_t size = 0; size < answer.size(); ++size)
      ASSERT_FALSE(ends.server.take_answer(ByteView(answer).first(size)));
    EXPECT_TRUE(ends.server.take_answer(answer));
  }
}

TEST(SrpPasswordChange, NothingCanBeSentBackToWhoSentIt) {
  Ends ends({});
  const Bytes question = *ends.ask();
  ASSERT_TRUE(ends.take(question));
  const Bytes answer = *ends.answer();
  EXPECT_FALSE(ends.server.take_answer(question));
  EXPECT_FALSE(ends.take(answer));
  // Nor with the code and the elements arranged as the other message has them: the keys are others.
  Bytes turned = question;
  turned[0] = 2;
  EXPECT_FALSE(ends.server.take_answer(turned));
}

TEST(SrpPasswordChange, AnotherSessionsOrUsersMessagesAreRefused) {
  Ends ends({}), other_session({}, 2), other_user({}, 1, "eve");
  const Bytes question = *ends.ask(), others = *other_session.ask(), eves = *other_user.ask();
  EXPECT_FALSE(ends.take(others));
  EXPECT_FALSE(ends.take(eves));
  ASSERT_TRUE(ends.take(question));
  ASSERT_TRUE(other_session.take(others));
  ASSERT_TRUE(other_user.take(eves));
  EXPECT_FALSE(ends.server.take_answer(*other_session.answer()));
  EXPECT_FALSE(ends.server.take_answer(*other_user.answer()));
}

// The derivation goes beside the EAP packet, and is under its MAC.
TEST(SrpPasswordChange, AnotherDerivationThanTheServersIsRefused) {
  Ends ends({});
  const Bytes question = *ends.ask();
  const XDerivation cheaper{DerivationKind::kSha1, {}};
  EXPECT_FALSE(ends.client.take_question(question, cheaper.octets(), ends.found()));
  EXPECT_TRUE(ends.take(question));
}

TEST(SrpPasswordChange, RepeatedAndLateAnswersAreRefused) {
  Ends ends({});
  ASSERT_TRUE(ends.take(*ends.ask(1)));
  const Bytes first = *ends.answer();
  ASSERT_TRUE(ends.server.take_answer(first));
  (void)ends.server.succeed();
  EXPECT_FALSE(ends.server.take_answer(first)) << "repeated";
  const Bytes second_question = *ends.ask(2);
  EXPECT_FALSE(ends.server.take_answer(first)) << "to the question before";
  ASSERT_TRUE(ends.take(second_question));
  const Bytes second = *ends.answer();
  ends.server.withdraw();
  EXPECT_FALSE(ends.server.take_answer(second)) << "withdrawn";
}

TEST(SrpPasswordChange, TheSameQuestionAgainIsOneAndAnOlderOneIsNone) {
  Ends ends({});
  const Bytes first = *ends.ask(1), second = *ends.ask(2);
  ASSERT_TRUE(ends.take(first));
  ASSERT_TRUE(ends.take(first));
  ASSERT_TRUE(ends.take(second));
  EXPECT_FALSE(ends.take(first));
  EXPECT_EQ(ends.client.serial(), 2u);
  const Bytes answer = *ends.answer();
  ASSERT_TRUE(ends.server.take_answer(answer));
  const Bytes success = ends.server.succeed();
  EXPECT_TRUE(ends.client.take_success(success));
  EXPECT_FALSE(ends.client.take_success(success));
  EXPECT_FALSE(ends.take(second)) << "answered already";
}

TEST(SrpPasswordChange, AWithdrawnQuestionIsNotTakenAgainAndTheNextOneIs) {
  Ends ends(Scene{});
  const auto question = ends.ask(7);
  ASSERT_TRUE(ends.take(*question));
  ends.client.withdraw();
  EXPECT_FALSE(ends.client.answer(run(2, 1), FixedRandom("client")));
  EXPECT_FALSE(ends.take(*question));
  ASSERT_TRUE(ends.take(*ends.ask(8)));
  EXPECT_TRUE(ends.server.take_answer(*ends.answer()));
}

// A second password for the same question, after the server did not like the first: other octets throughout.
TEST(SrpPasswordChange, AnsweredOnceMoreWithAnotherPassword) {
  Ends ends({});
  ASSERT_TRUE(ends.take(*ends.ask()));
  FixedRandom random("client");
  const auto first = ends.client.answer(ends.made_verifier("first"), std::ref(random));
  const auto second = ends.client.answer(ends.made_verifier("second"), std::ref(random));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(verifier_in(*ends.server.take_answer(*first)), ends.expected_verifier("first"));
  EXPECT_EQ(verifier_in(*ends.server.take_answer(*second)), ends.expected_verifier("second"));
}

// Before anybody is asked: groups off the list, small ones, cheap and dear derivations, no salt to speak of.
TEST(SrpPasswordChange, HostileParametersAreRefusedBeforeAnybodyIsAsked) {
  struct Case {
    const char* what;
    std::function<void(VerifierParameters&)> change;
  };
  const Bytes composite = [] {
    Bytes n(SrpGroup::listed(1024)->modulus_octets().begin(), SrpGroup::listed(1024)->modulus_octets().end());
    n[60] ^= 2;
    return n;
  }();
  const std::vector<Case> cases = {
      {"off the list", [&](VerifierParameters& p) { p.group = *SrpGroup::of(composite, run(2, 1)); }},
      {"another generator",
       [&](VerifierParameters& p) {
         p.group = *SrpGroup::of(SrpGroup::listed(1536)->modulus_octets(), run(4, 1));
       }},
      {"512 bits",
       [&](VerifierParameters& p) {
         p.group = *SrpGroup::of(ByteView(SrpGroup::listed(1024)->modulus_octets()).last(64), run(2, 1));
       }},
      {"sha1", [](VerifierParameters& p) { p.derivation = {DerivationKind::kSha1, {}}; }},
      {"cheap scrypt",
       [](VerifierParameters& p) {
         p.derivation = {DerivationKind::kScrypt, {.log2_n = 4, .r = 1, .p = 1}};
       }},
      {"dear scrypt",
       [](VerifierParameters& p) {
         p.derivation = {DerivationKind::kScrypt, {.log2_n = 24, .r = 8, .p = 1}};
       }},
      {"long salt", [](VerifierParameters& p) { p.salt = Bytes(300, 1); }},
  };
  for (const Case& each : cases) {
    Ends ends({});
    PasswordChangeServer::Question question{.serial = 1, .fresh = ends.fresh()};
    each.change(question.fresh);
    const auto derivation = question.fresh.derivation.octets();
    const auto packet = ends.server.ask(std::move(question), FixedRandom("server"));
    ASSERT_TRUE(packet) << each.what;
    EXPECT_FALSE(ends.client.take_question(*packet, derivation, ends.found())) << each.what;
    EXPECT_EQ(ends.client.serial(), 0u) << each.what;
  }
}

TEST(SrpPasswordChange, TheHistoricSuiteDerivesBySha1AndTheModernKnowsNoType19) {
  Ends historic({.suite = wire::SUITE_HISTORIC}), modern({});
  PasswordChangeServer::Question question{.serial = 1, .fresh = historic.fresh()};
  question.fresh.derivation = kDefaultDerivation;
  EXPECT_FALSE(historic.server.ask(question, FixedRandom("server")));
  question.fresh = modern.fresh();
  question.as_eap_srp = true;
  EXPECT_FALSE(modern.server.ask(question, FixedRandom("server")));
  question.as_eap_srp = false;
  question.serial = 0;
  EXPECT_FALSE(modern.server.ask(question, FixedRandom("server")));
}

// 1 < v < N, whatever MAC it comes with.
TEST(SrpPasswordChange, AVerifierOutOfRangeIsRefusedUnderARightMac) {
  Ends ends({.same_group = true});
  const Bytes question = *ends.ask();
  ASSERT_TRUE(ends.take(question));
  const Bytes honest = *ends.answer();
  const SrpKeys keys = ends.keys(1);
  const SrpGroup group = *SrpGroup::listed(1024);
  const auto with_verifier = [&](const Bytes& v) {
    Bytes element(12 + v.size() + 16), aad{4};
    const auto serial = be64(7);
    aad.insert(aad.end(), serial.begin(), serial.end());
    crypto::aead_seal(keys.encrypt_server_to_client.reveal(), ByteView(element).first(12), aad, v,
                      MutableByteView(element).subspan(12));
    const EapSrpForm form = EapSrpForm::of_vendor();
    const auto body = encode_change_response({.serial = 7, .verifier = element, .mac = Bytes(32)});
    Bytes packet = *encode_srp_message(form, {.code = EapCode::kResponse,
                                              .identifier = honest[1],
                                              .subtype = SrpSubtype::kChangePassword,
                                              .body = *body});
    crypto::hmac(crypto::Hash::kSha256, keys.authenticate_server_to_client.reveal(),
                 {text("keyd/1 change response"), test::hex("0003"), text("ada"), ends.derivation().octets(),
                  ByteView(packet).first(packet.size() - 32)},
                 MutableByteView(packet).last(32));
    return packet;
  };
  const std::size_t size = group.octets();
  const auto padded = [size](const crypto::Number& n) { return n.public_octets(size); };
  const crypto::Number& N = group.modulus().value();
  EXPECT_TRUE(ends.server.take_answer(with_verifier(padded(crypto::Number::of(2)))))
      << "the forgery itself works";
  EXPECT_TRUE(ends.server.take_answer(with_verifier(padded(N.minus_one()))));
  EXPECT_FALSE(ends.server.take_answer(with_verifier(padded(crypto::Number::of(std::uint32_t{0})))));
  EXPECT_FALSE(ends.server.take_answer(with_verifier(padded(crypto::Number::of(1)))));
  EXPECT_FALSE(ends.server.take_answer(with_verifier(padded(N))));
  EXPECT_FALSE(ends.server.take_answer(with_verifier(padded(N.plus(crypto::Number::of(5))))));
  EXPECT_FALSE(ends.server.take_answer(with_verifier(Bytes(size - 1, 3))));
  EXPECT_FALSE(ends.server.take_answer(with_verifier(Bytes(size + 1, 3))));
}

TEST(SrpPasswordChange, WithoutRandomNumbersNothingIsSaid) {
  Ends ends({});
  const RandomSource none = [](MutableByteView) { return false; };
  PasswordChangeServer::Question question{.serial = 1, .fresh = ends.fresh()};
  EXPECT_FALSE(ends.server.ask(question, none));
  EXPECT_EQ(ends.server.serial(), 0u);
  ASSERT_TRUE(ends.take(*ends.ask()));
  EXPECT_FALSE(ends.client.answer(ends.made_verifier(kNewPassword), none));
}

}  // namespace
}  // namespace keyd::exchange
