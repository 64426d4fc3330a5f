// What is a packet, what is not, and what a session record's plaintext may look like.
#include "core/wire/message_codec.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/support/octets.h"

namespace keyd::wire {
namespace {

ClientPacket a_start() {
  ClientPacket packet;
  ChallengeStart& start = *packet.mutable_challenge_start();
  start.set_user("ada");
  start.set_suite(SUITE_MODERN);
  start.set_transform(TRANSFORM_HMAC_SHA256);
  start.set_nonce_bits(256);
  start.set_key_count(2);
  start.set_client_random(std::string(32, 'r'));
  start.set_server_name("keyd.example");
  return packet;
}

TEST(PacketCodec, ReadsBackWhatItWrote) {
  ClientPacket sent = a_start(), read;
  ASSERT_EQ(decode(encode(sent), read), Decoded::kMessage);
  EXPECT_EQ(read.version(), kVersion);
  EXPECT_EQ(read.challenge_start().user(), "ada");
  EXPECT_EQ(read.challenge_start().client_random(), std::string(32, 'r'));
}

TEST(PacketCodec, WritesTheVersionFirst) {
  // docs/protocols: a reader in another language may look at the first two octets.
  ClientPacket sent = a_start();
  const Bytes octets = encode(sent);
  EXPECT_EQ(octets[0], 0x08);
  EXPECT_EQ(octets[1], 0x01);
}

TEST(PacketCodec, WritesTheVersionOverWhatTheCallerSet) {
  ClientPacket sent = a_start(), read;
  sent.set_version(77);
  EXPECT_EQ(decode(encode(sent), read), Decoded::kMessage);
}

TEST(PacketCodec, TellsAnotherVersionApartInEveryKindOfPacket) {
  for (const std::uint32_t version : {0u, 2u, 255u, 0xffffffffu}) {
    ClientPacket packet;
    packet.set_version(version);
    const std::string written = packet.SerializeAsString();
    ClientPacket client;
    ServerPacket server;
    AdminRequest request;
    AdminReply reply;
    EXPECT_EQ(decode(bytes_of(written), client), Decoded::kOtherVersion) << version;
    EXPECT_EQ(decode(bytes_of(written), server), Decoded::kOtherVersion) << version;
    EXPECT_EQ(decode(bytes_of(written), request), Decoded::kOtherVersion) << version;
    EXPECT_EQ(decode(bytes_of(written), reply), Decoded::kOtherVersion) << version;
  }
}

TEST(PacketCodec, TakesNoOctetsForAnotherVersion) {
  ClientPacket read;
  EXPECT_EQ(decode({}, read), Decoded::kOtherVersion);
}

TEST(PacketCodec, RefusesEveryCutOfAPacket) {
  ClientPacket sent = a_start();
  const Bytes whole = encode(sent);
  for (std::size_t size = 3; size < whole.size(); ++size) {
    ClientPacket read;
    EXPECT_EQ(decode(ByteView(whole).first(size), read), Decoded::kMalformed) << size;
  }
}

TEST(PacketCodec, RefusesOctetsThatAreNoPacket) {
  for (const Bytes& junk :
       {test::hex("ff"), test::hex("0801ff"), test::hex("00"), test::hex("080152ffffffff0f"),
        test::hex("0880808080808080808080"), test::text("GET / HTTP/1.1\r\n\r\n")}) {
    ClientPacket client;
    ServerPacket server;
    AdminRequest request;
    AdminReply reply;
    EXPECT_EQ(decode(junk, client), Decoded::kMalformed) << to_hex(junk);
    EXPECT_EQ(decode(junk, server), Decoded::kMalformed) << to_hex(junk);
    EXPECT_EQ(decode(junk, request), Decoded::kMalformed) << to_hex(junk);
    EXPECT_EQ(decode(junk, reply), Decoded::kMalformed) << to_hex(junk);
  }
}

TEST(PacketCodec, RefusesAUserNameThatIsNotUtf8) {
  // challenge_start { user: ff }
  ClientPacket read;
  EXPECT_EQ(decode(test::hex("080152030a01ff"), read), Decoded::kMalformed);
}

TEST(PacketCodec, WritesNothingToStderrAboutWhatAPeerSent) {
  // protobuf's own complaints would let any peer fill keyd's log, past its levels and limits.
  testing::internal::CaptureStderr();
  ClientPacket read;
  EXPECT_EQ(decode(test::hex("080152030a01ff"), read), Decoded::kMalformed);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(PacketCodec, RefusesMoreThanAPacketMayHold) {
  ClientPacket sent, read;
  sent.set_record(std::string(kMaxPacket - 6, 'x'));  // 7 octets of framing
  Bytes octets = encode(sent);
  ASSERT_EQ(octets.size(), kMaxPacket + 1);
  EXPECT_EQ(decode(octets, read), Decoded::kMalformed);
  sent.set_record(std::string(kMaxPacket - 7, 'x'));
  octets = encode(sent);
  ASSERT_EQ(octets.size(), kMaxPacket);
  EXPECT_EQ(decode(octets, read), Decoded::kMessage);
}

TEST(PacketCodec, LeavesAMessageWithoutABodyToItsReader) {
  ClientPacket read;
  ASSERT_EQ(decode(test::hex("0801"), read), Decoded::kMessage);
  EXPECT_EQ(read.body_case(), ClientPacket::BODY_NOT_SET);
}

TEST(PacketCodec, TakesTheLastOfTwoBodies) {
  // protobuf's rule for a oneof. The transcript is over the octets, so both ends must still agree on them.
  ClientPacket first = a_start(), second;
  second.set_finished("x");
  const Bytes both = test::joined(encode(first), encode(second));
  ClientPacket read;
  ASSERT_EQ(decode(both, read), Decoded::kMessage);
  EXPECT_EQ(read.body_case(), ClientPacket::kFinished);
}

TEST(PacketCodec, IgnoresFieldsThatItDoesNotKnow) {
  ClientPacket sent = a_start(), read;
  const Bytes extended = test::joined(encode(sent), test::hex("c83e01"));  // field 1001, varint
  ASSERT_EQ(decode(extended, read), Decoded::kMessage);
  EXPECT_EQ(read.challenge_start().user(), "ada");
}

TEST(PacketCodec, SurvivesDeepNesting) {
  // Groups in groups in an unknown field: protobuf's own recursion limit must hold.
  Bytes nested = test::hex("0801");
  for (int i = 0; i < 2000; ++i) nested.insert(nested.end(), {0xcb, 0x3e});  // field 1001, start of group
  ClientPacket read;
  EXPECT_EQ(decode(nested, read), Decoded::kMalformed);
}

TEST(Refusal, CarriesItsCodeAndText) {
  ServerPacket sent = refusal(REFUSAL_BUSY, "try again later"), read;
  ASSERT_EQ(decode(encode(sent), read), Decoded::kMessage);
  ASSERT_EQ(read.body_case(), ServerPacket::kRefused);
  EXPECT_EQ(read.refused().code(), REFUSAL_BUSY);
  EXPECT_EQ(read.refused().text(), "try again later");
}

// ---- session records

TEST(SessionCodec, CarriesMessageAndPayload) {
  SessionRequest sent, read;
  sent.mutable_credential()->set_name("db");
  const Bytes payload = test::run(0, 1000);
  const auto plaintext = encode_session(sent, payload);
  ByteView carried;
  ASSERT_TRUE(decode_session(plaintext.reveal(), read, carried));
  EXPECT_EQ(read.credential().name(), "db");
  EXPECT_TRUE(std::ranges::equal(carried, payload));
}

TEST(SessionCodec, CarriesTheLargestCredential) {
  SessionReply sent, read;
  sent.mutable_credential();
  const auto plaintext = encode_session(sent, Bytes(kMaxCredential, 7));
  ByteView carried;
  ASSERT_TRUE(decode_session(plaintext.reveal(), read, carried));
  EXPECT_EQ(carried.size(), kMaxCredential);
}

TEST(SessionCodec, CarriesAMessageOrAPayloadOfNoOctets) {
  SessionReply sent, read;
  const auto plaintext = encode_session(sent, {});
  EXPECT_EQ(plaintext.size(), 4u);
  ByteView carried = bytes_of("old");
  ASSERT_TRUE(decode_session(plaintext.reveal(), read, carried));
  EXPECT_TRUE(carried.empty());
  EXPECT_EQ(read.body_case(), SessionReply::BODY_NOT_SET);
}

TEST(SessionCodec, RefusesFewerOctetsThanALength) {
  for (std::size_t size = 0; size < 4; ++size) {
    SessionRequest request;
    SessionReply reply;
    ByteView payload;
    EXPECT_FALSE(decode_session(Bytes(size), request, payload)) << size;
    EXPECT_FALSE(decode_session(Bytes(size), reply, payload)) << size;
  }
}

TEST(SessionCodec, RefusesALengthBeyondTheEnd) {
  for (const char* plaintext :
       {"00000001", "00000003aabb", "7fffffff00", "80000000", "ffffffff", "fffffffcaabbccdd"}) {
    SessionRequest request;
    SessionReply reply;
    ByteView payload;
    EXPECT_FALSE(decode_session(test::hex(plaintext), request, payload)) << plaintext;
    EXPECT_FALSE(decode_session(test::hex(plaintext), reply, payload)) << plaintext;
  }
}

TEST(SessionCodec, GivesAPayloadThatLiesInsideThePlaintext) {
  SessionRequest sent;
  sent.mutable_echo();
  const auto plaintext = encode_session(sent, test::run(0, 100));
  const ByteView whole = plaintext.reveal();
  // Every possible length: whatever decodes, the payload is what is left behind the message.
  for (std::uint32_t length = 0; length <= 110; ++length) {
    Bytes changed(whole.begin(), whole.end());
    std::ranges::copy(be32(length), changed.begin());
    SessionRequest read;
    ByteView payload;
    if (!decode_session(changed, read, payload)) continue;
    ASSERT_LE(4 + length, changed.size());
    EXPECT_EQ(payload.data(), changed.data() + 4 + length);
    EXPECT_EQ(payload.size(), changed.size() - 4 - length);
  }
}

TEST(SessionCodec, RefusesAMessageThatDoesNotParse) {
  SessionRequest request;
  ByteView payload;
  EXPECT_FALSE(decode_session(test::hex("00000001ff"), request, payload));
  EXPECT_FALSE(decode_session(test::hex("000000020aff"), request, payload));
}

TEST(SessionCodec, RefusesAPayloadThatDoesNotFitIntoAPool) {
  EXPECT_THROW((void)encode_session(SessionReply(), Bytes(secret::LockedPool::kLargestBlock)),
               secret::PoolExhausted);
}

}  // namespace
}  // namespace keyd::wire
