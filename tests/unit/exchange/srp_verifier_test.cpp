#include "core/exchange/srp_verifier.h"

#include <gtest/gtest.h>

#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using test::hex;
using test::text;

constexpr XDerivation kSha1{DerivationKind::kSha1, {}}, kSha256{DerivationKind::kSha256, {}};
constexpr XDerivation kCheapScrypt{DerivationKind::kScrypt, {.log2_n = 4, .r = 1, .p = 1}};

std::string x_of(const XDerivation& derivation, std::string_view user, std::string_view password,
                 ByteView salt) {
  const auto x = derive_x(derivation, bytes_of(user), bytes_of(password), salt);
  return x ? to_hex(x->reveal()) : x.error().message();
}

// Claims 8, 16, 40 and 47, in the order of their steps: H(user, password); H(salt, that); g to that power; modulo N.
TEST(SrpClaims, Claims8And16And40And47TheVerifierStepByStep) {
  const Bytes salt = hex("beb25379d1a8581eb5a727673a2441ee");
  Bytes first(crypto::kSha1Size), second(crypto::kSha1Size);
  crypto::digest(crypto::Hash::kSha1, {bytes_of("alice"), bytes_of(":"), bytes_of("password123")}, first);
  crypto::digest(crypto::Hash::kSha1, {salt, first}, second);
  EXPECT_EQ(x_of(kSha1, "alice", "password123", salt), to_hex(second));
  EXPECT_EQ(to_hex(second), "94b7555aabe9127cc58ccf4993db6cf84d16c124");  // RFC 5054, appendix B
  for (const unsigned bits : {1024u, 2048u}) {  // the old group (claims 8, 40), a new one (16, 47)
    const SrpGroup group = *SrpGroup::listed(bits);
    const auto third = group.modulus().power(group.generator(), crypto::Number::of(second));
    EXPECT_EQ(to_hex(verifier_of(group, second).reveal()), to_hex(third.public_octets()));
  }
}

TEST(SrpVerifierTest, TheSaltIsOctetsNotANumber) {
  EXPECT_NE(x_of(kSha1, "alice", "password", hex("0001")), x_of(kSha1, "alice", "password", hex("01")));
}

TEST(SrpVerifierTest, EveryDerivationDependsOnEverything) {
  for (const XDerivation& derivation : {kSha1, kSha256, kCheapScrypt}) {
    const std::string x = x_of(derivation, "alice", "password", text("salt"));
    EXPECT_EQ(x.size(), derivation == kSha1 ? 40u : 64u);
    EXPECT_NE(x, x_of(derivation, "alicf", "password", text("salt")));
    EXPECT_NE(x, x_of(derivation, "alice", "passwore", text("salt")));
    EXPECT_NE(x, x_of(derivation, "alice", "password", text("salu")));
  }
  EXPECT_NE(x_of(kSha256, "a", "b", text("c")), x_of(kCheapScrypt, "a", "b", text("c")));
  XDerivation dearer = kCheapScrypt;
  dearer.cost.log2_n = 5;
  EXPECT_NE(x_of(dearer, "a", "b", text("c")), x_of(kCheapScrypt, "a", "b", text("c")));
}

TEST(SrpVerifierTest, TheMemoryHardStepIsScryptOfThePasswordAlone) {
  const auto h = crypto::scrypt(bytes_of("password"), bytes_of("salt"), kCheapScrypt.cost, 32);
  ASSERT_TRUE(h);
  EXPECT_EQ(
      x_of(kCheapScrypt, "alice", "password", text("salt")),
      to_hex(derive_x(crypto::Hash::kSha256, bytes_of("alice"), h->reveal(), bytes_of("salt")).reveal()));
}

TEST(SrpVerifierTest, RefusesASaltThatDoesNotFitItsLength) {
  EXPECT_FALSE(derive_x(kSha1, {}, {}, Bytes(kLongestSalt + 1)));
  EXPECT_TRUE(derive_x(kSha1, {}, {}, Bytes(kLongestSalt)));
}

TEST(SrpVerifierTest, IsBetweenOneAndN) {
  const SrpGroup group = *SrpGroup::listed(1024);
  const crypto::Number& N = group.modulus().value();
  const auto fits = [&](const Bytes& v) { return check_verifier(group, v).has_value(); };
  EXPECT_TRUE(fits({2}));
  EXPECT_TRUE(fits(N.minus_one().public_octets()));
  EXPECT_FALSE(fits({}));
  EXPECT_FALSE(fits({0}));
  EXPECT_FALSE(fits({1}));
  EXPECT_FALSE(fits(N.public_octets()));
  EXPECT_FALSE(fits(N.plus(crypto::Number::of(2)).public_octets()));
  EXPECT_FALSE(fits(Bytes(129, 0)));
}

TEST(Derivation, GoesOverTheWireAndBack) {
  for (const XDerivation& derivation : {kSha1, kSha256, kCheapScrypt, kDefaultDerivation}) {
    const auto again = XDerivation::from(derivation.octets());
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, derivation);
  }
}

TEST(Derivation, IsExactlyWhatItSays) {
  for (const char* octets :
       {"", "01", "010000", "0100000000", "00000000", "04000000", "01010000", "02000001", "ff000000"})
    EXPECT_FALSE(XDerivation::from(hex(octets))) << octets;
}

TEST(DerivationPolicyTest, TakesByDefaultTheDefaultAndNothingWeaker) {
  const DerivationPolicy policy;
  const auto takes = [&](const XDerivation& derivation) {
    return check_derivation(derivation, policy).has_value();
  };
  EXPECT_TRUE(takes(kDefaultDerivation));
  EXPECT_FALSE(takes(kSha1));
  EXPECT_FALSE(takes(kSha256));
  EXPECT_FALSE(takes(kCheapScrypt));
  const auto scrypt = [&](std::uint8_t n, std::uint8_t r, std::uint8_t p) {
    return takes({DerivationKind::kScrypt, {n, r, p}});
  };
  EXPECT_TRUE(scrypt(14, 8, 1));   // 16 MiB
  EXPECT_FALSE(scrypt(13, 8, 1));  // 8 MiB
  EXPECT_TRUE(scrypt(16, 8, 4));   // 64 MiB, four times
  EXPECT_FALSE(scrypt(16, 8, 5));
  EXPECT_FALSE(scrypt(17, 8, 1));  // 128 MiB
  EXPECT_FALSE(scrypt(16, 8, 0));
  EXPECT_FALSE(scrypt(16, 0, 1));
  EXPECT_FALSE(scrypt(255, 255, 1));
  EXPECT_FALSE(scrypt(63, 8, 1));
  EXPECT_FALSE(scrypt(0, 255, 1));
}

TEST(DerivationPolicyTest, TakesOthersWhenItNamesThem) {
  DerivationPolicy policy{.sha1 = true, .sha256 = true, .scrypt = false};
  EXPECT_TRUE(check_derivation(kSha1, policy));
  EXPECT_TRUE(check_derivation(kSha256, policy));
  EXPECT_FALSE(check_derivation(kDefaultDerivation, policy));
}

}  // namespace
}  // namespace keyd::exchange
