#include "core/exchange/srp_group.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/crypto/srp_primes.h"
#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using crypto::Number;
using test::hex;

// RFC 3526, section 3: a safe prime of 2048 bits that RFC 5054 does not list. 11 is the least generator of it all.
constexpr std::string_view kSafePrime =
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b"
    "302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe6"
    "49286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d"
    "670c354e4abc9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf695581718"
    "3995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff";

Bytes octets_of(std::uint32_t value) { return Number::of(value).public_octets(); }
Bytes listed_modulus(unsigned bits) {
  const ByteView octets = SrpGroup::listed(bits)->modulus_octets();
  return {octets.begin(), octets.end()};
}

GroupPolicy tolerant() { return {.least_bits = 1024, .unlisted = true, .approved = {}}; }

bool takes(const GroupPolicy& policy, ByteView modulus, ByteView generator) {
  return accept_group(modulus, generator, policy).has_value();
}

TEST(SrpGroupTest, TheListIsThatOfRfc5054) {
  std::ifstream file(KEYD_SOURCE_DIR "/tests/vectors/sample.json");
  const auto sample = nlohmann::json::parse(file);
  std::size_t checked = 0;
  for (const auto& test : sample.at("srp_groups").at("cases")) {
    const auto group = SrpGroup::listed(test.at("in").at("bits").get<unsigned>());
    ASSERT_TRUE(group);
    EXPECT_EQ(to_hex(group->modulus_octets()), test.at("expect").at("modulus").get<std::string>());
    EXPECT_EQ(to_hex(group->generator_octets()), test.at("expect").at("generator").get<std::string>());
    ++checked;
  }
  EXPECT_EQ(checked, std::size(crypto::kSrpPrimeBits));
  for (const unsigned bits : {0u, 512u, 2047u, 16384u}) EXPECT_FALSE(SrpGroup::listed(bits));
}

TEST(SrpGroupTest, ListedGroupsAreTakenFrom2048BitsOnByDefault) {
  for (const unsigned bits : crypto::kSrpPrimeBits) {
    const Bytes g(SrpGroup::listed(bits)->generator_octets().begin(),
                  SrpGroup::listed(bits)->generator_octets().end());
    EXPECT_EQ(takes({}, listed_modulus(bits), g), bits >= 2048) << bits;
    EXPECT_TRUE(takes(tolerant(), listed_modulus(bits), g)) << bits;
  }
}

TEST(SrpGroupTest, ValuesAreNumbersWhateverZerosStandBefore) {
  Bytes g(255, 0);
  g.push_back(2);
  EXPECT_TRUE(takes({}, listed_modulus(2048), g));
}

TEST(SrpGroupTest, AnUnlistedGroupIsTakenOnlyByAPolicyThatSaysSo) {
  EXPECT_FALSE(takes({}, hex(kSafePrime), octets_of(11)));
  EXPECT_TRUE(takes(tolerant(), hex(kSafePrime), octets_of(11)));
}

TEST(SrpGroupTest, RefusesWhatIsNoGenerator) {
  const Bytes N = hex(kSafePrime), listed = listed_modulus(2048);
  const Number n = Number::of(N);
  // 4 is a square; 2 is one modulo this prime; N-1 has order 2; N, N+2 and 0 are no elements; 1 generates nothing.
  for (const Bytes& g : {octets_of(4), octets_of(2), n.minus_one().public_octets(), N,
                         n.plus(Number::of(2)).public_octets(), Bytes(), octets_of(0), octets_of(1)}) {
    EXPECT_FALSE(takes(tolerant(), N, g)) << to_hex(g);
  }
  EXPECT_FALSE(takes(tolerant(), listed, octets_of(4)));
}

TEST(SrpGroupTest, RefusesAModulusThatIsNoSafePrime) {
  const Number p = Number::of(listed_modulus(1024)), safe = Number::of(hex(kSafePrime));
  // Even; a square of a prime; a product; the prime next to nothing; q itself, of which (q-1)/2 is composite.
  for (const Number& n :
       {safe.minus_one(), p.times(p), p.times(Number::of(3)), safe.plus(Number::of(2)), safe.half()}) {
    for (const std::uint32_t g : {2u, 3u, 5u, 7u, 11u, 13u}) {
      EXPECT_FALSE(takes(tolerant(), n.public_octets(), octets_of(g))) << n.bits() << ' ' << g;
    }
  }
}

// g^q ≡ -1 modulo each, and that is not all that is asked: in small numbers, by a policy that takes them.
TEST(SrpGroupTest, TakesSafePrimesWithTheirGeneratorsAndNothingElse) {
  const GroupPolicy any{.least_bits = 0, .unlisted = true, .approved = {}};
  const auto is_prime = [](std::uint32_t n) {
    for (std::uint32_t d = 2; d * d <= n; ++d) {
      if (n % d == 0) return false;
    }
    return n > 1;
  };
  const auto order = [](std::uint32_t g, std::uint32_t n) {
    std::uint32_t power = g, count = 1;
    for (; power != 1 && count <= n; ++count) power = power * g % n;
    return count;
  };
  for (std::uint32_t n = 0; n < 300; ++n) {
    for (std::uint32_t g = 0; g <= n + 1; ++g) {
      const bool generates =
          is_prime(n) && is_prime((n - 1) / 2) && g > 1 && g < n - 1 && order(g, n) == n - 1;
      EXPECT_EQ(takes(any, octets_of(n), octets_of(g)), generates) << n << ' ' << g;
    }
  }
}

TEST(SrpGroupTest, RefusesSizesBeforeAnythingElse) {
  Bytes huge(8192, 0xff);
  EXPECT_FALSE(takes(tolerant(), huge, octets_of(2)));
  EXPECT_FALSE(takes(tolerant(), {}, octets_of(2)));
  EXPECT_FALSE(takes(tolerant(), hex(kSafePrime), huge));
  huge.resize(kLargestGroupOctets + 1);
  EXPECT_FALSE(takes(tolerant(), huge, octets_of(2)));
  // Of a size that would take too long to test: 3072 bits with a generator that is not the list's.
  EXPECT_FALSE(takes(tolerant(), listed_modulus(3072), octets_of(2)));
  EXPECT_FALSE(takes(tolerant(), hex("ff"), octets_of(2)));
}

TEST(SrpGroupTest, AnApprovedGroupIsTakenWhateverItsSizeButNotAnotherGeneratorOfIt) {
  // 3 generates it, and it is not RFC 5054's choice for this modulus.
  const Bytes N = listed_modulus(4096);
  std::uint32_t g = 6;
  const auto approved_with = [&](std::uint32_t generator) {
    GroupPolicy policy;
    policy.approved.push_back(SrpGroup::of(N, octets_of(generator))->fingerprint());
    return policy;
  };
  while (!takes(approved_with(g), N, octets_of(g))) ++g;  // about every second one
  EXPECT_LT(g, 60u);
  EXPECT_FALSE(takes({}, N, octets_of(g)));
  EXPECT_FALSE(takes(approved_with(g), N, octets_of(g + 1)));
  // Approved by mistake: it is still no generator.
  EXPECT_FALSE(takes(approved_with(4), N, octets_of(4)));
}

TEST(SrpGroupTest, TheFingerprintTellsModulusFromGenerator) {
  EXPECT_NE(SrpGroup::of(hex("0fff"), hex("0102"))->fingerprint(),
            SrpGroup::of(hex("0fff01"), hex("02"))->fingerprint());
}

}  // namespace
}  // namespace keyd::exchange
