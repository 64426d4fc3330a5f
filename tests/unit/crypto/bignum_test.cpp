#include "core/crypto/bignum.h"

#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/crypto/random.h"
#include "core/crypto/srp_primes.h"
#include "tests/unit/support/octets.h"

namespace keyd::crypto {
namespace {

using test::hex;

Number number(std::string_view digits) { return Number::of(hex(digits)); }
std::string text_of_number(const Number& n) { return to_hex(n.public_octets()); }

TEST(NumberTest, HasNoLeadingZerosUnlessAskedFor) {
  EXPECT_EQ(text_of_number(number("00000102")), "0102");
  EXPECT_EQ(to_hex(number("0102").public_octets(5)), "0000000102");
  EXPECT_EQ(to_hex(number("0102").secret_octets(3).reveal()), "000102");
  EXPECT_EQ(to_hex(number("0102").secret_octets().reveal()), "0102");
}

TEST(NumberTest, ZeroIsNoOctets) {
  for (const char* zero : {"", "00", "000000"}) {
    EXPECT_TRUE(number(zero).is_zero());
    EXPECT_EQ(number(zero).bits(), 0u);
    EXPECT_TRUE(number(zero).public_octets().empty());
    EXPECT_TRUE(number(zero).secret_octets().empty());
  }
  EXPECT_EQ(to_hex(Number().public_octets(2)), "0000");
}

TEST(NumberTest, CountsItsBits) {
  EXPECT_EQ(Number::of(1).bits(), 1u);
  EXPECT_EQ(Number::of(255).octets(), 1u);
  EXPECT_EQ(Number::of(256).bits(), 9u);
  EXPECT_EQ(Number::of(256).octets(), 2u);
  EXPECT_TRUE(Number::of(7).is_odd());
  EXPECT_FALSE(Number().is_odd());
}

TEST(NumberTest, ComputesBeyondAMachineWord) {
  const Number a = number("ffffffffffffffffffffffffffffffff");
  EXPECT_EQ(text_of_number(a.plus(Number::of(1))), "01" + std::string(32, '0'));
  EXPECT_EQ(text_of_number(a.times(a)), "fffffffffffffffffffffffffffffffe00000000000000000000000000000001");
  EXPECT_EQ(text_of_number(a.half()), "7fffffffffffffffffffffffffffffff");
  EXPECT_EQ(text_of_number(number("010000000000000000").minus_one()), "ffffffffffffffff");
  EXPECT_LT(Number::compare(a.half(), a), 0);
  EXPECT_GT(Number::compare(a, a.half()), 0);
  EXPECT_EQ(Number::compare(a, a.copy()), 0);
}

TEST(ModulusTest, IsOddAndAboveOne) {
  for (const std::uint32_t n : {0u, 1u, 2u, 4u, 1u << 31}) EXPECT_FALSE(Modulus::of(Number::of(n))) << n;
  EXPECT_TRUE(Modulus::of(Number::of(3)));
}

// Against machine arithmetic, in a small group, completely.
TEST(ModulusTest, ComputesModuloN) {
  constexpr std::uint32_t n = 23;
  const Modulus N = *Modulus::of(Number::of(n));
  const auto is = [](const Number& got, std::uint32_t expected) {
    return Number::compare(got, Number::of(expected)) == 0;
  };
  for (std::uint32_t a = 0; a < n; ++a) {
    std::uint32_t power = 1;
    for (std::uint32_t b = 0; b < n; ++b) {
      EXPECT_TRUE(is(N.add(Number::of(a), Number::of(b)), (a + b) % n)) << a << ' ' << b;
      EXPECT_TRUE(is(N.subtract(Number::of(a), Number::of(b)), (a + n - b) % n)) << a << ' ' << b;
      EXPECT_TRUE(is(N.multiply(Number::of(a), Number::of(b)), a * b % n)) << a << ' ' << b;
      EXPECT_TRUE(is(N.power(Number::of(a), Number::of(b)), power)) << a << '^' << b;
      power = power * a % n;
    }
  }
  EXPECT_TRUE(is(N.reduce(Number::of(1000)), 1000 % n));
}

TEST(ModulusTest, AgreesWithFermat) {
  for (const unsigned bits : kSrpPrimeBits) {
    const auto prime = srp_prime(bits);
    const Modulus N = *Modulus::of(prime->modulus);
    Bytes random(N.octets() / 2);
    ASSERT_TRUE(fill_random(random));
    const Number a = Number::of(random);
    EXPECT_EQ(Number::compare(N.power(a, N.value().minus_one()), Number::of(1)), 0) << bits;
  }
}

TEST(Primes, AreToldFromComposites) {
  for (const std::uint32_t p : {2u, 3u, 65537u, 2147483647u}) EXPECT_TRUE(is_prime(Number::of(p))) << p;
  // A Carmichael number, a strong pseudoprime to bases 2, 3, 5 and 7, a square.
  for (const std::uint32_t c : {0u, 1u, 561u, 3215031751u, 65537u * 3u})
    EXPECT_FALSE(is_prime(Number::of(c))) << c;
  const auto listed = srp_prime(1024);
  EXPECT_TRUE(is_prime(listed->modulus));
  EXPECT_TRUE(is_prime(listed->modulus.half()));
  EXPECT_FALSE(is_prime(listed->modulus.times(listed->modulus)));
}

TEST(Primes, HaveNoFactorInCommon) {
  EXPECT_TRUE(are_coprime(Number::of(35), Number::of(12)));
  EXPECT_FALSE(are_coprime(Number::of(35), Number::of(21)));
  EXPECT_FALSE(are_coprime(Number::of(0), Number::of(7)));
}

TEST(SrpPrimes, AreOfTheSizesOfRfc5054Alone) {
  for (const unsigned bits : {0u, 512u, 1023u, 1025u, 7680u, 16384u}) EXPECT_FALSE(srp_prime(bits)) << bits;
}

// In a process of its own: the secure heap is the whole process's, and for good.
TEST(LockedNumbers, LieInTheSecureHeapAndAreRefusedWhenItIsFull) {
  const pid_t child = ::fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    if (!reserve_locked_numbers(1 << 14)) ::_exit(77);
    const std::size_t before = CRYPTO_secure_used();
    {
      const Number n = Number::of(Bytes(1024, 0xff));
      if (CRYPTO_secure_used() < before + 1024) ::_exit(1);
    }
    if (CRYPTO_secure_used() != before) ::_exit(2);
    try {
      std::vector<Number> many;
      for (int i = 0; i < 32; ++i) many.push_back(Number::of(Bytes(1024, 0xff)));
      ::_exit(3);
    } catch (const secret::PoolExhausted&) {
    }
    // What was refused has not broken anything.
    ::_exit(CRYPTO_secure_used() == before && Number::of(2).plus(Number::of(3)).bits() == 3 ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no memory may be locked here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace keyd::crypto
