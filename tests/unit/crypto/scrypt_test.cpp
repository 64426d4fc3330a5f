#include "core/crypto/scrypt.h"

#include <gtest/gtest.h>

#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

std::string hashed(std::string_view password, std::string_view salt, ScryptCost cost) {
  const auto out = scrypt(bytes_of(password), bytes_of(salt), cost, 64);
  return out ? to_hex(out->reveal()) : out.error().message();
}

// RFC 7914, section 12 (the one with N = 2^20 takes a GiB).
TEST(Scrypt, AgreesWithTheRfc) {
  EXPECT_EQ(hashed("", "", {.log2_n = 4, .r = 1, .p = 1}),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
            "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
  EXPECT_EQ(hashed("password", "NaCl", {.log2_n = 10, .r = 8, .p = 16}),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
            "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
  EXPECT_EQ(hashed("pleaseletmein", "SodiumChloride", {.log2_n = 14, .r = 8, .p = 1}),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
            "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
}

TEST(Scrypt, TakesNoCostThatIsNone) {
  for (const ScryptCost cost : {ScryptCost{0, 8, 1}, {25, 8, 1}, {255, 8, 1}, {14, 0, 1}, {14, 8, 0}}) {
    const auto out = scrypt(bytes_of("p"), bytes_of("s"), cost, 32);
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().code, Code::kInvalid);
  }
}

TEST(Scrypt, SaysWhatItFills) {
  EXPECT_EQ((ScryptCost{.log2_n = 15, .r = 8, .p = 1}.memory()), 32u << 20);
  EXPECT_EQ((ScryptCost{.log2_n = 24, .r = 255, .p = 1}.memory()), std::uint64_t{128} * 255 << 24);
}

}  // namespace
}  // namespace keyd::crypto
