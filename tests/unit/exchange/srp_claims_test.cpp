// Seed 002, the steps and claims that the core serves: 300 to 308 in whole; of the change of a password its keys. The
// verifier's computation is in srp_verifier_test.cpp, the messages in eap_srp_test.cpp.
#include <gtest/gtest.h>

#include <set>

#include "core/crypto/digest.h"
#include "core/exchange/srp.h"
#include "tests/unit/support/exchange.h"
#include "tests/unit/support/srp_exchange.h"

namespace keyd::exchange {
namespace {

using namespace keyd::test;  // the conversation and its words

std::set<std::string> all_of(const SrpKeys& keys) {
  return {to_hex(keys.encrypt_client_to_server.reveal()), to_hex(keys.encrypt_server_to_client.reveal()),
          to_hex(keys.authenticate_client_to_server.reveal()),
          to_hex(keys.authenticate_server_to_client.reveal())};
}

// 300 and 302: each proves itself to the other, by RFC 2945.
TEST(SrpClaims, Steps300And302BothSidesProveThemselvesByRfc2945) {
  const SrpOutcome out = converse_srp({.choice = srp_historic()});
  ASSERT_TRUE(out.both_done());
  const EapSrpForm form = EapSrpForm::type19();
  const auto body = [&](SrpStep step) {
    const Bytes eap = eap_of(out.packets[step], is_clients(step));
    const auto message = decode_srp_message(form, eap);
    return message ? Bytes(message->body.begin(), message->body.end()) : Bytes();
  };
  // Recomputed from what was said, and from b, which the server drew: M1 and M2 are RFC 2945's.
  FixedRandom random("server");
  Bytes skipped(wire::kServerRandomSize + wire::kSessionIdSize);
  ASSERT_TRUE(random(skipped));
  const auto pair = draw_ephemeral(*SrpGroup::listed(1024), std::ref(random));
  const SrpRules rules = SrpRules::srp3();
  const SrpVerifier verifier = srp_verifier(srp_historic());
  const crypto::Number A = crypto::Number::of(body(kSrpClientKey)),
                       B = crypto::Number::of(body(kSrpServerKey));
  const crypto::Number S =
      server_S(*pair, crypto::Number::of(verifier.v.reveal()), A, *u_of(rules, pair->group, A, B));
  const Proofs proofs = proofs_of(rules, pair->group, bytes_of("ada"), verifier.salt, A, B,
                                  K_of(rules, S).reveal(), hex("0113"));
  EXPECT_EQ(to_hex(body(kSrpM1)), "00000001" + to_hex(proofs.M1));
  EXPECT_EQ(to_hex(body(kSrpM2)), "00000001" + to_hex(proofs.M2));
}

// 304 and 306: both sides have the same keys, one to encrypt and one to authenticate for each direction.
TEST(SrpClaims, Steps304And306KeysForEachDirectionAtBothEnds) {
  for (const auto& choice : every_srp_choice()) {
    SrpOutcome out = converse_srp({.choice = choice});
    ASSERT_TRUE(out.both_done());
    const auto clients = all_of(out.ends->client.take_keys()), servers = all_of(out.ends->server.take_keys());
    EXPECT_EQ(clients, servers);
    EXPECT_EQ(clients.size(), 4u) << "two of them are the same";
  }
}

// "otherwise the client would use the same keys after each authentication": fresh values of either side suffice.
TEST(SrpClaims, Steps304And306FreshValuesMakeFreshKeys) {
  for (const auto& choice : every_srp_choice()) {
    std::set<std::string> seen;
    for (const auto& [client, server] : {std::pair{"c1", "s1"}, {"c2", "s1"}, {"c1", "s2"}}) {
      SrpOutcome out = converse_srp({.choice = choice, .client_seed = client, .server_seed = server});
      ASSERT_TRUE(out.both_done());
      seen.merge(all_of(out.ends->client.take_keys()));
    }
    EXPECT_EQ(seen.size(), 12u);
  }
}

// The derivation that the seed names: RFC 2246's, with the fresh values of both in it.
TEST(SrpClaims, Steps304And306HistoricKeysAreOfTheTls10Prf) {
  const Bytes K = run(1, 40), rc = run(2, 32), rs = run(3, 32);
  const SrpKeys keys = historic_srp_keys(K, rc, rs);
  EXPECT_EQ(keys.authenticate_client_to_server.size(), crypto::kSha1Size);
  EXPECT_EQ(keys.encrypt_client_to_server.size(), 32u);
  EXPECT_EQ(all_of(keys).size(), 4u);
  EXPECT_NE(all_of(keys), all_of(historic_srp_keys(K, rs, rc)));
  EXPECT_NE(all_of(keys), all_of(historic_srp_keys(run(0, 40), rc, rs)));
}

// 308: the keys protect what is said. The channel's are made from K as well, and are others.
TEST(SrpClaims, Step308TheChannelProtectsWhatIsSaidWithKeysOfItsOwn) {
  for (const auto& choice : every_srp_choice()) {
    SrpOutcome out = converse_srp({.choice = choice});
    ASSERT_TRUE(out.both_done());
    EXPECT_TRUE(carries(*out.ends->client_channel, *out.ends->server_channel));
    EXPECT_TRUE(carries(*out.ends->server_channel, *out.ends->client_channel));
    const SrpKeys keys = out.ends->client.take_keys();
    Transcript transcript;
    for (std::size_t step = 0; step <= kSrpM2; ++step) {
      if (is_clients(static_cast<SrpStep>(step))) {
        transcript.client_said(out.packets[step]);
      } else {
        transcript.server_said(out.packets[step]);
      }
    }
    for (const secret::SecretBuffer* key : {&keys.encrypt_client_to_server, &keys.encrypt_server_to_client}) {
      SecureChannel with_it(Role::kServer, key->reveal(), key->reveal(), transcript.hash());
      EXPECT_FALSE(
          with_it.open(RecordType::kFinished, bytes_of(from_client(out.packets[kSrpAck])->finished())));
    }
  }
}

// Claims 6, 9 and 10: the request goes under the keys named "client to server", the response under those named "server
// to client"; no message opens under the keys of the other, so neither can be sent back to who sent it.
TEST(SrpClaims, Claims6And9And10NameOneKeyForEachUse) {
  SrpOutcome out = converse_srp({});
  ASSERT_TRUE(out.both_done());
  const SrpKeys servers = out.ends->server.take_keys(), clients = out.ends->client.take_keys();
  const Bytes salt = run(1, 16);
  Bytes made(32), checked(32), reflected(32);
  crypto::hmac(crypto::Hash::kSha256, servers.authenticate_client_to_server.reveal(), {salt}, made);
  crypto::hmac(crypto::Hash::kSha256, clients.authenticate_client_to_server.reveal(), {salt}, checked);
  crypto::hmac(crypto::Hash::kSha256, servers.authenticate_server_to_client.reveal(), {salt}, reflected);
  EXPECT_EQ(to_hex(made), to_hex(checked));
  EXPECT_NE(to_hex(made), to_hex(reflected));
}

// Claims 12, 17, 28, 31, 43 and 48: the same again with another password, salt and group, and other keys.
TEST(SrpClaims, Claims12And17ASecondAuthenticationWithTheNewPasswordAndGroup) {
  SrpOutcome before = converse_srp({});
  SrpEnds after(srp_modern(), srp_verifier(srp_modern(), "a new password", 1536));
  after.group_bits = 1536;
  after.password = "a new password";
  std::optional<Bytes> said = *after.client.start(after.client_random);
  for (std::size_t step = 0; said && step < kSrpSteps; ++step)
    said = after.give(static_cast<SrpStep>(step), *said);
  ASSERT_TRUE(before.both_done() && after.client_channel);
  EXPECT_NE(exported(*before.ends->client_channel), exported(*after.client_channel));
  // The old keys go on protecting what goes under them until then.
  EXPECT_TRUE(carries(*before.ends->client_channel, *before.ends->server_channel));
}

// 300: the server knows no password, and none is said; nor is anything that a dictionary could be tried on.
TEST(SrpClaims, Step300NeitherPasswordNorVerifierIsEverSaid) {
  for (const auto& choice : every_srp_choice()) {
    const SrpOutcome out = converse_srp({.choice = choice});
    const SrpVerifier verifier = srp_verifier(choice);
    const auto x = derive_x(verifier.derivation, bytes_of("ada"), bytes_of(kSrpPassword), verifier.salt);
    for (const Bytes& packet : out.packets) {
      for (const ByteView secret :
           {bytes_of(kSrpPassword), verifier.v.reveal().first(16), x->reveal().first(16)})
        EXPECT_EQ(text_of(packet).find(text_of(secret)), std::string_view::npos);
    }
  }
}

}  // namespace
}  // namespace keyd::exchange
