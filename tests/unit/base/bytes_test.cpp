// Every name of a session and every test vector goes through the hexadecimal here.
#include "core/base/bytes.h"

#include <gtest/gtest.h>

namespace keyd {
namespace {

TEST(Hexadecimal, WritesLowerCaseWithLeadingZeros) {
  EXPECT_EQ(to_hex(Bytes{0x00, 0x0f, 0xa0, 0xff}), "000fa0ff");
  EXPECT_EQ(to_hex({}), "");
}

TEST(Hexadecimal, ReadsBackEveryOctetInEitherCase) {
  for (unsigned value = 0; value < 256; ++value) {
    const Bytes octet{static_cast<std::uint8_t>(value)};
    std::string written = to_hex(octet);
    Bytes read;
    EXPECT_TRUE(from_hex(written, read));
    EXPECT_EQ(read, octet);
    for (char& c : written) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_TRUE(from_hex(written, read));
    EXPECT_EQ(read, octet);
  }
}

TEST(Hexadecimal, RefusesAnOddLengthAndLeavesNothingBehind) {
  Bytes read{1, 2, 3};
  EXPECT_FALSE(from_hex("abc", read));
  EXPECT_TRUE(read.empty());
}

TEST(Hexadecimal, RefusesEveryOtherCharacterInEitherPlace) {
  for (int c = 0; c < 256; ++c) {
    if (std::isxdigit(c) != 0) continue;
    for (const std::size_t place : {2u, 3u}) {
      std::string hex = "00000";
      hex.push_back('0');
      hex[place] = static_cast<char>(c);
      Bytes read;
      EXPECT_FALSE(from_hex(hex, read)) << "character " << c << " at " << place;
      EXPECT_TRUE(read.empty()) << "character " << c;
    }
  }
}

TEST(Hexadecimal, TakesNoPrefixAndNoBlank) {
  Bytes read;
  EXPECT_FALSE(from_hex("0x00", read));
  EXPECT_FALSE(from_hex(" 000", read));
  EXPECT_FALSE(from_hex("00\n0", read));
}

TEST(BigEndian, WritesTheMostSignificantOctetFirst) {
  EXPECT_EQ(be32(0x01020304), (std::array<std::uint8_t, 4>{1, 2, 3, 4}));
  EXPECT_EQ(be64(0x0102030405060708), (std::array<std::uint8_t, 8>{1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(BigEndian, ReadsWhatItWroteAtTheEdges) {
  for (const std::uint64_t value : {0ull, 1ull, 0x7fffffffull, 0x80000000ull, 0xffffffffull}) {
    EXPECT_EQ(read_be32(be32(static_cast<std::uint32_t>(value))), value);
  }
  for (const std::uint64_t value : {0ull, 0xffffffffull, 0x100000000ull, ~0ull, 0x8000000000000000ull}) {
    EXPECT_EQ(read_be64(be64(value)), value);
  }
}

TEST(TextAsOctets, IsTheSameMemory) {
  const std::string word = "ma\0sk";
  EXPECT_EQ(static_cast<const void*>(bytes_of(word).data()), static_cast<const void*>(word.data()));
  EXPECT_EQ(text_of(bytes_of(word)), word);
}

}  // namespace
}  // namespace keyd
