// The two machines of srp, under attack: what passes between them is changed, repeated, held back, sent back and made
// up. In both suites, and in the Stanford order.
#include "core/exchange/srp.h"

#include <gtest/gtest.h>

#include "core/crypto/kdf.h"
#include "tests/unit/support/exchange.h"
#include "tests/unit/support/srp_exchange.h"

namespace keyd::exchange {
namespace {

using namespace keyd::test;  // the conversation and its words

std::string describe(const wire::SrpStart& choice) {
  return std::string(choice.suite() == wire::SUITE_MODERN ? "modern" : "historic") +
         (choice.interleave() != 0 ? ", Stanford's order" : "");
}

TEST(Srp, EstablishesAChannelAndKeysInEverySuite) {
  for (const auto& choice : every_srp_choice()) {
    SrpOutcome out = converse_srp({.choice = choice});
    ASSERT_TRUE(out.both_done()) << describe(choice);
    SrpEnds& ends = *out.ends;
    EXPECT_TRUE(carries(*ends.client_channel, *ends.server_channel));
    EXPECT_TRUE(carries(*ends.server_channel, *ends.client_channel));
    EXPECT_EQ(exported(*ends.client_channel), exported(*ends.server_channel));
    EXPECT_EQ(ends.client.session_id(), ends.server.session_id());
    EXPECT_EQ(ends.client.session_id().size(), wire::kSessionIdSize);
    const SrpKeys clients = ends.client.take_keys(), servers = ends.server.take_keys();
    EXPECT_EQ(to_hex(clients.encrypt_client_to_server.reveal()),
              to_hex(servers.encrypt_client_to_server.reveal()));
    EXPECT_EQ(to_hex(clients.authenticate_server_to_client.reveal()),
              to_hex(servers.authenticate_server_to_client.reveal()));
  }
}

TEST(Srp, WorksInLargerGroupsAndWithTheMemoryHardStep) {
  const wire::SrpStart choice = srp_modern();
  SrpEnds ends(choice, srp_verifier(choice, kSrpPassword, 3072, kDefaultDerivation), SrpClientPolicy{});
  ends.group_bits = 3072;
  std::optional<Bytes> said = *ends.client.start(ends.client_random);
  for (std::size_t step = 0; said && step < kSrpSteps; ++step)
    said = ends.give(static_cast<SrpStep>(step), *said);
  EXPECT_TRUE(ends.server_done && ends.client_channel);
}

TEST(Srp, AWrongPasswordIsRefusedBeforeTheServerProvesAnything) {
  for (const auto& choice : every_srp_choice()) {
    for (const char* wrong : {"", "correct horse battery stapl", "correct horse battery staple ",
                              "Correct horse battery staple"}) {
      const SrpOutcome out = converse_srp({.choice = choice, .client_password = wrong});
      EXPECT_FALSE(out.server_done || out.client_done);
      EXPECT_EQ(out.packets.size(), kSrpM1 + 1u) << "M2 left the server";
    }
  }
}

// The verifier alone does not log in: it is not the password.
TEST(Srp, WhoHasStolenTheVerifierIsNotTheClient) {
  const wire::SrpStart choice = srp_modern();
  const SrpVerifier stolen = srp_verifier(choice);
  const std::string as_password(text_of(stolen.v.reveal()));
  EXPECT_FALSE(converse_srp({.choice = choice, .client_password = as_password}).server_done);
}

TEST(Srp, AServerWithoutTheVerifierIsNotBelieved) {
  // It goes through the motions with another's, and cannot make the M2: the client's M1 does not fit it either, so the
  // packet is made up.
  for (const auto& choice : every_srp_choice()) {
    const SrpOutcome honest = converse_srp({.choice = choice});
    SrpScript script{.choice = choice, .server_seed = "another"};
    const SrpOutcome out = converse_srp({.choice = choice, .server_password = "something else"});
    EXPECT_FALSE(out.client_done);
    SrpEnds ends(choice, srp_verifier(choice, "something else"));
    Bytes said = *ends.client.start(ends.client_random);
    for (const SrpStep step : {kSrpStart, kSrpChallenge, kSrpClientKey, kSrpServerKey})
      said = *ends.give(step, said);
    EXPECT_FALSE(ends.give(kSrpM2, honest.packets[kSrpM2]));
    EXPECT_FALSE(ends.give(kSrpSuccess, honest.packets[kSrpSuccess]));
    EXPECT_FALSE(ends.client_channel);
  }
}

// ---- changed

// Every bit of every packet.
void expect_that_a_changed_bit_ends_it(const wire::SrpStart& choice) {
  const SrpOutcome honest = converse_srp({.choice = choice});
  ASSERT_TRUE(honest.both_done());
  for (std::size_t step = 0; step < kSrpSteps; ++step) {
    for (std::size_t bit = 0; bit < honest.packets[step].size() * 8; ++bit) {
      SrpScript script{.choice = choice};
      script.on_the_wire = [&](SrpStep now, Bytes& packet) {
        if (now == step) packet.at(bit / 8) ^= static_cast<std::uint8_t>(1u << (bit % 8));
      };
      const SrpOutcome out = converse_srp(script);
      EXPECT_FALSE(out.client_done || (step != kSrpSuccess && out.server_done))
          << describe(choice) << ", packet " << step << ", bit " << bit;
    }
  }
}

TEST(Srp, AChangedBitAnywhereEndsIt) { expect_that_a_changed_bit_ends_it(srp_modern()); }
TEST(Srp, AChangedBitAnywhereEndsItInTheHistoricSuite) { expect_that_a_changed_bit_ends_it(srp_historic()); }

TEST(Srp, ACutOrLongerPacketEndsIt) {
  for (const auto& choice : {srp_modern(), srp_historic()}) {
    const SrpOutcome honest = converse_srp({.choice = choice});
    for (std::size_t step = 0; step < kSrpSteps; ++step) {
      const std::size_t size = honest.packets[step].size();
      for (const std::size_t cut :
           {std::size_t{0}, std::size_t{1}, size / 4, size / 2, size - 2, size - 1, size + 1}) {
        SrpScript script{.choice = choice};
        script.on_the_wire = [&](SrpStep now, Bytes& packet) {
          if (now == step) packet.resize(cut);
        };
        const SrpOutcome out = converse_srp(script);
        EXPECT_FALSE(out.client_done || (step != kSrpSuccess && out.server_done))
            << step << " cut to " << cut;
      }
    }
  }
}

// ---- downgraded

TEST(Srp, AnotherOfferThanTheClientsIsAFailedExchange) {
  const auto changed = [](const wire::SrpStart& choice, const std::function<void(wire::SrpStart&)>& change) {
    SrpScript script{.choice = choice};
    script.on_the_wire = [&](SrpStep step, Bytes& packet) {
      if (step != kSrpStart) return;
      wire::ClientPacket start;
      ASSERT_TRUE(start.ParseFromArray(packet.data(), static_cast<int>(packet.size())));
      change(*start.mutable_srp_start());
      packet = text(start.SerializeAsString());
    };
    const SrpOutcome out = converse_srp(script);
    return !out.server_done && !out.client_done;
  };
  for (const auto& choice : every_srp_choice()) {
    EXPECT_TRUE(changed(choice, [](auto& s) { s.set_server_name("keyd.example.org"); }));
    EXPECT_TRUE(changed(choice, [](auto& s) { s.set_renews(std::string(16, 'r')); }));
    EXPECT_TRUE(changed(choice, [](auto& s) { s.set_client_random(std::string(32, 'r')); }));
    EXPECT_TRUE(changed(choice, [](auto& s) {
      s.set_suite(s.suite() == wire::SUITE_MODERN ? wire::SUITE_HISTORIC : wire::SUITE_MODERN);
      s.set_interleave(wire::SRP_INTERLEAVE_RFC2945);
    }));
  }
  EXPECT_TRUE(changed(srp_historic(), [](auto& s) { s.set_interleave(wire::SRP_INTERLEAVE_STANFORD); }));
}

// What nobody reads is in the transcript all the same.
TEST(Srp, AFieldThatIsAddedOnTheWayIsAFailedExchange) {
  for (std::size_t step = 0; step < kSrpSteps; ++step) {
    SrpScript script;
    script.on_the_wire = [&](SrpStep now, Bytes& packet) {
      if (now == step) packet.insert(packet.end(), {0xf8, 0x3f, 0x01});  // field 1023: 1
    };
    const SrpOutcome out = converse_srp(script);
    // The client's Finished cannot speak of the packet that it is in, the server's does; and the last is proved by
    // nothing, and has nothing behind it.
    EXPECT_EQ(out.server_done, step >= kSrpAck) << step;
    EXPECT_EQ(out.client_done, step == kSrpSuccess) << step;
  }
}

TEST(Srp, AClientTakesNoGroupOrDerivationThatItsPolicyDoesNot) {
  const wire::SrpStart choice = srp_modern();
  const auto goes_on = [&](unsigned bits, std::optional<XDerivation> derivation, SrpClientPolicy policy) {
    SrpEnds ends(choice, srp_verifier(choice, kSrpPassword, bits, derivation), std::move(policy));
    const Bytes start = *ends.client.start(ends.client_random);
    return ends.give(kSrpChallenge, *ends.give(kSrpStart, start)).has_value();
  };
  const XDerivation sha1{DerivationKind::kSha1, {}}, sha256{DerivationKind::kSha256, {}};
  EXPECT_TRUE(goes_on(2048, kDefaultDerivation, {}));
  EXPECT_FALSE(goes_on(1536, kDefaultDerivation, {}));
  EXPECT_FALSE(goes_on(2048, sha1, {}));
  EXPECT_FALSE(goes_on(2048, sha256, {}));
  EXPECT_TRUE(goes_on(1024, sha1, tolerant_policy()));
}

// The policy is asked by the text of the Challenge alone: this one would take 4 GiB.
TEST(Srp, AClientDoesNoWorkThatIsOutOfBounds) {
  const wire::SrpStart choice = srp_modern();
  SrpVerifier dear = srp_verifier(choice);
  dear.derivation = {DerivationKind::kScrypt, {.log2_n = 22, .r = 8, .p = 1}};
  SrpEnds ends(choice, std::move(dear));
  const Bytes start = *ends.client.start(ends.client_random);
  EXPECT_FALSE(ends.give(kSrpChallenge, *ends.give(kSrpStart, start)));
}

// ---- values that give it away

TEST(Srp, AServerRefusesEveryAThatIsNothingModuloN) {
  const crypto::Number& N = SrpGroup::listed(1024)->modulus().value();
  for (const auto& choice : every_srp_choice()) {
    for (const Bytes& A : {Bytes(), Bytes{0}, Bytes(128), N.public_octets(), N.plus(N).public_octets(),
                           N.times(crypto::Number::of(0x10001)).public_octets(),
                           N.plus(crypto::Number::of(1)).public_octets(), Bytes(128, 0xff)}) {
      SrpEnds ends(choice, srp_verifier(choice));
      const Bytes start = *ends.client.start(ends.client_random);
      const Bytes key = *ends.give(kSrpChallenge, *ends.give(kSrpStart, start));
      const EapSrpForm form =
          choice.suite() == wire::SUITE_MODERN ? EapSrpForm::of_vendor() : EapSrpForm::type19();
      const Bytes eap = *encode_srp_message(
          form, {.code = EapCode::kResponse, .identifier = 1, .subtype = SrpSubtype::kKey, .body = A});
      EXPECT_FALSE(ends.give(kSrpClientKey, with_eap(key, true, eap))) << to_hex(A);
      EXPECT_FALSE(ends.give(kSrpClientKey, key)) << "there is no second try in one exchange";
    }
  }
}

TEST(Srp, AClientRefusesEveryBThatIsNothingModuloN) {
  const crypto::Number& N = SrpGroup::listed(1024)->modulus().value();
  for (const auto& choice : every_srp_choice()) {
    std::vector<Bytes> bad{
        {}, {0}, Bytes(128), N.public_octets(), N.plus(crypto::Number::of(1)).public_octets()};
    if (choice.suite() == wire::SUITE_HISTORIC) bad.push_back(hex("0100000203b58c0b"));  // u = 0
    for (const Bytes& B : bad) {
      SrpEnds ends(choice, srp_verifier(choice));
      Bytes said = *ends.client.start(ends.client_random);
      for (const SrpStep step : {kSrpStart, kSrpChallenge, kSrpClientKey}) said = *ends.give(step, said);
      const EapSrpForm form =
          choice.suite() == wire::SUITE_MODERN ? EapSrpForm::of_vendor() : EapSrpForm::type19();
      const Bytes eap = *encode_srp_message(
          form, {.code = EapCode::kRequest, .identifier = 2, .subtype = SrpSubtype::kValidator, .body = B});
      EXPECT_FALSE(ends.give(kSrpServerKey, with_eap(said, false, eap))) << to_hex(B);
    }
  }
}

// With A = N a server that did not look would compute S = 0, and K = H("") would log in without a password.
TEST(Srp, ALoginWithoutAPasswordByAZeroIsNoLogin) {
  const wire::SrpStart choice = srp_modern();
  SrpEnds ends(choice, srp_verifier(choice));
  const Bytes start = *ends.client.start(ends.client_random);
  const Bytes key = *ends.give(kSrpChallenge, *ends.give(kSrpStart, start));
  const Bytes zero = SrpGroup::listed(1024)->modulus().value().public_octets();
  const Bytes eap = *encode_srp_message(
      EapSrpForm::of_vendor(),
      {.code = EapCode::kResponse, .identifier = 1, .subtype = SrpSubtype::kKey, .body = zero});
  const auto server_key = ends.give(kSrpClientKey, with_eap(key, true, eap));
  EXPECT_FALSE(server_key);
  EXPECT_FALSE(ends.server.confirm());
}

// ---- repeated, reordered, reflected

TEST(Srp, WhatWasSaidInAnotherExchangeIsWorthNothing) {
  for (const auto& choice : every_srp_choice()) {
    const SrpOutcome recorded = converse_srp({.choice = choice});
    ASSERT_TRUE(recorded.both_done());
    // The client's side again, to a server with other random octets.
    for (const SrpStep from : {kSrpStart, kSrpClientKey, kSrpM1, kSrpAck}) {
      SrpScript script{.choice = choice, .client_seed = "client 2", .server_seed = "server 2"};
      script.on_the_wire = [&](SrpStep step, Bytes& packet) {
        if (step >= from && is_clients(step)) packet = recorded.packets[step];
      };
      EXPECT_FALSE(converse_srp(script).server_done) << describe(choice) << " from " << from;
    }
    for (const SrpStep from : {kSrpChallenge, kSrpServerKey, kSrpM2, kSrpSuccess}) {
      SrpScript script{.choice = choice, .client_seed = "client 2", .server_seed = "server 2"};
      script.on_the_wire = [&](SrpStep step, Bytes& packet) {
        if (step >= from && !is_clients(step)) packet = recorded.packets[step];
      };
      EXPECT_FALSE(converse_srp(script).client_done) << describe(choice) << " from " << from;
    }
  }
}

// Even when the server draws the same octets again, as after a reset of its generator: the client's are fresh.
TEST(Srp, KeysDifferAlsoWhenOneSideRepeatsItself) {
  for (const auto& choice : every_srp_choice()) {
    SrpOutcome first = converse_srp({.choice = choice}),
               second = converse_srp({.choice = choice, .client_seed = "client 2"});
    ASSERT_TRUE(first.both_done() && second.both_done());
    EXPECT_NE(exported(*first.ends->client_channel), exported(*second.ends->client_channel));
  }
}

TEST(Srp, EveryStepComesInItsTurnAndOnce) {
  for (const auto& choice : {srp_modern(), srp_historic()}) {
    const SrpOutcome recorded = converse_srp({.choice = choice});
    for (std::size_t reached = 0; reached <= kSrpSteps; ++reached) {
      for (std::size_t next = 0; next < kSrpSteps; ++next) {
        if (next == reached || (next == reached + 1)) continue;  // its turn; the other end's
        SrpEnds ends(choice, srp_verifier(choice));
        std::optional<Bytes> said = *ends.client.start(ends.client_random);
        for (std::size_t step = 0; step < reached && said; ++step)
          said = ends.give(static_cast<SrpStep>(step), *said);
        ASSERT_TRUE(said);
        ends.verifier = srp_verifier(choice);
        EXPECT_FALSE(ends.give(static_cast<SrpStep>(next), recorded.packets[next]))
            << next << " after " << reached;
        // And that was the end of that machine: what would have been next is refused too.
        if (reached < kSrpSteps &&
            is_clients(static_cast<SrpStep>(next)) == is_clients(static_cast<SrpStep>(reached))) {
          EXPECT_FALSE(ends.give(static_cast<SrpStep>(reached), *said)) << reached << " after a bad " << next;
        }
      }
    }
  }
}

TEST(Srp, TheServersKeyNeverComesBeforeTheClients) {
  // RFC 2945 section 3: a server that shows B first, in SRP-3, gives a guess of the password away.
  SrpServer server;
  const wire::SrpStart choice = srp_historic();
  EXPECT_FALSE(server.take_key({}, {}, *draw_ephemeral(*SrpGroup::listed(1024), FixedRandom("b"))));
  EXPECT_FALSE(server.verify({}, {}));
  EXPECT_FALSE(server.confirm());
}

TEST(Srp, AMachineDoesNotTakeItsOwnWords) {
  for (const auto& choice : {srp_modern(), srp_historic()}) {
    const SrpOutcome recorded = converse_srp({.choice = choice});
    // As EAP packets in the other direction's envelope: Responses are no Requests.
    for (std::size_t step = kSrpClientKey; step + 1 < kSrpSteps; ++step) {
      const bool clients = is_clients(static_cast<SrpStep>(step));
      SrpScript script{.choice = choice};
      script.on_the_wire = [&](SrpStep now, Bytes& packet) {
        if (now == step + 1) packet = with_eap(packet, !clients, eap_of(recorded.packets[step], clients));
      };
      const SrpOutcome out = converse_srp(script);
      EXPECT_FALSE(out.client_done || (step + 1 != kSrpSuccess && out.server_done)) << step;
    }
  }
}

TEST(Srp, AnIdentifierIsTheRequestsOwn) {
  for (const SrpStep step : {kSrpClientKey, kSrpServerKey, kSrpM1, kSrpM2, kSrpAck, kSrpSuccess}) {
    for (const int other : {0, 1, 2, 3, 255}) {
      SrpScript script;
      bool changed = false;
      script.on_the_wire = [&](SrpStep now, Bytes& packet) {
        if (now != step) return;
        const bool clients = is_clients(now);
        Bytes eap = eap_of(packet, clients);
        changed = eap[1] != other;
        eap[1] = static_cast<std::uint8_t>(other);
        packet = with_eap(packet, clients, eap);
      };
      const SrpOutcome out = converse_srp(script);
      EXPECT_EQ(out.client_done, !changed) << step << ' ' << other;
    }
  }
}

TEST(Srp, AFailureInPlaceOfSuccessIsNoSuccess) {
  SrpScript script;
  script.on_the_wire = [](SrpStep step, Bytes& packet) {
    if (step != kSrpSuccess) return;
    Bytes eap = eap_of(packet, false);
    eap[0] = 4;
    packet = with_eap(packet, false, eap);
  };
  EXPECT_FALSE(converse_srp(script).client_done);
}

// ---- what a machine is given

TEST(Srp, AStartIsCheckedByBothEnds) {
  const auto bad = [](const std::function<void(wire::SrpStart&)>& change) {
    wire::SrpStart start = srp_modern();
    start.set_client_random(std::string(32, 'c'));
    EXPECT_TRUE(check_start(start));
    change(start);
    return !check_start(start) && !SrpServer().challenge({}, start, srp_verifier(start), FixedRandom("s"));
  };
  EXPECT_TRUE(bad([](auto& s) { s.set_user(""); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_user(std::string(65, 'u')); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_user("a\nb"); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_suite(wire::SUITE_UNSPECIFIED); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_suite(static_cast<wire::Suite>(7)); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_client_random(std::string(31, 'c')); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_server_name(""); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_server_name(std::string(256, 'n')); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_renews("short"); }));
  EXPECT_TRUE(bad([](auto& s) { s.set_interleave(wire::SRP_INTERLEAVE_STANFORD); }));
  EXPECT_TRUE(bad([](auto& s) {
    s.set_suite(wire::SUITE_HISTORIC);
    s.set_interleave(static_cast<wire::SrpInterleave>(2));
  }));
}

TEST(Srp, AServerTakesNoVerifierThatIsNone) {
  const auto refuses = [](const wire::SrpStart& choice, const std::function<void(SrpVerifier&)>& change) {
    SrpEnds ends(choice, srp_verifier(choice));
    change(ends.verifier);
    return !ends.give(kSrpStart, *ends.client.start(ends.client_random));
  };
  EXPECT_FALSE(refuses(srp_modern(), [](SrpVerifier&) {}));
  EXPECT_TRUE(refuses(srp_modern(), [](SrpVerifier& v) { v.salt.clear(); }));
  EXPECT_TRUE(refuses(srp_modern(), [](SrpVerifier& v) { v.salt.resize(256); }));
  EXPECT_TRUE(refuses(srp_modern(), [](SrpVerifier& v) { v.v = {}; }));
  EXPECT_TRUE(refuses(srp_modern(), [](SrpVerifier& v) { v.v = secret::SecretBuffer::copy_of(Bytes{1}); }));
  EXPECT_TRUE(refuses(srp_historic(), [](SrpVerifier& v) { v.derivation = kDefaultDerivation; }));
}

TEST(Srp, AServerTakesNoPairOfAnotherGroup) {
  SrpEnds ends(srp_modern(), srp_verifier(srp_modern()));
  const Bytes start = *ends.client.start(ends.client_random);
  const Bytes key = *ends.give(kSrpChallenge, *ends.give(kSrpStart, start));
  ends.group_bits = 1536;
  EXPECT_FALSE(ends.give(kSrpClientKey, key));
}

TEST(Srp, WithoutRandomOctetsThereIsNoExchange) {
  const RandomSource none = [](MutableByteView) { return false; };
  for (const auto& choice : every_srp_choice()) {
    SrpEnds ends(choice, srp_verifier(choice));
    EXPECT_FALSE(SrpClient(choice, {}).start(none));
    const Bytes start = *ends.client.start(ends.client_random);
    SrpEnds other(choice, srp_verifier(choice));
    other.server_random = none;
    EXPECT_FALSE(other.give(kSrpStart, start));
    const Bytes challenge = *ends.give(kSrpStart, start);
    ends.client_random = none;
    EXPECT_FALSE(ends.give(kSrpChallenge, challenge));
  }
}

TEST(Srp, TheChallengeNamesTheServerThatTheClientWasToReach) {
  SrpScript script;
  script.on_the_wire = [](SrpStep step, Bytes& packet) {
    if (step != kSrpChallenge) return;
    Bytes eap = eap_of(packet, false);
    const auto message = decode_srp_message(EapSrpForm::of_vendor(), eap);
    ChallengeBody body = *decode_challenge(EapSrpForm::of_vendor(), message->body);
    body.name = bytes_of("keyd.elsewhe");
    const Bytes changed = *encode_challenge(EapSrpForm::of_vendor(), body);
    packet = with_eap(packet, false,
                      *encode_srp_message(EapSrpForm::of_vendor(), {.code = EapCode::kRequest,
                                                                    .identifier = message->identifier,
                                                                    .subtype = SrpSubtype::kKey,
                                                                    .body = changed}));
  };
  EXPECT_EQ(converse_srp(script).packets.size(), kSrpChallenge + 1u);
}

TEST(Srp, LeavesNothingInLockedMemoryWhenItEnds) {
  (void)converse_srp({});  // what a thread makes once and keeps
  const std::size_t before = secret::LockedPool::instance().in_use();
  for (const char* password : {"correct horse battery staple", "wrong"}) {
    (void)converse_srp({.client_password = password});
    EXPECT_EQ(secret::LockedPool::instance().in_use(), before);
  }
}

}  // namespace
}  // namespace keyd::exchange
