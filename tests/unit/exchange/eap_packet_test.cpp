#include "core/exchange/eap_packet.h"

#include <gtest/gtest.h>

#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using test::hex;

bool decodes(std::string_view octets) { return decode_eap(hex(octets)).has_value(); }

TEST(EapPacketTest, TakesTheFourCodes) {
  const Bytes request = hex("0106000701aabb");
  const auto packet = decode_eap(request);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->code, EapCode::kRequest);
  EXPECT_EQ(packet->identifier, 6);
  EXPECT_EQ(packet->type, eap_type::kIdentity);
  EXPECT_EQ(to_hex(packet->data), "aabb");
  EXPECT_EQ(packet->length(), 7u);
  for (const char* octets : {"0206000501", "03090004", "04090004"}) {
    const Bytes bytes = hex(octets);
    const auto other = decode_eap(bytes);
    ASSERT_TRUE(other) << octets;
    EXPECT_EQ(to_hex(*encode_eap(*other)), octets);
  }
}

TEST(EapPacketTest, RefusesWhatIsNoPacket) {
  for (const char* octets : {
           "",
           "01",
           "0106",
           "010600",  // no header
           "0006000501",
           "0506000501",
           "ff06000501",  // unknown Codes
           "01060004",
           "02060004",  // no Type
           "0106000001",
           "0106000301",  // a Length below the header's
           "0106000601",
           "0106ffff01",  // more than there is
           "0309000500",
           "0409000500",  // a Success with data
           "03090003",
           "03090000",
       }) {
    EXPECT_FALSE(decodes(octets)) << octets;
  }
}

TEST(EapPacketTest, IgnoresWhatALinkLayerPutsBehindUnlessItMustBeWhole) {
  const Bytes padded = hex("01060005010000");
  const auto packet = decode_eap(padded);
  ASSERT_TRUE(packet);
  EXPECT_TRUE(packet->data.empty());
  EXPECT_FALSE(decode_whole_eap(padded));
  EXPECT_TRUE(decode_whole_eap(ByteView(padded).first(5)));
}

TEST(EapPacketTest, IsAtMost65535Octets) {
  const Bytes data(65530);
  EXPECT_TRUE(encode_eap({.code = EapCode::kRequest, .identifier = 1, .type = 1, .data = data}));
  const Bytes more(65531);
  EXPECT_FALSE(encode_eap({.code = EapCode::kRequest, .identifier = 1, .type = 1, .data = more}));
}

TEST(EapPacketTest, AnExpandedOneNamesVendorAndType) {
  const Bytes data = hex("00abcd000000010102");
  const auto expanded = decode_expanded(data);
  ASSERT_TRUE(expanded);
  EXPECT_EQ(expanded->vendor_id, 0xabcdu);
  EXPECT_EQ(expanded->vendor_type, 1u);
  EXPECT_EQ(to_hex(expanded->data), "0102");
  EXPECT_EQ(to_hex(*encode_expanded(*expanded)), to_hex(data));
  for (std::size_t cut = 0; cut < 7; ++cut) EXPECT_FALSE(decode_expanded(ByteView(data).first(cut))) << cut;
  EXPECT_TRUE(decode_expanded(ByteView(data).first(7)));
  EXPECT_TRUE(encode_expanded({.vendor_id = 0xffffff, .vendor_type = 0xffffffff, .data = {}}));
  EXPECT_FALSE(encode_expanded({.vendor_id = 0x1000000, .vendor_type = 0, .data = {}}));
}

}  // namespace
}  // namespace keyd::exchange
