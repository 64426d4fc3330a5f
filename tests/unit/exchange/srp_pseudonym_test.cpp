#include "core/exchange/srp_pseudonym.h"

#include <gtest/gtest.h>

#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using test::FixedRandom;
using test::run;
using test::text;

const Bytes kKey = run(0x40, 40);

Bytes hidden(ByteView pseudonym, std::uint8_t identifier = 9) {
  FixedRandom random("fill");
  return *hide_pseudonym(identifier, kKey, bytes_of("alice"), pseudonym, std::ref(random));
}

TEST(SrpPseudonym, ComesBackWhateverItsLength) {
  for (const std::size_t size : {1u, 18u, 19u, 20u, 39u, 40u, 255u}) {
    const Bytes pseudonym = run(1, size), octets = hidden(pseudonym);
    EXPECT_EQ(octets.size(), (size + 1 + 19) / 20 * 20);
    const auto again = reveal_pseudonym(9, kKey, bytes_of("alice"), octets);
    ASSERT_TRUE(again) << size;
    EXPECT_EQ(*again, pseudonym);
  }
}

// Block by block as the draft prints it.
TEST(SrpPseudonym, EachBlockIsMaskedByTheOneBefore) {
  const Bytes octets = hidden(run(1, 30));
  Bytes mask(crypto::kSha1Size);
  const Bytes identifier{9};
  crypto::digest(crypto::Hash::kSha1, {identifier, kKey, bytes_of("alice")}, mask);
  EXPECT_EQ(octets[0] ^ mask[0], 30);
  EXPECT_EQ(octets[1] ^ mask[1], 1);
  crypto::digest(crypto::Hash::kSha1, {identifier, kKey, ByteView(octets).first(20)}, mask);
  EXPECT_EQ(octets[20] ^ mask[0], 20);
}

TEST(SrpPseudonym, IsSomebodyElsesNonsense) {
  const Bytes octets = hidden(run(1, 30));
  const Bytes right = run(1, 30);
  for (const auto& other : {reveal_pseudonym(8, kKey, bytes_of("alice"), octets),
                            reveal_pseudonym(9, run(0, 40), bytes_of("alice"), octets),
                            reveal_pseudonym(9, kKey, bytes_of("alicf"), octets)}) {
    EXPECT_TRUE(!other || *other != right);
  }
}

TEST(SrpPseudonym, IsRefusedWhereItsLengthDoesNotFit) {
  const Bytes octets = hidden(run(1, 30));
  for (std::size_t cut = 0; cut < octets.size(); ++cut)
    EXPECT_FALSE(reveal_pseudonym(9, kKey, bytes_of("alice"), ByteView(octets).first(cut))) << cut;
  Bytes longer = octets;
  longer.resize(60);
  EXPECT_FALSE(reveal_pseudonym(9, kKey, bytes_of("alice"), longer));
  Bytes empty = octets;
  empty[0] ^= 30;
  EXPECT_FALSE(reveal_pseudonym(9, kKey, bytes_of("alice"), empty));
  FixedRandom random("fill");
  EXPECT_FALSE(hide_pseudonym(9, kKey, bytes_of("alice"), {}, std::ref(random)));
  EXPECT_FALSE(hide_pseudonym(9, kKey, bytes_of("alice"), Bytes(256), std::ref(random)));
  EXPECT_FALSE(hide_pseudonym(9, kKey, bytes_of("alice"), run(1, 30), [](MutableByteView) { return false; }));
}

TEST(SrpPseudonym, TheLightResponseHashesAllFour) {
  const Bytes identifier{20}, challenge = run(0, 16);
  Bytes expected(crypto::kSha1Size);
  crypto::digest(crypto::Hash::kSha1, {identifier, kKey, challenge, bytes_of("alice")}, expected);
  EXPECT_EQ(to_hex(light_response(20, kKey, challenge, bytes_of("alice"))), to_hex(expected));
  EXPECT_NE(to_hex(light_response(21, kKey, challenge, bytes_of("alice"))), to_hex(expected));
}

}  // namespace
}  // namespace keyd::exchange
