// Seed 000, claim by claim, at the level of the two machines. Claims 12 and 15 to 19 say of the system what
// 1, 4, 5, 6, 9 and 10 say of the method. What needs the daemon (the task's states, the store, noise) is in
// tests/integration.
#include <gtest/gtest.h>

#include <set>

#include "core/crypto/random.h"
#include "tests/unit/support/exchange.h"

namespace keyd::exchange {
namespace {

using namespace keyd::test;  // the conversation and its words

wire::ChallengeNumbers numbers_of(const Outcome& out) {
  wire::ServerPacket packet;
  EXPECT_EQ(wire::decode(out.packets[kNumbers], packet), wire::Decoded::kMessage);
  return packet.challenge_numbers();
}

Transcript::Hash transcript_of(const Outcome& out) {
  Transcript transcript;
  transcript.client_said(out.packets[kStart]);
  transcript.server_said(out.packets[kNumbers]);
  return transcript.hash();
}

// Claims 1 and 12: identification, a random number, a password at both ends, and one key from both at both
// ends.
void expect_the_exchange_of_claim_1(const wire::ChallengeStart& choice) {
  Outcome out = converse({.choice = choice});
  ASSERT_TRUE(out.both_done());
  wire::ClientPacket start;
  ASSERT_EQ(wire::decode(out.packets[kStart], start), wire::Decoded::kMessage);
  EXPECT_EQ(start.challenge_start().user(), "ada");
  EXPECT_EQ(numbers_of(out).nonce1().size(), choice.nonce_bits() / 8);
  // The first key is T(password, first number), at either end: whoever computes it opens what the client
  // sealed.
  const auto key = transform(choice.transform(), bytes_of(kPassword), bytes_of(numbers_of(out).nonce1()));
  ASSERT_TRUE(key);
  SecureChannel from_the_claim(Role::kServer, key->reveal(), key->reveal(), transcript_of(out));
  wire::ClientPacket proof;
  ASSERT_EQ(wire::decode(out.packets[kProof], proof), wire::Decoded::kMessage);
  EXPECT_TRUE(from_the_claim.open(RecordType::kFinished, bytes_of(proof.finished())));
}

TEST(ChallengeClaims, Claim1OneKeyFromPasswordAndNumberAtBothEnds) {
  expect_the_exchange_of_claim_1(modern(1));
}
TEST(ChallengeClaims, Claim12TheSameOfTheSystem) {
  expect_the_exchange_of_claim_1(historic(wire::TRANSFORM_HMAC_MD5, 128, 1));
}

TEST(ChallengeClaims, Claim1NeitherPasswordNorKeyIsEverSent) {
  const Outcome out = converse({.choice = historic()});
  const auto k1 =
      transform(wire::TRANSFORM_HMAC_MD5, bytes_of(kPassword), bytes_of(numbers_of(out).nonce1()));
  const auto k2 =
      transform(wire::TRANSFORM_HMAC_MD5, bytes_of(kPassword), bytes_of(numbers_of(out).nonce2()));
  for (const Bytes& packet : out.packets) {
    for (const ByteView secret : {bytes_of(kPassword), ByteView(k1->reveal()), ByteView(k2->reveal())}) {
      EXPECT_EQ(text_of(packet).find(text_of(secret)), std::string_view::npos);
    }
  }
}

TEST(ChallengeClaims, Claim1CompletionFollowsTheProof) {
  // "modifying the task structure … to reflect the completion" is confirm(): it does not come before a right
  // proof.
  FixedRandom client_random("client"), server_random("server");
  ChallengeClient client(modern());
  ChallengeServer server;
  ASSERT_TRUE(give_numbers(
      client, *give_start(server, *client.start(std::ref(client_random)), std::ref(server_random))));
  ChallengeServer copy_of_state_before;  // a server that was never spoken to cannot confirm either
  EXPECT_FALSE(copy_of_state_before.confirm());
  const Bytes proof = *client.prove(bytes_of(kPassword));
  ASSERT_TRUE(give_proof(server, proof));
  EXPECT_TRUE(server.confirm());
}

void expect_a_hash_function(wire::Transform t) {
  // Fixed size, whatever goes in; any change of either input changes all of it.
  const auto key = [&](std::string_view password, std::string_view nonce) {
    const auto made = transform(t, bytes_of(password), bytes_of(nonce));
    return made ? to_hex(made->reveal()) : std::string("none");
  };
  std::set<std::string> keys;
  for (const char* password :
       {"", "a", "b", "a longer password, longer than any block of any of these hash functions is"}) {
    for (const char* nonce : {"12", "21", "123456789012345678901234567890ab"}) {
      EXPECT_TRUE(keys.insert(key(password, nonce)).second);
      EXPECT_EQ(key(password, nonce).size(), key("x", "y").size());
    }
  }
  EXPECT_TRUE(converse({.choice = t == wire::TRANSFORM_HMAC_SHA256 ? modern() : historic(t)}).both_done());
}

TEST(ChallengeClaims, Claim4TheTransformIsAHash) { expect_a_hash_function(wire::TRANSFORM_MD5); }
TEST(ChallengeClaims, Claim15TheSameOfTheSystem) { expect_a_hash_function(wire::TRANSFORM_HMAC_SHA256); }

void expect_keyed_md5(wire::Transform t, const char* key1) {
  // The sample's first case; both readings of "keyed MD5" are there by name.
  const auto key = transform(t, bytes_of("password123"), hex("0000"));
  ASSERT_TRUE(key);
  EXPECT_EQ(to_hex(key->reveal()), key1);
  EXPECT_TRUE(converse({.choice = historic(t)}).both_done());
}

TEST(ChallengeClaims, Claim5TheTransformIsAKeyedMd5Signature) {
  expect_keyed_md5(wire::TRANSFORM_HMAC_MD5, "a8b9962deb5de59178bf3939edc2c310");
}
TEST(ChallengeClaims, Claim16TheSameOfTheSystemInTheOtherReading) {
  expect_keyed_md5(wire::TRANSFORM_KEYED_MD5_RFC1828, "274b1100df6ad842ed2ed1016e8f8ef8");
}

void expect_symmetric_encryption(std::uint32_t keys) {
  Outcome out = converse({.choice = modern(keys)});
  ASSERT_TRUE(out.both_done());
  const std::string_view secret = "the quick brown fox jumps over the lazy dog";
  const Bytes record = *out.client->seal(RecordType::kSession, bytes_of(secret));
  EXPECT_EQ(text_of(record).find(secret.substr(0, 8)), std::string_view::npos);
  const auto opened = out.server->open(RecordType::kSession, record);
  ASSERT_TRUE(opened);
  EXPECT_EQ(text_of(opened->reveal()), secret);
}

TEST(ChallengeClaims, Claim6TheFirstKeyEncryptsSymmetrically) { expect_symmetric_encryption(1); }
TEST(ChallengeClaims, Claim17TheSameOfTheSystem) { expect_symmetric_encryption(2); }

TEST(ChallengeClaims, Claim8NumbersOfSixteenBits) {
  for (const std::uint32_t keys : {1u, 2u}) {
    Outcome out = converse({.choice = historic(wire::TRANSFORM_HMAC_MD5, 16, keys)});
    ASSERT_TRUE(out.both_done());
    EXPECT_EQ(numbers_of(out).nonce1().size(), 2u);
    EXPECT_TRUE(carries(*out.client, *out.server) && carries(*out.server, *out.client));
  }
}

TEST(ChallengeClaims, Claim8TheSameNumbersNeverGiveTheSameTrafficKeys) {
  // Two sessions of one user with the same two 16-bit numbers: the exchange keys are the same, no record is.
  const auto session = [](const char* fresh) {
    FixedRandom random(fresh);
    int draw = 0;
    return converse({.choice = historic(), .server_random = [=](MutableByteView out) mutable {
                       if (++draw <= 2) return random(out);
                       std::ranges::fill(out, static_cast<std::uint8_t>(draw));
                       return true;
                     }});
  };
  Outcome one = session("s1"), two = session("s2");
  ASSERT_TRUE(one.both_done() && two.both_done());
  ASSERT_EQ(numbers_of(one).nonce1(), numbers_of(two).nonce1());
  ASSERT_EQ(numbers_of(one).nonce2(), numbers_of(two).nonce2());
  EXPECT_NE(exported(*one.client), exported(*two.client));
  const Bytes first = *one.client->seal(RecordType::kSession, text("the same words"));
  const Bytes second = *two.client->seal(RecordType::kSession, text("the same words"));
  EXPECT_NE(first, second);
  EXPECT_FALSE(two.server->open(RecordType::kSession, first)) << "a record of one is none of the other";
  EXPECT_TRUE(one.server->open(RecordType::kSession, first));
}

TEST(ChallengeClaims, Claim8AFreshClientIsEnoughForFreshTrafficKeys) {
  // A replayed server (same random, same numbers) gets other keys too, because the client's 256 bits are new.
  const auto session = [](const char* client) {
    return converse({.choice = historic(), .client_random = FixedRandom(client)});
  };
  Outcome one = session("c1"), two = session("c2");
  ASSERT_TRUE(one.both_done() && two.both_done());
  ASSERT_EQ(one.packets[kNumbers], two.packets[kNumbers]);
  EXPECT_NE(exported(*one.client), exported(*two.client));
  EXPECT_NE(*one.client->seal(RecordType::kSession, text("x")),
            *two.client->seal(RecordType::kSession, text("x")));
}

TEST(ChallengeClaims, Claim8TrafficKeysDoNotRepeatOverManyShortExchanges) {
  // More sessions than 16-bit numbers allow without a repetition (birthday: about 300).
  std::set<std::string> keys;
  const RandomSource real = [](MutableByteView out) { return crypto::fill_random(out); };
  for (int i = 0; i < 1000; ++i) {
    Outcome out = converse(
        {.choice = historic(wire::TRANSFORM_MD5, 16, 1), .client_random = real, .server_random = real});
    ASSERT_TRUE(out.both_done());
    EXPECT_TRUE(keys.insert(exported(*out.client)).second);
  }
}

// Claims 9 and 18: a second number, a second key.
void expect_two_keys(const wire::ChallengeStart& choice) {
  Outcome out = converse({.choice = choice});
  ASSERT_TRUE(out.both_done());
  const wire::ChallengeNumbers numbers = numbers_of(out);
  EXPECT_EQ(numbers.nonce2().size(), numbers.nonce1().size());
  EXPECT_NE(numbers.nonce1(), numbers.nonce2());
  const auto k1 = transform(choice.transform(), bytes_of(kPassword), bytes_of(numbers.nonce1()));
  const auto k2 = transform(choice.transform(), bytes_of(kPassword), bytes_of(numbers.nonce2()));
  ASSERT_TRUE(k1 && k2);
  EXPECT_NE(to_hex(k1->reveal()), to_hex(k2->reveal()));
  // Both keys, so made, are the session's.
  SecureChannel twin(Role::kServer, k1->reveal(), k2->reveal(), transcript_of(out));
  EXPECT_EQ(exported(twin), exported(*out.client));
}

TEST(ChallengeClaims, Claim9ASecondNumberAndASecondKey) {
  expect_two_keys(modern());
  expect_two_keys(historic());
}
TEST(ChallengeClaims, Claim18TheSameOfTheSystem) {
  expect_two_keys(historic(wire::TRANSFORM_KEYED_MD5_RFC1828, 64, 2));
}

// Claims 10 and 19: the first key carries client to server, the second server to client, and neither the
// other.
void expect_a_key_a_direction(const wire::ChallengeStart& choice) {
  const Outcome out = converse({.choice = choice});
  ASSERT_TRUE(out.both_done());
  const auto k1 = transform(choice.transform(), bytes_of(kPassword), bytes_of(numbers_of(out).nonce1()));
  const auto k2 = transform(choice.transform(), bytes_of(kPassword), bytes_of(numbers_of(out).nonce2()));
  const Bytes other(k1->size(), 0x5a);
  const auto th = transcript_of(out);
  wire::ClientPacket proof;
  ASSERT_EQ(wire::decode(out.packets[kProof], proof), wire::Decoded::kMessage);
  wire::ServerPacket confirmation;
  ASSERT_EQ(wire::decode(out.packets[kConfirmation], confirmation), wire::Decoded::kMessage);
  const auto opens = [&](Role role, ByteView first, ByteView second, const std::string& record) {
    return SecureChannel(role, first, second, th).open(RecordType::kFinished, bytes_of(record)).has_value();
  };
  // The first key alone opens what the client sealed …
  EXPECT_TRUE(opens(Role::kServer, k1->reveal(), other, proof.finished()));
  EXPECT_FALSE(opens(Role::kServer, other, k2->reveal(), proof.finished()));
  EXPECT_FALSE(opens(Role::kServer, k2->reveal(), k1->reveal(), proof.finished()));
  // … and the second alone what the server sealed.
  EXPECT_TRUE(opens(Role::kClient, other, k2->reveal(), confirmation.finished()));
  EXPECT_FALSE(opens(Role::kClient, k1->reveal(), other, confirmation.finished()));
  EXPECT_FALSE(opens(Role::kClient, k2->reveal(), k1->reveal(), confirmation.finished()));
}

TEST(ChallengeClaims, Claim10FirstKeyToTheServerSecondKeyToTheClient) {
  expect_a_key_a_direction(modern());
  expect_a_key_a_direction(historic());
}
TEST(ChallengeClaims, Claim19TheSameOfTheSystem) {
  expect_a_key_a_direction(historic(wire::TRANSFORM_MD5, 16, 2));
}

TEST(ChallengeClaims, Claim10NoEndOpensWhatItsOwnKindSealed) {
  for (const std::uint32_t keys : {1u, 2u}) {
    Outcome out = converse({.choice = modern(keys)}), twin = converse({.choice = modern(keys)});
    ASSERT_TRUE(out.both_done() && twin.both_done());
    const Bytes by_client = *out.client->seal(RecordType::kSession, text("to the server"));
    const Bytes by_server = *out.server->seal(RecordType::kSession, text("to the client"));
    EXPECT_FALSE(twin.client->open(RecordType::kSession, by_client)) << keys << " keys";
    EXPECT_FALSE(twin.server->open(RecordType::kSession, by_server)) << keys << " keys";
    EXPECT_TRUE(out.server->open(RecordType::kSession, by_client));
    EXPECT_TRUE(out.client->open(RecordType::kSession, by_server));
  }
}

}  // namespace
}  // namespace keyd::exchange
