// The kryptoknight exchange against somebody on the wire, and against each end gone bad: changed, cut,
// replayed, reordered and reflected packets, hostile servers, steps out of order.
#include "core/exchange/kryptoknight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/crypto/des.h"
#include "core/exchange/transcript.h"
#include "core/secret/locked_pool.h"
#include "tests/unit/exchange/kryptoknight_vectors.h"
#include "tests/unit/support/kryptoknight.h"

namespace keyd::exchange {
namespace {

using namespace keyd::test;
using namespace keyd::test::kryptoknight;

constexpr wire::Suite kSuites[] = {wire::SUITE_MODERN, wire::SUITE_HISTORIC};
constexpr wire::SaltCarriage kCarriages[] = {wire::SALT_CARRIAGE_IS_NONCE, wire::SALT_CARRIAGE_STARTS_NONCE,
                                             wire::SALT_CARRIAGE_BESIDE_NONCE};

// ---- TestVectors

// Gives these octets, draw by draw; whoever draws another number of them is refused.
RandomSource draws(std::vector<Bytes> octets) {
  return [left = std::move(octets), at = std::size_t{0}](MutableByteView out) mutable {
    if (at == left.size() || left[at].size() != out.size()) return false;
    std::ranges::copy(left[at++], out.begin());
    return true;
  };
}

TEST(KryptoknightExchange, GivesTheTestVectors) {
  for (const ExchangeVector& v : kExchangeVectors) {
    const wire::Suite suite = v.modern ? wire::SUITE_MODERN : wire::SUITE_HISTORIC;
    const PasswordHash stored =
        v.modern ? modern_hash({"$sha1$10$", "saltsalt", "$"}) : historic_hash(text_of(run(0xd0, 16)));
    EXPECT_EQ(to_hex(stored.hash.reveal()), v.password_hash);
    Script script{.choice = choice_of(suite, "keyd.example:3389"), .stored = &stored};
    script.choice.set_user("alice");
    script.carriage = v.modern ? wire::SALT_CARRIAGE_BESIDE_NONCE : wire::SALT_CARRIAGE_IS_NONCE;
    script.client_random = draws({run(0x00, 32), run(0x20, 16)});
    script.server_random = draws(
        {run(0x40, 32), run(0x60, 16), run(0x70, 16), v.modern ? run(0x80, 32) : hex("133457799bbcdff1")});
    const Outcome out = converse(script);
    ASSERT_TRUE(out.both_done());
    for (const Step step : kSteps) EXPECT_EQ(to_hex(out.packets[step]), v.packets[step]) << step;

    CommandKeyRequest request;
    const auto made = make_command_key(
        *request.ask(draws({run(0xa0, 16)})), suite, stored.hash.reveal(), "keyd.example:3389",
        draws({run(0xb0, 16), v.modern ? run(0xc0, 32) : hex("0123456789abcdef")}));
    ASSERT_TRUE(made);
    EXPECT_EQ(to_hex(bytes_of(made->answer.wrapped_key())), v.command_key);
    EXPECT_EQ(to_hex(bytes_of(made->answer.proof())), v.command_proof);
  }
}

// ---- WrongPassword

TEST(KryptoknightExchange, AServerThatDoesNotKnowTheHashGetsNothingOfThePassword) {
  for (const wire::Suite suite : kSuites) {
    for (const char* const its_guess :
         {"correct horse battery staplf", "x", "Correct horse battery staple"}) {
      const PasswordHash guess = hash_for(suite, its_guess);
      KryptoknightClient client(choice_of(suite));
      KryptoknightServer impostor;
      FixedRandom c("c"), s("s");
      const Bytes reply = *give_start(impostor, *client.start(std::ref(c)), copy_of(guess),
                                      wire::SALT_CARRIAGE_IS_NONCE, std::ref(s));
      ASSERT_TRUE(give_reply(client, reply));
      const auto opened = open_with(client, kPassword);
      ASSERT_FALSE(opened);
      EXPECT_EQ(opened.error().code, Code::kRefused);
      EXPECT_FALSE(client.send_password(bytes_of(kPassword)));
      EXPECT_FALSE(open_with(client, its_guess)) << "it has failed for good";
      EXPECT_TRUE(client.take_hash().empty());
    }
  }
}

TEST(KryptoknightExchange, RefusesEveryOneBitErrorInAPassword) {
  const PasswordHash stored = historic_hash();
  for (std::size_t bit = 0; bit < kPassword.size() * 8; ++bit) {
    std::string wrong(kPassword);
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(
        converse({.choice = choice_of(wire::SUITE_HISTORIC), .client_password = wrong, .stored = &stored})
            .session_opened);
    EXPECT_FALSE(
        converse({.choice = choice_of(wire::SUITE_HISTORIC), .sent_password = wrong, .stored = &stored})
            .server_done);
  }
}

TEST(KryptoknightExchange, AClientThatDoesNotKnowTheHashSaysNothingThatTheServerOpens) {
  // It makes up a session of its own after the server's reply.
  for (const wire::Suite suite : kSuites) {
    KryptoknightClient client(choice_of(suite));
    KryptoknightServer server;
    FixedRandom c("c"), s("s");
    const Bytes start = *client.start(std::ref(c));
    const Bytes reply =
        *give_start(server, start, hash_for(suite), wire::SALT_CARRIAGE_IS_NONCE, std::ref(s));
    Transcript transcript;
    transcript.client_said(start);
    transcript.server_said(reply);
    const Bytes guess(32, 'g');
    SecureChannel channel(Role::kClient, guess, guess, transcript.hash());
    Bytes plaintext(128);
    plaintext[1] = static_cast<std::uint8_t>(kPassword.size());
    std::ranges::copy(kPassword, plaintext.begin() + 2);
    const Bytes record = *channel.seal(RecordType::kPassword, plaintext);
    transcript.client_said(record);
    const Bytes finished = *channel.seal(RecordType::kFinished, transcript.hash());
    wire::ClientPacket packet;
    packet.mutable_kryptoknight_password()->set_password(record.data(), record.size());
    packet.mutable_kryptoknight_password()->set_finished(finished.data(), finished.size());
    const auto taken = give_password(server, wire::encode(packet));
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, Code::kRefused);
  }
}

TEST(KryptoknightExchange, TakesPasswordsOfEveryLengthAndKind) {
  for (const std::string& password : {std::string("x"), std::string("Grüße 名前"), std::string(125, 'x'),
                                      std::string(126, 'x'), std::string(127, 'x'), std::string(511, 'x')}) {
    for (const wire::Suite suite : kSuites) {
      const PasswordHash stored = hash_for(suite, password);
      EXPECT_TRUE(converse({.choice = choice_of(suite),
                            .client_password = password,
                            .sent_password = password,
                            .stored = &stored})
                      .both_done())
          << password.size();
    }
  }
  for (const std::string& password :
       {std::string(512, 'x'), std::string(1024, 'x'), std::string("a\0b", 3)}) {
    const PasswordHash stored = hash_for(wire::SUITE_HISTORIC, password);
    EXPECT_TRUE(converse({.choice = choice_of(wire::SUITE_HISTORIC),
                          .client_password = password,
                          .sent_password = password,
                          .stored = &stored})
                    .both_done())
        << password.size();
    EXPECT_FALSE(hash_password(bytes_of(password), modern_hash()));
    EXPECT_FALSE(converse({.sent_password = password}).password_taken);
  }
  for (const wire::Suite suite : kSuites) {
    EXPECT_FALSE(converse({.choice = choice_of(suite), .sent_password = ""}).password_taken);
    EXPECT_FALSE(
        converse({.choice = choice_of(suite), .sent_password = std::string(1025, 'x')}).password_taken);
    EXPECT_FALSE(hash_password({}, hash_for(suite)));
    EXPECT_FALSE(hash_password(Bytes(1025, 'x'), hash_for(suite)));
    EXPECT_FALSE(*is_password_of(hash_for(suite), {}));
    EXPECT_FALSE(*is_password_of(hash_for(suite), Bytes(1025, 'x')));
  }
}

TEST(KryptoknightExchange, ThePasswordsPacketDoesNotTellItsLength) {
  std::size_t size = 0;
  for (const std::size_t length : {1u, 8u, 50u, 126u}) {
    const std::string password(length, 'p');
    const PasswordHash stored = historic_hash("salt", password);
    const Outcome out = converse({.choice = choice_of(wire::SUITE_HISTORIC),
                                  .client_password = password,
                                  .sent_password = password,
                                  .stored = &stored});
    ASSERT_TRUE(out.both_done());
    if (size != 0) {
      EXPECT_EQ(out.packets[kSentPassword].size(), size);
    }
    size = out.packets[kSentPassword].size();
  }
}

// ---- what is not a password though it is sealed

// A client that has P' and says whatever it likes in the session. Historic, where all derivations are public.
Result<secret::SecretBuffer> said_in_the_session(ByteView plaintext,
                                                 RecordType type = RecordType::kPassword) {
  KryptoknightClient client(choice_of(wire::SUITE_HISTORIC));
  KryptoknightServer server;
  FixedRandom c("c"), s("s");
  const Bytes start = *client.start(std::ref(c));
  const PasswordHash stored = historic_hash();
  const Bytes reply = *give_start(server, start, copy_of(stored), wire::SALT_CARRIAGE_IS_NONCE, std::ref(s));
  wire::ServerPacket said;
  EXPECT_EQ(wire::decode(reply, said), wire::Decoded::kMessage);
  Bytes secret_hash(16);
  secret_hash_historic(stored.hash.reveal(), bytes_of(client.choice().client_nonce()),
                       bytes_of(said.kryptoknight_reply().server_nonce()), client.choice().server_name(),
                       secret_hash);
  const auto key =
      *unwrap_session_key_historic(secret_hash, bytes_of(said.kryptoknight_reply().wrapped_key()));
  Transcript transcript;
  transcript.client_said(start);
  transcript.server_said(reply);
  SecureChannel channel(Role::kClient, key.reveal(), key.reveal(), transcript.hash());
  const Bytes record = *channel.seal(type, plaintext);
  transcript.client_said(record);
  const Bytes finished = *channel.seal(RecordType::kFinished, transcript.hash());
  wire::ClientPacket packet;
  packet.mutable_kryptoknight_password()->set_password(record.data(), record.size());
  packet.mutable_kryptoknight_password()->set_finished(finished.data(), finished.size());
  return give_password(server, wire::encode(packet));
}

TEST(KryptoknightExchange, RefusesWhatIsSealedInThePasswordsPlaceAndIsNone) {
  const auto padded = [](std::size_t length, std::size_t size) {
    Bytes out(size);
    out[0] = static_cast<std::uint8_t>(length >> 8);
    out[1] = static_cast<std::uint8_t>(length);
    for (std::size_t i = 0; i < length && 2 + i < size; ++i) out[2 + i] = 'p';
    return out;
  };
  EXPECT_EQ(text_of(said_in_the_session(padded(5, 128))->reveal()), "ppppp");
  EXPECT_EQ(said_in_the_session(padded(126, 128))->size(), 126u);
  EXPECT_EQ(said_in_the_session(padded(1024, 1152))->size(), 1024u);
  const std::pair<const char*, Bytes> bad[] = {
      {"nothing", {}},
      {"one octet", {0}},
      {"no padding", padded(5, 7)},
      {"no password", padded(0, 128)},
      {"longer than it is", padded(127, 128)},
      {"much longer than it is", padded(65535, 128)},
      {"a block too many", padded(5, 256)},
      {"not whole blocks", padded(5, 129)},
      {"too long", padded(1025, 1152)},
      {"too long altogether", padded(1200, 1280)},
  };
  for (const auto& [what, plaintext] : bad) {
    const auto taken = said_in_the_session(plaintext);
    ASSERT_FALSE(taken) << what;
    EXPECT_EQ(taken.error().code, Code::kInvalid) << what;
  }
  for (std::size_t at = 7; at < 128; ++at) {
    Bytes plaintext = padded(5, 128);
    plaintext[at] = 1;
    EXPECT_FALSE(said_in_the_session(plaintext)) << "padding that is not zero at " << at;
  }
  for (const RecordType type : {RecordType::kFinished, RecordType::kSession, RecordType::kApplication}) {
    const auto taken = said_in_the_session(padded(5, 128), type);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, Code::kRefused);
  }
}

