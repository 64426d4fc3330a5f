// Seed 001, claim by claim, at the level of the two machines. Claims 7 to 11 are the client's side of 1 to 6,
// 12 to 16 the server's, 17 to 19 the system and 20 to 24 the program; they add nothing to what 1 to 6 do.
// What needs the daemon (the task's states, the store) is in tests/integration.
#include <gtest/gtest.h>

#include <set>

#include "core/crypto/des.h"
#include "tests/unit/support/kryptoknight.h"

namespace keyd::exchange {
namespace {

using namespace keyd::test;
using namespace keyd::test::kryptoknight;

constexpr wire::Suite kSuites[] = {wire::SUITE_MODERN, wire::SUITE_HISTORIC};
constexpr wire::SaltCarriage kCarriages[] = {wire::SALT_CARRIAGE_IS_NONCE, wire::SALT_CARRIAGE_STARTS_NONCE,
                                             wire::SALT_CARRIAGE_BESIDE_NONCE};

wire::KryptoknightReply reply_of(const Outcome& out) {
  wire::ServerPacket packet;
  EXPECT_EQ(wire::decode(out.packets[kReply], packet), wire::Decoded::kMessage);
  return packet.kryptoknight_reply();
}
wire::KryptoknightStart start_of(const Outcome& out) {
  wire::ClientPacket packet;
  EXPECT_EQ(wire::decode(out.packets[kStart], packet), wire::Decoded::kMessage);
  return packet.kryptoknight_start();
}
bool contains(ByteView text, ByteView part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end()) != text.end();
}

// ---- 1, 7, 12, 17, 20, 23

TEST(KryptoknightClaims, Claim1AnEncryptedSessionOpensByPasswordAndStoredHash) {
  for (const wire::Suite suite : kSuites) {
    Outcome out = converse({.choice = choice_of(suite)});
    ASSERT_TRUE(out.both_done());
    EXPECT_TRUE(carries(*out.client, *out.server));
    EXPECT_TRUE(carries(*out.server, *out.client));
    EXPECT_EQ(exported(*out.client), exported(*out.server));
    // By the password's hash: another stored hash opens none.
    const PasswordHash other = hash_for(suite, "another password");
    EXPECT_FALSE(converse({.choice = choice_of(suite), .stored = &other}).session_opened);
  }
}

TEST(KryptoknightClaims, Claim1ThePasswordItselfIsSaidInTheSessionAndNowhereElse) {
  for (const wire::Suite suite : kSuites) {
    const Outcome out = converse({.choice = choice_of(suite)});
    ASSERT_TRUE(out.both_done());
    for (const Bytes& packet : out.packets) {
      EXPECT_FALSE(contains(packet, bytes_of(kPassword)));
      EXPECT_FALSE(contains(packet, bytes_of(kPassword.substr(0, 8))));
    }
    // The server has it in clear after the session was opened.
    KryptoknightClient client(choice_of(suite));
    KryptoknightServer server;
    FixedRandom c("c"), s("s");
    const Bytes reply = *give_start(server, *client.start(std::ref(c)), hash_for(suite),
                                    wire::SALT_CARRIAGE_IS_NONCE, std::ref(s));
    ASSERT_TRUE(give_reply(client, reply) && open_with(client, kPassword));
    const auto password = give_password(server, *client.send_password(bytes_of(kPassword)));
    ASSERT_TRUE(password);
    EXPECT_EQ(text_of(password->reveal()), kPassword);
  }
}

TEST(KryptoknightClaims, Claim1TheReceivedPasswordIsHashedAndComparedAndTheSessionEndsOnMismatch) {
  for (const wire::Suite suite : kSuites) {
    // The right hash opened the session, and then another password is said: the server never confirms.
    const Outcome out =
        converse({.choice = choice_of(suite), .sent_password = "correct horse battery stapler"});
    EXPECT_TRUE(out.session_opened);
    EXPECT_TRUE(out.password_taken);
    EXPECT_FALSE(out.server_done);
    EXPECT_FALSE(out.client);
    EXPECT_TRUE(out.packets[kConfirmation].empty());
  }
}

TEST(KryptoknightClaims, Claim1TheThiefOfAStoredHashOpensASessionAndGetsNoFurther) {
  // What the invention is for: "has not obtained the Password' from a breach of the User Id database table".
  for (const wire::Suite suite : kSuites) {
    KryptoknightClient thief(choice_of(suite));
    KryptoknightServer server;
    FixedRandom c("c"), s("s");
    PasswordHash stored = hash_for(suite);
    auto stolen = secret::SecretBuffer::copy_of(stored.hash.reveal());
    const Bytes reply = *give_start(server, *thief.start(std::ref(c)), std::move(stored),
                                    wire::SALT_CARRIAGE_IS_NONCE, std::ref(s));
    ASSERT_TRUE(give_reply(thief, reply));
    ASSERT_TRUE(thief.open_session(secret::SecretBuffer::copy_of(stolen.reveal())));
    // All that it has: the hash, or its hexadecimal, or a guess.
    for (const std::string& said : {to_hex(stolen.reveal()), std::string("guess")}) {
      EXPECT_FALSE(*is_password_of(server.opened_by(), bytes_of(said)));
    }
    const auto password = give_password(server, *thief.send_password(bytes_of(to_hex(stolen.reveal()))));
    ASSERT_TRUE(password);
    EXPECT_FALSE(*is_password_of(server.opened_by(), password->reveal()));
  }
}

// ---- 2, 3, 8, 9, 13, 14, 21

TEST(KryptoknightClaims, Claims2And3TheKryptoKnightFlow) {
  for (const wire::Suite suite : kSuites) {
    const Outcome out = converse({.choice = choice_of(suite)});
    ASSERT_TRUE(out.both_done());
    // "sending a client nonce and client User Id from the client to the server"
    EXPECT_EQ(start_of(out).user(), "ada");
    EXPECT_EQ(start_of(out).client_nonce().size(), 16u);
    // "creating an encrypted session key at the server, from the corresponding hashed password": the same key
    // wrapped under another hash has other octets; "transmitting" it
    const PasswordHash other = hash_for(suite, "another password");
    const Outcome by_other = converse({.choice = choice_of(suite), .stored = &other});
    EXPECT_EQ(start_of(by_other).client_nonce(), start_of(out).client_nonce());
    EXPECT_EQ(reply_of(by_other).server_nonce(), reply_of(out).server_nonce());
    EXPECT_NE(reply_of(by_other).wrapped_key(), reply_of(out).wrapped_key());
    // "decrypting the encrypted session key at the client; and initiating the encrypted session using" it:
    // one changed octet of it and no session begins
    Outcome changed = converse({.choice = choice_of(suite), .on_the_wire = [](Step step, Bytes& packet) {
                                  if (step != kReply) return;
                                  wire::ServerPacket decoded;
                                  ASSERT_EQ(wire::decode(packet, decoded), wire::Decoded::kMessage);
                                  std::string& wrapped =
                                      *decoded.mutable_kryptoknight_reply()->mutable_wrapped_key();
                                  wrapped[0] = static_cast<char>(wrapped[0] ^ 1);
                                  packet = wire::encode(decoded);
                                }});
    EXPECT_FALSE(changed.session_opened);
  }
}

// ---- 4, 10, 18, 22

TEST(KryptoknightClaims, Claim4ThePasswordIsTheFirstThingInTheSession) {
  for (const wire::Suite suite : kSuites) {
    const Outcome out = converse({.choice = choice_of(suite)});
    wire::ClientPacket packet;
    ASSERT_EQ(wire::decode(out.packets[kSentPassword], packet), wire::Decoded::kMessage);
    const ByteView record = bytes_of(packet.kryptoknight_password().password());
    // type 4, epoch 0, counter 0 of the client's direction; then the proof has counter 1
    EXPECT_EQ(to_hex(record.first(13)), "04000000000000000000000000");
    EXPECT_EQ(to_hex(bytes_of(packet.kryptoknight_password().finished()).first(13)),
              "01000000000000000000000001");
  }
}

TEST(KryptoknightClaims, Claim4NothingProceedsBeforeThePassword) {
  for (const wire::Suite suite : kSuites) {
    KryptoknightClient client(choice_of(suite));
    KryptoknightServer server;
    FixedRandom c("c"), s("s");
    const Bytes reply = *give_start(server, *client.start(std::ref(c)), hash_for(suite),
                                    wire::SALT_CARRIAGE_IS_NONCE, std::ref(s));
    ASSERT_TRUE(give_reply(client, reply) && open_with(client, kPassword));
    EXPECT_FALSE(server.confirm());  // and that was the end of it
    EXPECT_FALSE(give_password(server, *client.send_password(bytes_of(kPassword))));
  }
  KryptoknightServer server;
  EXPECT_DEATH((void)server.take_channel(), "");
}

// ---- 5, 11, 15, 19, 24

TEST(KryptoknightClaims, Claim5AfterSuccessThePasswordIsHashedAnewWithASecondSalt) {
  FixedRandom random("salts");
  for (const wire::Suite suite : kSuites) {
    PasswordHash first = hash_for(suite);
    std::set<std::string> hashes{to_hex(first.hash.reveal())};
    for (int login = 0; login < 4; ++login) {
      const Outcome out = converse({.choice = choice_of(suite), .stored = &first});
      ASSERT_TRUE(out.both_done()) << login;
      auto second = make_password_hash(suite, bytes_of(kPassword), {.cost = 1}, std::ref(random));
      ASSERT_TRUE(second);
      EXPECT_TRUE(hashes.insert(to_hex(second->hash.reveal())).second) << "a hash that was there before";
      if (suite == wire::SUITE_HISTORIC) {
        EXPECT_NE(second->salt, first.salt);
      } else {
        EXPECT_NE(second->setting.salt, first.setting.salt);
      }
      // Who stole the first has nothing in the second's place.
      KryptoknightClient thief(choice_of(suite));
      KryptoknightServer server;
      FixedRandom c("c"), s("s");
      const Bytes reply = *give_start(server, *thief.start(std::ref(c)), copy_of(*second),
                                      wire::SALT_CARRIAGE_BESIDE_NONCE, std::ref(s));
      ASSERT_TRUE(give_reply(thief, reply));
      EXPECT_FALSE(thief.open_session(secret::SecretBuffer::copy_of(first.hash.reveal())));
      first = std::move(*second);
    }
  }
}

// ---- 6, 16

TEST(KryptoknightClaims, Claim6TheSaltTravelsWithTheKeyInTheThreeWays) {
  for (const wire::Suite suite : kSuites) {
    const bool modern = suite == wire::SUITE_MODERN;
    // (1) the salt is the server nonce
    Outcome out = converse({.choice = choice_of(suite), .carriage = wire::SALT_CARRIAGE_IS_NONCE});
    ASSERT_TRUE(out.both_done());
    EXPECT_EQ(reply_of(out).salt_carriage(), wire::SALT_CARRIAGE_IS_NONCE);
    EXPECT_EQ(reply_of(out).server_nonce(), modern ? kSetting.salt : "sixteen octets..");
    EXPECT_TRUE(reply_of(out).salt().empty());
    // (2) it is the first part of it
    const PasswordHash eight =
        modern ? modern_hash({"$sha1$10$", "eight.oc", "$"}) : historic_hash("eight oc");
    out = converse(
        {.choice = choice_of(suite), .stored = &eight, .carriage = wire::SALT_CARRIAGE_STARTS_NONCE});
    ASSERT_TRUE(out.both_done());
    EXPECT_EQ(reply_of(out).salt_carriage(), wire::SALT_CARRIAGE_STARTS_NONCE);
    EXPECT_EQ(reply_of(out).salt_size(), 8u);
    EXPECT_EQ(reply_of(out).server_nonce().substr(0, 8), modern ? "eight.oc" : "eight oc");
    EXPECT_TRUE(reply_of(out).salt().empty());
    // (3) it is sent in addition to the server nonce
    out = converse(
        {.choice = choice_of(suite), .stored = &eight, .carriage = wire::SALT_CARRIAGE_BESIDE_NONCE});
    ASSERT_TRUE(out.both_done());
    EXPECT_EQ(reply_of(out).salt_carriage(), wire::SALT_CARRIAGE_BESIDE_NONCE);
    EXPECT_EQ(reply_of(out).salt(), modern ? "eight.oc" : "eight oc");
    EXPECT_NE(reply_of(out).server_nonce().substr(0, 8), modern ? "eight.oc" : "eight oc");
  }
}

TEST(KryptoknightClaims, Claim6NewSaltsAreMadeForTheWayTheyTravel) {
  FixedRandom random("salts");
  for (const wire::Suite suite : kSuites) {
    for (const wire::SaltCarriage carriage : kCarriages) {
      const auto made =
          make_password_hash(suite, bytes_of(kPassword), {.cost = 1, .carriage = carriage}, std::ref(random));
      ASSERT_TRUE(made);
      const Outcome out = converse({.choice = choice_of(suite), .stored = &*made, .carriage = carriage});
      ASSERT_TRUE(out.both_done());
      EXPECT_EQ(reply_of(out).salt_carriage(), carriage);
    }
  }
}

// ---- the text

TEST(KryptoknightClaims, TextNoncesHave128BitsAndAreDrawnAnew) {
  std::set<std::string> nonces;
  for (const wire::Suite suite : kSuites) {
    for (int i = 0; i < 8; ++i) {
      const std::string number = std::to_string(i) + std::to_string(suite);
      const Outcome out = converse({.choice = choice_of(suite),
                                    .client_random = FixedRandom("c" + number),
                                    .server_random = FixedRandom("s" + number)});
      ASSERT_TRUE(out.both_done());
      EXPECT_EQ(start_of(out).client_nonce().size() * 8, 128u);
      EXPECT_EQ(reply_of(out).server_nonce().size() * 8, 128u);
      nonces.insert(start_of(out).client_nonce());
      nonces.insert(reply_of(out).server_nonce());
    }
  }
  EXPECT_EQ(nonces.size(), 32u);
}

TEST(KryptoknightClaims, TextSecretHashIsMd5OfTheNonceAndTheHashBothXoredWithHostAndPort) {
  // From the formula alone: MD5((Nc xor hp) | Ns | (P' xor hp)), where hp has 16 octets, fewer, or more.
  const Bytes nc = run(0x10, 16), ns = run(0x80, 16), hash = run(0xc0, 16);
  for (const std::string hp : {"host.example:338", "h:1", "a-rather-long-host-name.example:65535"}) {
    Bytes left = nc, right = hash;
    for (std::size_t i = 0; i < 16; ++i) {
      left[i] ^= static_cast<std::uint8_t>(hp[i % hp.size()]);
      right[i] ^= static_cast<std::uint8_t>(hp[i % hp.size()]);
    }
    Bytes expected(16), got(16);
    crypto::digest(crypto::Hash::kMd5, {left, ns, right}, expected);
    secret_hash_historic(hash, nc, ns, hp, got);
    EXPECT_EQ(to_hex(got), to_hex(expected)) << hp;
  }
  // And as numbers, computed elsewhere.
  const PasswordHash stored = historic_hash("", "PW");
  EXPECT_EQ(to_hex(stored.hash.reveal()), "6e029fbfa817dfc458598a5d38a6755f");
  Bytes secret_hash(16);
  secret_hash_historic(stored.hash.reveal(), hex("271b9f0c2473ca3f0ad456ca9a8e42bd"),
                       hex("895694a9914ee071b0b5e1966dcec231"), "host.example:389", secret_hash);
  EXPECT_EQ(to_hex(secret_hash), "5a71eed9532e1328647d3178230d7e06");
  EXPECT_EQ(to_hex(*wrap_session_key_historic(secret_hash, hex("ea21ebc4f0f64362"))), "9a32e9d1e9f92e13");
}

TEST(KryptoknightClaims, TextThePatentsOwnKeyTravelsAsItIsPrinted) {
  // What a client of the text alone would do with a historic reply gives a DES key that is not weak.
  const PasswordHash stored = historic_hash("", kPassword);
  const Outcome out = converse({.choice = choice_of(wire::SUITE_HISTORIC), .stored = &stored});
  ASSERT_TRUE(out.both_done());
  const auto reply = reply_of(out);
  EXPECT_EQ(reply.salt_carriage(), wire::SALT_CARRIAGE_NONE);
  Bytes secret_hash(16), proof(16);
  secret_hash_historic(stored.hash.reveal(), bytes_of(start_of(out).client_nonce()),
                       bytes_of(reply.server_nonce()), "keyd.example:3389", secret_hash);
  const auto key = unwrap_session_key_historic(secret_hash, bytes_of(reply.wrapped_key()));
  ASSERT_TRUE(key);
  ASSERT_EQ(key->size(), 8u);
  EXPECT_FALSE(crypto::is_weak_des_key(key->reveal()));
  crypto::hmac(crypto::Hash::kMd5, secret_hash,
               {key->reveal(), bytes_of(start_of(out).client_nonce()), bytes_of(reply.server_nonce())},
               proof);
  EXPECT_EQ(to_hex(bytes_of(reply.proof())), to_hex(proof));
}

TEST(KryptoknightClaims, TextTheSessionKeyIsADesKeyOf56Bits) {
  FixedRandom random("keys");
  for (int i = 0; i < 500; ++i) {
    const auto key = draw_des_session_key(std::ref(random));
    ASSERT_TRUE(key);
    ASSERT_EQ(key->size(), 8u);
    for (const std::uint8_t octet : key->reveal())
      EXPECT_EQ(std::popcount(static_cast<unsigned>(octet)) % 2, 1);
  }
}

TEST(KryptoknightClaims, TextEachCommandHasASessionKeyAndASecretHashOfItsOwn) {
  for (const wire::Suite suite : kSuites) {
    wire::KryptoknightStart choice = choice_of(suite);
    choice.set_per_command(true);
    Outcome out = converse({.choice = choice});
    ASSERT_TRUE(out.both_done());
    const PasswordHash stored = hash_for(suite);
    FixedRandom c("command"), s("response");
    std::set<std::string> wrapped, keys;
    for (int command = 0; command < 4; ++command) {
      CommandKeyRequest request;
      const auto asked = request.ask(std::ref(c));
      auto made = make_command_key(*asked, suite, stored.hash.reveal(), choice.server_name(), std::ref(s));
      ASSERT_TRUE(made);
      const auto taken = request.take(made->answer, suite, stored.hash.reveal(), choice.server_name());
      ASSERT_TRUE(taken);
      EXPECT_EQ(to_hex(taken->reveal()), to_hex(made->session_key.reveal()));
      EXPECT_TRUE(wrapped.insert(made->answer.wrapped_key()).second);
      EXPECT_TRUE(keys.insert(to_hex(taken->reveal())).second);
      const ByteView ns = bytes_of(made->answer.server_nonce());
      out.client->advance_with_key(request.client_nonce(), ns, taken->reveal());
      out.server->advance_with_key(request.client_nonce(), ns, made->session_key.reveal());
      EXPECT_TRUE(carries(*out.client, *out.server, "command"));
      EXPECT_TRUE(carries(*out.server, *out.client, "response"));
    }
  }
}

TEST(KryptoknightClaims, TextHashesOfUnixCryptServe) {
  for (const crypto::CryptSetting& setting : std::initializer_list<crypto::CryptSetting>{
           {"", "ab", ""},  // the `"crypt" function of UNIX systems` of its day
           {"", "ab............", ""},
           {"_J9..", "abcd", ""},
           {"$1$", "abcdefgh", "$"},
           {"$3$", "", "$"},
           {"$md5$", "abcdefgh", ""},
           {"$md5$", "abcdefgh", "$"},
           {"$2b$04$", "abcdefghijklmnopqrstuu", ""},
           {"$5$", "saltsalt", "$"},
           {"$6$rounds=1000$", "saltsaltsaltsalt", "$"},
           {"$7$8/..../....", "abcdefghijk", "$"},
           {"$y$j75$", "F5Jx5fExrKuPp53xLKQ.Y/", "$"},
           {"$gy$j75$", "abcdefghijklmnop", "$"}}) {
    const PasswordHash stored = modern_hash(setting);
    for (const wire::SaltCarriage carriage : kCarriages) {
      Outcome out = converse({.stored = &stored, .carriage = carriage});
      EXPECT_TRUE(out.both_done()) << setting.text() << " " << carriage;
      EXPECT_FALSE(
          converse({.client_password = "x", .stored = &stored, .carriage = carriage}).session_opened);
      // None of the hash is said to whoever asks.
      const std::string hash(text_of(stored.hash.reveal().last(11)));
      for (const Bytes& packet : out.packets)
        EXPECT_FALSE(contains(packet, bytes_of(hash))) << setting.text();
    }
  }
}

}  // namespace
}  // namespace keyd::exchange
