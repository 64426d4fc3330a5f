#include "core/exchange/srp_numbers.h"

#include <gtest/gtest.h>

#include "core/exchange/srp_verifier.h"
#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using crypto::Number;
using test::FixedRandom;
using test::hex;

SrpGroup group() { return *SrpGroup::listed(1024); }
bool is_public(ByteView octets) { return public_value(group(), octets).has_value(); }

TEST(SrpNumbers, APublicValueIsOneToNLessOne) {
  const Number& N = group().modulus().value();
  EXPECT_TRUE(is_public({{1}}));
  EXPECT_TRUE(is_public(N.minus_one().public_octets()));
  EXPECT_TRUE(is_public(Number::of(7).public_octets(128)));
  EXPECT_FALSE(is_public({}));
  EXPECT_FALSE(is_public({{0}}));
  EXPECT_FALSE(is_public(Bytes(128)));
  EXPECT_FALSE(is_public(N.public_octets()));
  EXPECT_FALSE(is_public(N.plus(Number::of(1)).public_octets()));
  EXPECT_FALSE(is_public(N.times(Number::of(2)).public_octets()));
  EXPECT_FALSE(is_public(Bytes(128, 0xff)));
  EXPECT_FALSE(is_public(Number::of(7).public_octets(129)));
  EXPECT_FALSE(is_public(Bytes(1 << 16, 0xff)));
}

// RFC 2945 section 3.1 asks for it of B: with u = 0 the verifier is not in S. This B was found by search.
TEST(SrpNumbers, RefusesAnUThatIsZero) {
  const Number B = Number::of(hex("0100000203b58c0b"));
  Bytes hash(crypto::kSha1Size);
  crypto::digest(crypto::Hash::kSha1, {B.public_octets()}, hash);
  ASSERT_EQ(to_hex(ByteView(hash).first(4)), "00000000");
  EXPECT_FALSE(u_of(SrpRules::srp3(), group(), Number::of(2), B));
  EXPECT_TRUE(u_of(SrpRules::srp3(), group(), Number::of(2), B.plus(Number::of(1))));
}

TEST(SrpNumbers, TheServerRefusesABThatIsZero) {
  // v = -g^b makes B = v + g^b ≡ 0 in SRP-3.
  const EphemeralPair pair = ephemeral_of(group(), secret::SecretBuffer::copy_of(hex("1234")));
  const Number v = group().modulus().subtract(Number(), Number::of(pair.power.reveal()));
  EXPECT_FALSE(B_of(SrpRules::srp3(), pair, v));
  EXPECT_TRUE(B_of(SrpRules::srp6a(), pair, v));
}

TEST(SrpNumbers, ExponentsHave256BitsAndMoreInLargeGroups) {
  for (const unsigned bits : {1024u, 3072u, 4096u, 6144u}) {
    FixedRandom random("exponent");
    const auto pair = draw_ephemeral(*SrpGroup::listed(bits), std::ref(random));
    ASSERT_TRUE(pair);
    EXPECT_EQ(Number::of(pair->exponent.reveal()).bits(), bits > 4096 ? 384u : 256u);
    EXPECT_EQ(to_hex(pair->power.reveal()),
              to_hex(pair->group.modulus()
                         .power(pair->group.generator(), Number::of(pair->exponent.reveal()))
                         .public_octets()));
  }
  EXPECT_FALSE(draw_ephemeral(group(), [](MutableByteView) { return false; }));
}

// Both sides' formulas, over many numbers, in every group.
TEST(SrpNumbers, BothEndsComputeOneS) {
  for (const unsigned bits : {1024u, 1536u, 2048u, 3072u}) {
    const SrpGroup in = *SrpGroup::listed(bits);
    for (int i = 0; i < 3; ++i) {
      FixedRandom random("S" + std::to_string(bits) + std::to_string(i));
      for (const SrpRules& rules :
           {SrpRules::srp3(), SrpRules::srp6a(), SrpRules::srp6a(crypto::Hash::kSha512)}) {
        const auto a = draw_ephemeral(in, std::ref(random)), b = draw_ephemeral(in, std::ref(random));
        const auto x = derive_x(rules.hash, bytes_of("u"), bytes_of("p"), bytes_of("s"));
        const Number v = Number::of(verifier_of(in, x.reveal()).reveal()), A = Number::of(a->power.reveal());
        const Number B = *B_of(rules, *b, v), u = *u_of(rules, in, A, B);
        const Number S = client_S(rules, *a, Number::of(x.reveal()), B, u);
        EXPECT_EQ(Number::compare(S, server_S(*b, v, A, u)), 0) << bits;
        // Another password, another S.
        const auto other = derive_x(rules.hash, bytes_of("u"), bytes_of("q"), bytes_of("s"));
        EXPECT_NE(Number::compare(client_S(rules, *a, Number::of(other.reveal()), B, u), S), 0);
      }
    }
  }
}

// What A = 0 would do: S = 0, and K known to everybody. public_value() is what stands between.
TEST(SrpNumbers, ZeroWouldMakeEverybodyKnowS) {
  const EphemeralPair b = ephemeral_of(group(), secret::SecretBuffer::copy_of(hex("abcdef")));
  EXPECT_TRUE(server_S(b, Number::of(5), Number(), Number::of(9)).is_zero());
}

TEST(SrpNumbers, SrpThreeHasNoMultiplier) {
  EXPECT_EQ(Number::compare(k_of(SrpRules::srp3(), group()), Number::of(1)), 0);
}

TEST(SrpNumbers, TheInterleavedHashStripsAndHalves) {
  const auto K = [](std::string_view S, Interleave order = Interleave::kRfc2945) {
    return to_hex(sha_interleave(hex(S), order).reveal());
  };
  EXPECT_EQ(K("0102030405").size(), 80u);
  EXPECT_EQ(K("0000010203"), K("010203"));  // leading zeros go
  EXPECT_EQ(K("010203"), K("0203"));        // and the first octet where the length is odd
  EXPECT_EQ(K("00ff010203"), K("ff010203"));
  EXPECT_NE(K("0203"), K("0302"));
  EXPECT_EQ(K("0203", Interleave::kStanford), K("0302"));
  EXPECT_EQ(K("010203", Interleave::kStanford), K("0302"));
  // Of nothing: both halves are SHA1("").
  for (const char* nothing : {"", "00", "0000", "07"}) EXPECT_EQ(K(nothing), K("")) << nothing;
  EXPECT_EQ(K("").substr(0, 8), "dada3939");
}

}  // namespace
}  // namespace keyd::exchange