// ---- changed offer

template <typename Change>
Outcome with_changed_start(const wire::KryptoknightStart& choice, Change change) {
  return converse({.choice = choice, .on_the_wire = [&](Step step, Bytes& packet) {
                     if (step != kStart) return;
                     wire::ClientPacket decoded;
                     ASSERT_EQ(wire::decode(packet, decoded), wire::Decoded::kMessage);
                     change(*decoded.mutable_kryptoknight_start());
                     packet = wire::encode(decoded);
                   }});
}
template <typename Change>
Outcome with_changed_reply(const Script& base, Change change) {
  Script script = base;
  script.on_the_wire = [&](Step step, Bytes& packet) {
    if (step != kReply) return;
    wire::ServerPacket decoded;
    ASSERT_EQ(wire::decode(packet, decoded), wire::Decoded::kMessage);
    change(*decoded.mutable_kryptoknight_reply());
    packet = wire::encode(decoded);
  };
  return converse(script);
}

TEST(KryptoknightExchange, RefusesEveryChangedFieldOfTheOffer) {
  using Start = wire::KryptoknightStart;
  const std::pair<const char*, std::function<void(Start&)>> changes[] = {
      {"user", [](Start& s) { s.set_user("bob"); }},
      {"client_random", [](Start& s) { s.set_client_random(std::string(32, 'x')); }},
      {"server_name", [](Start& s) { s.set_server_name("keyd.evil:3389"); }},
      {"renews", [](Start& s) { s.set_renews(std::string(16, 'x')); }},
      {"client_nonce", [](Start& s) { s.set_client_nonce(std::string(16, 'x')); }},
      {"client_nonce of zeros", [](Start& s) { s.set_client_nonce(std::string(16, '\0')); }},
      {"per_command", [](Start& s) { s.set_per_command(true); }},
  };
  for (const wire::Suite suite : kSuites) {
    for (const auto& [field, change] : changes) {
      const Outcome out = with_changed_start(choice_of(suite), change);
      EXPECT_FALSE(out.packets[kReply].empty()) << field << ": the server does take it";
      EXPECT_FALSE(out.server_done) << field;
      EXPECT_FALSE(out.client) << field;
      if (suite == wire::SUITE_MODERN) {
        EXPECT_FALSE(out.session_opened) << field << ": the password stays where it is";
      }
    }
  }
}

TEST(KryptoknightExchange, RefusesADowngradeFromModernToHistoric) {
  const PasswordHash historic = historic_hash();
  Outcome out = converse({.stored = &historic, .on_the_wire = [](Step step, Bytes& packet) {
                            if (step != kStart) return;
                            wire::ClientPacket decoded;
                            ASSERT_EQ(wire::decode(packet, decoded), wire::Decoded::kMessage);
                            decoded.mutable_kryptoknight_start()->set_suite(wire::SUITE_HISTORIC);
                            packet = wire::encode(decoded);
                          }});
  EXPECT_FALSE(out.packets[kReply].empty());
  EXPECT_FALSE(out.session_opened);
  EXPECT_FALSE(out.server_done);
}

TEST(KryptoknightExchange, RefusesEveryChangedFieldOfTheReply) {
  using Reply = wire::KryptoknightReply;
  const std::pair<const char*, std::function<void(Reply&)>> changes[] = {
      {"server_random", [](Reply& r) { r.set_server_random(std::string(32, 'x')); }},
      {"session_id", [](Reply& r) { r.set_session_id(std::string(16, 'x')); }},
      {"server_nonce", [](Reply& r) { r.set_server_nonce(std::string(16, 'x')); }},
      {"server_nonce of zeros", [](Reply& r) { r.set_server_nonce(std::string(16, '\0')); }},
      {"wrapped_key", [](Reply& r) { r.mutable_wrapped_key()->back() ^= 1; }},
      {"proof", [](Reply& r) { r.set_proof(std::string(16, 'x')); }},
      {"no salt", [](Reply& r) { r.set_salt_carriage(wire::SALT_CARRIAGE_NONE); }},
      {"a part of the salt",
       [](Reply& r) {
         r.set_salt_carriage(wire::SALT_CARRIAGE_STARTS_NONCE);
         r.set_salt_size(8);
       }},
      {"the same salt beside it",
       [](Reply& r) {
         r.set_salt_carriage(wire::SALT_CARRIAGE_BESIDE_NONCE);
         r.set_salt(r.server_nonce());
       }},
      {"setting_head", [](Reply& r) { r.set_setting_head("$sha1$11$"); }},
      {"another method", [](Reply& r) { r.set_setting_head("$6$rounds=1000$"); }},
      {"setting_tail",
       [](Reply& r) {
         r.set_setting_tail("");
         r.mutable_proof()->append("x");
       }},
  };
  for (const wire::Suite suite : kSuites) {
    for (const auto& [field, change] : changes) {
      const Outcome out =
          with_changed_reply({.choice = choice_of(suite), .carriage = wire::SALT_CARRIAGE_IS_NONCE}, change);
      EXPECT_FALSE(out.server_done) << field;
      EXPECT_FALSE(out.client) << field;
      if (suite == wire::SUITE_MODERN) {
        EXPECT_FALSE(out.session_opened) << field << ": the password stays where it is";
      }
    }
  }
  // The tail is bound too, though it changes no hash.
  const Outcome out = with_changed_reply({}, [](Reply& r) { r.clear_setting_tail(); });
  EXPECT_FALSE(out.session_opened);
}

// ---- CorruptMessages

void expect_refused(const Script& base, Step step, const Bytes& arrives, const std::string& what) {
  Script script = base;
  script.on_the_wire = [&](Step at, Bytes& packet) {
    if (at == step) packet = arrives;
  };
  const Outcome out = converse(script);
  EXPECT_FALSE(out.client) << what;
  if (step != kConfirmation) {
    EXPECT_FALSE(out.server_done) << what;
  }
}

TEST(KryptoknightExchange, RefusesEveryFlippedBitOfEveryPacket) {
  for (const wire::Suite suite : kSuites) {
    for (const wire::SaltCarriage carriage : kCarriages) {
      const PasswordHash eight = suite == wire::SUITE_MODERN ? modern_hash({"$sha1$10$", "eight.oc", "$"})
                                                             : historic_hash("eight oc");
      const PasswordHash sixteen = hash_for(suite);
      const Script script{.choice = choice_of(suite),
                          .stored = carriage == wire::SALT_CARRIAGE_STARTS_NONCE ? &eight : &sixteen,
                          .carriage = carriage};
      const Outcome honest = converse(script);
      ASSERT_TRUE(honest.both_done());
      for (const Step step : kSteps) {
        Bytes packet = honest.packets[step];
        for (std::size_t bit = 0; bit < packet.size() * 8; ++bit) {
          packet[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
          expect_refused(script, step, packet,
                         "packet " + std::to_string(step) + " bit " + std::to_string(bit));
          packet[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
        }
      }
    }
  }
}

TEST(KryptoknightExchange, RefusesEveryPacketCutAtEveryLength) {
  for (const wire::Suite suite : kSuites) {
    const PasswordHash stored = hash_for(suite);
    const Script script{.choice = choice_of(suite), .stored = &stored};
    const Outcome honest = converse(script);
    for (const Step step : kSteps) {
      const Bytes& packet = honest.packets[step];
      for (std::size_t size = 0; size < packet.size(); ++size) {
        expect_refused(script, step,
                       Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(size)),
                       "packet " + std::to_string(step) + " cut to " + std::to_string(size));
      }
    }
  }
}

TEST(KryptoknightExchange, RefusesAnUnknownFieldThatWasAddedOnTheWay) {
  const Bytes extra = hex("c83e01");
  for (const Step step : kSteps) {
    const Outcome out = converse({.on_the_wire = [&](Step at, Bytes& packet) {
      if (at == step) packet = joined(packet, extra);
    }});
    // The last packet's frame is in nothing that follows.
    EXPECT_EQ(out.client.has_value(), step == kConfirmation) << step;
    if (step == kStart || step == kReply) {
      EXPECT_FALSE(out.server_done) << step;
    }
  }
}

TEST(KryptoknightExchange, RefusesEveryPacketInThePlaceOfEveryOther) {
  for (const wire::Suite suite : kSuites) {
    const Script script{.choice = choice_of(suite)};
    const Outcome honest = converse(script);
    for (const Step step : kSteps) {
      for (const Step other : kSteps) {
        if (step != other) {
          expect_refused(script, step, honest.packets[other],
                         std::to_string(other) + " for " + std::to_string(step));
        }
      }
    }
  }
}

TEST(KryptoknightExchange, RefusesThePasswordAndItsProofInTheOtherOrderOrAlone) {
  for (const wire::Suite suite : kSuites) {
    const Script script{.choice = choice_of(suite)};
    const Outcome honest = converse(script);
    wire::ClientPacket said;
    ASSERT_EQ(wire::decode(honest.packets[kSentPassword], said), wire::Decoded::kMessage);
    const wire::KryptoknightPassword message = said.kryptoknight_password();
    const auto refuse = [&](const std::string& password, const std::string& finished,
                            const std::string& what) {
      wire::ClientPacket packet;
      packet.mutable_kryptoknight_password()->set_password(password);
      packet.mutable_kryptoknight_password()->set_finished(finished);
      expect_refused(script, kSentPassword, wire::encode(packet), what);
    };
    refuse(message.finished(), message.password(), "exchanged");
    refuse(message.password(), message.password(), "the password twice");
    refuse(message.finished(), message.finished(), "the proof twice");
    refuse(message.password(), "", "no proof");
    refuse("", message.finished(), "no password");
    refuse(std::string(3000, 'x'), message.finished(), "a long one");
  }
}

// ---- replay and reflection

TEST(KryptoknightExchange, RefusesEveryPacketOfAnEarlierExchange) {
  for (const wire::Suite suite : kSuites) {
    for (const wire::SaltCarriage carriage : kCarriages) {
      const Script before{.choice = choice_of(suite),
                          .carriage = carriage,
                          .client_random = FixedRandom("c1"),
                          .server_random = FixedRandom("s1")};
      const Outcome earlier = converse(before);
      ASSERT_TRUE(earlier.both_done());
      for (const Step step : kSteps) {
        const Script now{.choice = choice_of(suite),
                         .carriage = carriage,
                         .client_random = FixedRandom("c2"),
                         .server_random = FixedRandom("s2")};
        expect_refused(now, step, earlier.packets[step], "packet " + std::to_string(step) + " replayed");
      }
    }
  }
}

TEST(KryptoknightExchange, AReplayedClientIsNotAcceptedThoughTheServersNonceRepeats) {
  // IS_NONCE: Ns is the salt, the same at every login until the password is hashed anew.
  for (const wire::Suite suite : kSuites) {
    const PasswordHash stored = hash_for(suite);
    const Outcome recorded =
        converse({.choice = choice_of(suite), .stored = &stored, .carriage = wire::SALT_CARRIAGE_IS_NONCE});
    ASSERT_TRUE(recorded.both_done());
    FixedRandom fresh("another");
    KryptoknightServer server;
    const auto reply = give_start(server, recorded.packets[kStart], copy_of(stored),
                                  wire::SALT_CARRIAGE_IS_NONCE, std::ref(fresh));
    ASSERT_TRUE(reply);
    wire::ServerPacket one, two;
    ASSERT_EQ(wire::decode(recorded.packets[kReply], one), wire::Decoded::kMessage);
    ASSERT_EQ(wire::decode(*reply, two), wire::Decoded::kMessage);
    EXPECT_EQ(one.kryptoknight_reply().server_nonce(), two.kryptoknight_reply().server_nonce());
    EXPECT_FALSE(give_password(server, recorded.packets[kSentPassword]));
  }
}

TEST(KryptoknightExchange, TheSameStartTwiceDoesNotMeetTheSameCipherStreamTwice) {
  // With the salt as nonce, SecretHash comes again for whoever repeats a start. A server that also drew the
  // same SessionKey would then show it: under one key and one GCM nonce the first 32 octets would be the
  // same.
  const PasswordHash stored = modern_hash();
  FixedRandom c("c");
  KryptoknightClient client(choice_of(wire::SUITE_MODERN));
  const Bytes start = *client.start(std::ref(c));
  std::set<std::string> wrapped;
  for (int i = 0; i < 8; ++i) {
    FixedRandom fresh("s" + std::to_string(i));
    int draw = 0;
    const RandomSource same_key = [&](MutableByteView out) {
      if (++draw <= 3) return fresh(out);
      std::ranges::fill(out, 'k');
      return true;
    };
    KryptoknightServer server;
    const Bytes reply = *give_start(server, start, copy_of(stored), wire::SALT_CARRIAGE_IS_NONCE, same_key);
    ASSERT_EQ(draw, 4);
    wire::ServerPacket said;
    ASSERT_EQ(wire::decode(reply, said), wire::Decoded::kMessage);
    EXPECT_TRUE(wrapped.insert(said.kryptoknight_reply().wrapped_key().substr(0, 32)).second);
  }
}

TEST(KryptoknightExchange, RefusesItsOwnWordsReflected) {
  for (const wire::Suite suite : kSuites) {
    const Outcome honest = converse({.choice = choice_of(suite)});
    wire::ClientPacket said;
    ASSERT_EQ(wire::decode(honest.packets[kSentPassword], said), wire::Decoded::kMessage);
    for (const std::string& record :
         {said.kryptoknight_password().finished(), said.kryptoknight_password().password()}) {
      wire::ServerPacket to_client;
      to_client.set_finished(record);
      expect_refused({.choice = choice_of(suite)}, kConfirmation, wire::encode(to_client), "to the client");
    }
  }
}

// ---- hostile servers

wire::KryptoknightReply reply_to(wire::Suite suite) {
  wire::KryptoknightReply reply;
  reply.set_server_random(std::string(32, 's'));
  reply.set_session_id(std::string(16, 'i'));
  reply.set_server_nonce(std::string(16, 'n'));
  reply.set_salt_carriage(wire::SALT_CARRIAGE_BESIDE_NONCE);
  reply.set_salt("saltsalt");
  if (suite == wire::SUITE_MODERN) {
    reply.set_wrapped_key(std::string(48, 'w'));
    reply.set_setting_head("$6$");
    reply.set_setting_tail("$");
  } else {
    reply.set_wrapped_key(std::string(8, 'w'));
    reply.set_proof(std::string(16, 'p'));
  }
  return reply;
}

Result<void> given(wire::Suite suite, const wire::KryptoknightReply& reply) {
  KryptoknightClient client(choice_of(suite));
  FixedRandom random("c");
  (void)client.start(std::ref(random));
  wire::ServerPacket packet;
  *packet.mutable_kryptoknight_reply() = reply;
  auto taken = give_reply(client, wire::encode(packet));
  if (!taken) {
    EXPECT_FALSE(client.open_session(secret::SecretBuffer(16)));
    EXPECT_FALSE(client.send_password(bytes_of(kPassword)));
  }
  return taken;
}

TEST(KryptoknightClient, RefusesRepliesOfAnotherShapeThanItAskedFor) {
  using Reply = wire::KryptoknightReply;
  const std::pair<const char*, std::function<void(Reply&)>> changes[] = {
      {"no server random", [](Reply& r) { r.clear_server_random(); }},
      {"a short server random", [](Reply& r) { r.mutable_server_random()->pop_back(); }},
      {"a long server random", [](Reply& r) { r.mutable_server_random()->push_back('x'); }},
      {"no session id", [](Reply& r) { r.clear_session_id(); }},
      {"a long session id", [](Reply& r) { r.mutable_session_id()->push_back('x'); }},
      {"no nonce", [](Reply& r) { r.clear_server_nonce(); }},
      {"a short nonce", [](Reply& r) { r.mutable_server_nonce()->pop_back(); }},
      {"a long nonce", [](Reply& r) { r.mutable_server_nonce()->push_back('x'); }},
      {"no key", [](Reply& r) { r.clear_wrapped_key(); }},
      {"a short key", [](Reply& r) { r.mutable_wrapped_key()->pop_back(); }},
      {"a long key", [](Reply& r) { r.mutable_wrapped_key()->push_back('x'); }},
      {"another proof", [](Reply& r) { r.mutable_proof()->push_back('x'); }},
      {"no carriage", [](Reply& r) { r.clear_salt_carriage(); }},
      {"a carriage that is none", [](Reply& r) { r.set_salt_carriage(static_cast<wire::SaltCarriage>(9)); }},
      {"a salt where there is none", [](Reply& r) { r.set_salt_carriage(wire::SALT_CARRIAGE_NONE); }},
      {"a salt beside the nonce that is it",
       [](Reply& r) { r.set_salt_carriage(wire::SALT_CARRIAGE_IS_NONCE); }},
      {"a size of the nonce that is the salt",
       [](Reply& r) {
         r.clear_salt();
         r.set_salt_carriage(wire::SALT_CARRIAGE_IS_NONCE);
         r.set_salt_size(16);
       }},
      {"a first part that is all",
       [](Reply& r) {
         r.clear_salt();
         r.set_salt_carriage(wire::SALT_CARRIAGE_STARTS_NONCE);
         r.set_salt_size(16);
       }},
      {"a first part that is more",
       [](Reply& r) {
         r.clear_salt();
         r.set_salt_carriage(wire::SALT_CARRIAGE_STARTS_NONCE);
         r.set_salt_size(4'000'000'000u);
       }},
      {"a first part that is nothing",
       [](Reply& r) {
         r.clear_salt();
         r.set_salt_carriage(wire::SALT_CARRIAGE_STARTS_NONCE);
       }},
      {"a size beside", [](Reply& r) { r.set_salt_size(8); }},
      {"no salt beside", [](Reply& r) { r.clear_salt(); }},
      {"a long salt", [](Reply& r) { r.set_salt(std::string(87, 'a')); }},
      {"a long head", [](Reply& r) { r.set_setting_head(std::string(129, '$')); }},
      {"a long tail", [](Reply& r) { r.set_setting_tail("$$$"); }},
      {"another tail", [](Reply& r) { r.set_setting_tail("x"); }},
      {"another method", [](Reply& r) { r.set_setting_head("$42$"); }},
  };
  for (const wire::Suite suite : kSuites) {
    EXPECT_TRUE(given(suite, reply_to(suite)));
    for (const auto& [what, change] : changes) {
      wire::KryptoknightReply reply = reply_to(suite);
      change(reply);
      const auto taken = given(suite, reply);
      ASSERT_FALSE(taken) << what;
      EXPECT_EQ(taken.error().code, Code::kInvalid) << what;
    }
  }
}

// The whole of it takes no time: an absurd setting is refused before anything is hashed.
TEST(KryptoknightClient, RefusesSettingsThatWouldCostTooMuch) {
  const auto code_of = [](const char* head, std::string salt, const char* tail) {
    wire::KryptoknightReply reply = reply_to(wire::SUITE_MODERN);
    reply.set_setting_head(head);
    reply.set_salt(std::move(salt));
    reply.set_setting_tail(tail);
    const auto taken = given(wire::SUITE_MODERN, reply);
    return taken ? std::optional<Code>() : taken.error().code;
  };
  EXPECT_EQ(code_of("$6$rounds=999999999$", "saltsalt", "$"), Code::kRefused);
  EXPECT_EQ(code_of("$y$jYT$", "abcdefghijklmnop", "$"), Code::kRefused);
  EXPECT_EQ(code_of("$7$zzzzzzzzzzz", "abcdefghijklmnop", "$"), Code::kRefused);
  EXPECT_EQ(code_of("$2b$31$", "abcdefghijklmnopqrstuu", ""), Code::kRefused);
  EXPECT_EQ(code_of("_zzzz", "abcd", ""), Code::kRefused);
  // A cost where the salt should be.
  EXPECT_EQ(code_of("$6$", "rounds=999999999", "$"), Code::kInvalid);
  EXPECT_EQ(code_of("$6$", "rounds=999999999$a", "$"), Code::kInvalid);
}

TEST(KryptoknightClient, RefusesMethodsThatItDoesNotAccept) {
  const crypto::CryptLimits limits{.methods = {"yescrypt"}};
  EXPECT_FALSE(converse({.limits = limits}).session_opened);
  const PasswordHash stored = modern_hash({"$y$j75$", "F5Jx5fExrKuPp53xLKQ.Y/", "$"});
  EXPECT_TRUE(converse({.stored = &stored, .limits = limits}).both_done());
}

TEST(KryptoknightClient, RefusesAWeakDesKeyFromTheServer) {
  // A server that knows P' and means harm, or draws badly.
  KryptoknightClient client(choice_of(wire::SUITE_HISTORIC));
  FixedRandom random("c");
  ASSERT_TRUE(client.start(std::ref(random)));
  const PasswordHash stored = historic_hash("saltsalt");
  wire::KryptoknightReply reply = reply_to(wire::SUITE_HISTORIC);
  const Bytes weak = hex("e0fee0fef1fef1fe");
  Bytes secret_hash(16), proof(16);
  secret_hash_historic(stored.hash.reveal(), bytes_of(client.choice().client_nonce()),
                       bytes_of(reply.server_nonce()), client.choice().server_name(), secret_hash);
  const Bytes wrapped = *wrap_session_key_historic(secret_hash, weak);
  crypto::hmac(crypto::Hash::kMd5, secret_hash,
               {weak, bytes_of(client.choice().client_nonce()), bytes_of(reply.server_nonce())}, proof);
  reply.set_wrapped_key(wrapped.data(), wrapped.size());
  reply.set_proof(proof.data(), proof.size());
  wire::ServerPacket packet;
  *packet.mutable_kryptoknight_reply() = reply;
  ASSERT_TRUE(give_reply(client, wire::encode(packet)));
  EXPECT_FALSE(open_with(client, kPassword));
}

// ---- the server's input

TEST(KryptoknightServer, RefusesStartsOfAnotherShape) {
  using Start = wire::KryptoknightStart;
  const std::pair<const char*, std::function<void(Start&)>> changes[] = {
      {"no user", [](Start& s) { s.clear_user(); }},
      {"a user that is no text", [](Start& s) { s.set_user("a\x01"); }},
      {"a long user", [](Start& s) { s.set_user(std::string(65, 'a')); }},
      {"no client_random", [](Start& s) { s.clear_client_random(); }},
      {"a long client_random", [](Start& s) { s.mutable_client_random()->push_back('x'); }},
      {"no server name", [](Start& s) { s.clear_server_name(); }},
      {"a long server name", [](Start& s) { s.set_server_name(std::string(256, 'x')); }},
      {"a short renews", [](Start& s) { s.set_renews("x"); }},
      {"no nonce", [](Start& s) { s.clear_client_nonce(); }},
      {"a short nonce", [](Start& s) { s.mutable_client_nonce()->pop_back(); }},
      {"a long nonce", [](Start& s) { s.mutable_client_nonce()->push_back('x'); }},
      {"no suite", [](Start& s) { s.clear_suite(); }},
      {"a suite that is none", [](Start& s) { s.set_suite(static_cast<wire::Suite>(7)); }},
  };
  for (const auto& [what, change] : changes) {
    const Outcome out = with_changed_start(choice_of(wire::SUITE_MODERN), change);
    EXPECT_TRUE(out.packets[kReply].empty()) << what;
  }
}

TEST(KryptoknightServer, RefusesAStoredHashOfAnotherSuiteOrSize) {
  FixedRandom c("c"), s("s");
  KryptoknightClient client(choice_of(wire::SUITE_MODERN));
  const Bytes start = *client.start(std::ref(c));
  const auto refused = [&](PasswordHash stored) {
    KryptoknightServer server;
    return !give_start(server, start, std::move(stored), wire::SALT_CARRIAGE_BESIDE_NONCE, std::ref(s));
  };
  EXPECT_TRUE(refused(historic_hash()));
  PasswordHash empty = modern_hash();
  empty.hash = {};
  EXPECT_TRUE(refused(std::move(empty)));
  PasswordHash long_head = modern_hash();
  long_head.setting.head = std::string(200, '$');
  EXPECT_TRUE(refused(std::move(long_head)));
  PasswordHash long_salt = modern_hash();
  long_salt.setting.salt = std::string(87, 'a');
  EXPECT_TRUE(refused(std::move(long_salt)));
}

TEST(KryptoknightServer, NeverDrawsAWeakDesKey) {
  const PasswordHash stored = historic_hash();
  for (const char* const weak :
       {"0101010101010101", "0000000000000000", "fefefefefefefefe", "ffffffffffffffff", "e0e0e0e0f1f1f1f1",
        "1f1f1f1f0e0e0e0e", "011f011f010e010e", "fee0fee0fef1fef1", "1ffe1ffe0efe0efe"}) {
    FixedRandom otherwise("s");
    int weak_draws = 0;
    const RandomSource often_weak = [&](MutableByteView into) {
      if (into.size() == crypto::kDesKeySize && weak_draws++ < 5) {
        std::ranges::copy(hex(weak), into.begin());
        return true;
      }
      return otherwise(into);
    };
    const Outcome out =
        converse({.choice = choice_of(wire::SUITE_HISTORIC), .stored = &stored, .server_random = often_weak});
    EXPECT_TRUE(out.both_done()) << weak;
    EXPECT_EQ(weak_draws, 6) << weak;
    const RandomSource always_weak = [&](MutableByteView into) {
      if (into.size() != crypto::kDesKeySize) return otherwise(into);
      std::ranges::copy(hex(weak), into.begin());
      return true;
    };
    EXPECT_TRUE(
        converse({.choice = choice_of(wire::SUITE_HISTORIC), .stored = &stored, .server_random = always_weak})
            .packets[kReply]
            .empty());
  }
}

TEST(KryptoknightExchange, RefusesToGoOnWithoutRandomNumbers) {
  for (const wire::Suite suite : kSuites) {
    for (int good = 0; good < 4; ++good) {
      const auto failing = [good](int& drawn) {
        return RandomSource([good, &drawn](MutableByteView out) {
          std::ranges::fill(out, 'r');
          return drawn++ < good;
        });
      };
      int drawn = 0;
      EXPECT_TRUE(
          converse({.choice = choice_of(suite), .server_random = failing(drawn)}).packets[kReply].empty());
      drawn = 0;
      EXPECT_EQ(
          converse({.choice = choice_of(suite), .client_random = failing(drawn)}).packets[kStart].empty(),
          good < 2);
    }
  }
}

TEST(KryptoknightExchange, GivesBackItsLockedMemory) {
  (void)converse({});  // a thread's first record takes what its cipher keeps
  const std::size_t before = secret::LockedPool::instance().in_use();
  for (const wire::Suite suite : kSuites) {
    (void)converse({.choice = choice_of(suite)});
    (void)converse({.choice = choice_of(suite), .client_password = "x"});
    (void)converse({.choice = choice_of(suite), .sent_password = "x"});
  }
  EXPECT_EQ(secret::LockedPool::instance().in_use(), before);
}

// ---- StateMachine

class KryptoknightOrder : public testing::Test {
 protected:
  Outcome honest_ = converse({});
  FixedRandom random_{"client"}, server_random_{"server"};
  KryptoknightClient client_{choice_of(wire::SUITE_MODERN)};
  KryptoknightServer server_;

  [[nodiscard]] bool start() { return client_.start(std::ref(random_)).has_value(); }
  [[nodiscard]] bool reply() { return give_reply(client_, honest_.packets[kReply]).has_value(); }
  [[nodiscard]] bool open() {
    PasswordHash how = modern_hash();
    return client_.open_session(std::move(how.hash)).has_value();
  }
  [[nodiscard]] bool send() { return client_.send_password(bytes_of(kPassword)).has_value(); }
  [[nodiscard]] bool finish() {
    return give_confirmation(client_, honest_.packets[kConfirmation]).has_value();
  }
  void expect_client_dead() {
    EXPECT_FALSE(start());
    EXPECT_FALSE(reply());
    EXPECT_FALSE(open());
    EXPECT_FALSE(send());
    EXPECT_FALSE(finish());
    EXPECT_TRUE(client_.take_hash().empty());
  }
  [[nodiscard]] bool answer() {
    return give_start(server_, honest_.packets[kStart], modern_hash(), wire::SALT_CARRIAGE_BESIDE_NONCE,
                      std::ref(server_random_))
        .has_value();
  }
  [[nodiscard]] bool password() { return give_password(server_, honest_.packets[kSentPassword]).has_value(); }
  [[nodiscard]] bool confirm() { return server_.confirm().has_value(); }
  void expect_server_dead() {
    EXPECT_FALSE(answer());
    EXPECT_FALSE(password());
    EXPECT_FALSE(confirm());
    EXPECT_TRUE(server_.take_hash().empty());
  }
};

TEST_F(KryptoknightOrder, TheHonestOrderWorks) {
  EXPECT_TRUE(start() && reply() && open() && send() && finish());
  EXPECT_TRUE(answer() && password() && confirm());
  const PasswordHash stored = modern_hash();
  EXPECT_EQ(text_of(client_.take_hash().reveal()), text_of(stored.hash.reveal()));
  EXPECT_EQ(text_of(server_.take_hash().reveal()), text_of(stored.hash.reveal()));
  EXPECT_TRUE(client_.take_hash().empty() && server_.take_hash().empty());
  EXPECT_EQ(client_.session_id(), server_.session_id());
  EXPECT_EQ(server_.choice().user(), "ada");
}
TEST_F(KryptoknightOrder, AClientFailsOnAStepTooEarly) {
  const std::function<bool()> steps[] = {[this] { return start(); }, [this] { return reply(); },
                                         [this] { return open(); }, [this] { return send(); },
                                         [this] { return finish(); }};
  for (std::size_t done = 0; done < std::size(steps); ++done) {
    for (std::size_t wrong = 0; wrong < std::size(steps); ++wrong) {
      if (wrong == done) continue;
      SCOPED_TRACE(std::to_string(wrong) + " after " + std::to_string(done) + " steps");
      client_ = KryptoknightClient(choice_of(wire::SUITE_MODERN));
      random_ = FixedRandom("client");
      for (std::size_t i = 0; i < done; ++i) ASSERT_TRUE(steps[i]());
      EXPECT_FALSE(steps[wrong]());
      expect_client_dead();
    }
  }
}
TEST_F(KryptoknightOrder, AServerFailsOnAStepTooEarly) {
  const std::function<bool()> steps[] = {[this] { return answer(); }, [this] { return password(); },
                                         [this] { return confirm(); }};
  for (std::size_t done = 0; done < std::size(steps); ++done) {
    for (std::size_t wrong = 0; wrong < std::size(steps); ++wrong) {
      if (wrong == done) continue;
      SCOPED_TRACE(std::to_string(wrong) + " after " + std::to_string(done) + " steps");
      server_ = KryptoknightServer();
      server_random_ = FixedRandom("server");
      for (std::size_t i = 0; i < done; ++i) ASSERT_TRUE(steps[i]());
      EXPECT_FALSE(steps[wrong]());
      expect_server_dead();
    }
  }
}
TEST_F(KryptoknightOrder, AClientIsDeadAfterItsChannelWasGiven) {
  ASSERT_TRUE(start() && reply() && open() && send() && finish());
  EXPECT_FALSE(finish());
  expect_client_dead();
}
TEST_F(KryptoknightOrder, AServerTakesOnePasswordAndNoMore) {
  ASSERT_TRUE(answer());
  Bytes wrong = honest_.packets[kSentPassword];
  wrong.back() ^= 1;
  EXPECT_FALSE(give_password(server_, wrong));
  EXPECT_FALSE(password()) << "the right one comes too late";
  expect_server_dead();
}
TEST_F(KryptoknightOrder, AServerGivesItsChannelOnce) {
  EXPECT_DEATH((void)server_.take_channel(), "");
  ASSERT_TRUE(answer() && password());
  EXPECT_DEATH((void)server_.take_channel(), "");
  ASSERT_TRUE(confirm());
  (void)server_.take_channel();
  EXPECT_DEATH((void)server_.take_channel(), "");
}

// ---- a command's own key

class KryptoknightCommand : public testing::TestWithParam<wire::Suite> {
 protected:
  static constexpr std::string_view kHost = "keyd.example:3389";
  PasswordHash stored_ = hash_for(GetParam());
  FixedRandom client_{"c"}, server_{"s"};

  [[nodiscard]] Result<CommandKey> make(const wire::FreshKey& asked) {
    return make_command_key(asked, GetParam(), stored_.hash.reveal(), kHost, std::ref(server_));
  }
  [[nodiscard]] Result<secret::SecretBuffer> take(CommandKeyRequest& request,
                                                  const wire::WrappedKey& answer) {
    return request.take(answer, GetParam(), stored_.hash.reveal(), kHost);
  }
};
INSTANTIATE_TEST_SUITE_P(Suites, KryptoknightCommand, testing::ValuesIn(kSuites));

TEST_P(KryptoknightCommand, RefusesEveryFlippedBitOfTheAnswer) {
  CommandKeyRequest request;
  const auto asked = request.ask(std::ref(client_));
  const auto made = make(*asked);
  ASSERT_TRUE(take(request, made->answer));
  const auto flip_all = [&](auto mutable_field) {
    wire::WrappedKey answer = made->answer;
    for (std::size_t bit = 0; bit < mutable_field(answer)->size() * 8; ++bit) {
      wire::WrappedKey changed = made->answer;
      std::string& field = *mutable_field(changed);
      field[bit / 8] = static_cast<char>(field[bit / 8] ^ 1 << bit % 8);
      const auto taken = take(request, changed);
      ASSERT_FALSE(taken) << bit;
      EXPECT_EQ(taken.error().code, Code::kRefused);
    }
  };
  flip_all([](wire::WrappedKey& answer) { return answer.mutable_server_nonce(); });
  flip_all([](wire::WrappedKey& answer) { return answer.mutable_wrapped_key(); });
  flip_all([](wire::WrappedKey& answer) { return answer.mutable_proof(); });
}

TEST_P(KryptoknightCommand, RefusesAnswersOfOtherSizes) {
  CommandKeyRequest request;
  const auto asked = request.ask(std::ref(client_));
  const auto made = make(*asked);
  for (const auto& change : std::initializer_list<std::function<void(wire::WrappedKey&)>>{
           [](auto& a) { a.clear_server_nonce(); }, [](auto& a) { a.mutable_server_nonce()->push_back('x'); },
           [](auto& a) { a.clear_wrapped_key(); }, [](auto& a) { a.mutable_wrapped_key()->pop_back(); },
           [](auto& a) { a.mutable_wrapped_key()->push_back('x'); },
           [](auto& a) { a.mutable_proof()->push_back('x'); }}) {
    wire::WrappedKey changed = made->answer;
    change(changed);
    const auto taken = take(request, changed);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, Code::kInvalid);
  }
  for (const std::size_t size : {0u, 15u, 17u, 32u}) {
    wire::FreshKey bad;
    bad.set_client_nonce(std::string(size, 'n'));
    const auto refused = make(bad);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
}

TEST_P(KryptoknightCommand, RefusesAnAnswerToAnotherQuestionHashHostOrSuite) {
  CommandKeyRequest first, second, never;
  const auto made = make(*first.ask(std::ref(client_)));
  ASSERT_TRUE(second.ask(std::ref(client_)));
  EXPECT_FALSE(take(second, made->answer)) << "the answer to an earlier command";
  EXPECT_FALSE(take(never, made->answer)) << "nothing was asked";
  EXPECT_FALSE(first.take(made->answer, GetParam(), hash_for(GetParam(), "other").hash.reveal(), kHost));
  EXPECT_FALSE(first.take(made->answer, GetParam(), stored_.hash.reveal(), "keyd.evil:3389"));
  EXPECT_FALSE(first.take(made->answer, wire::SUITE_UNSPECIFIED, stored_.hash.reveal(), kHost));
  const wire::Suite other = GetParam() == wire::SUITE_MODERN ? wire::SUITE_HISTORIC : wire::SUITE_MODERN;
  EXPECT_FALSE(first.take(made->answer, other, stored_.hash.reveal(), kHost));
  EXPECT_TRUE(take(first, made->answer));
}

TEST_P(KryptoknightCommand, ALoginsWrappedKeyIsNoCommands) {
  const Outcome login = converse({.choice = choice_of(GetParam()), .stored = &stored_});
  wire::ServerPacket said;
  ASSERT_EQ(wire::decode(login.packets[kReply], said), wire::Decoded::kMessage);
  // Of the same two nonces, under the same hash.
  CommandKeyRequest request;
  const RandomSource same_nonce = [&](MutableByteView out) {
    wire::ClientPacket start;
    EXPECT_EQ(wire::decode(login.packets[kStart], start), wire::Decoded::kMessage);
    std::ranges::copy(start.kryptoknight_start().client_nonce(), out.begin());
    return true;
  };
  ASSERT_TRUE(request.ask(same_nonce));
  wire::WrappedKey answer;
  answer.set_server_nonce(said.kryptoknight_reply().server_nonce());
  answer.set_wrapped_key(said.kryptoknight_reply().wrapped_key());
  answer.set_proof(said.kryptoknight_reply().proof());
  // The text has one formula for both; the modern suite tells them apart.
  EXPECT_EQ(take(request, answer).has_value(), GetParam() == wire::SUITE_HISTORIC);
}

}  // namespace
}  // namespace keyd::exchange
