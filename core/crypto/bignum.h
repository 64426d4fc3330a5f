// Whole numbers of any size, by OpenSSL's BIGNUM, for arithmetic modulo a prime. A Number and every place where a
// computation kept something in between are wiped when they go. They lie in OpenSSL's secure heap where the program
// has one (reserve_locked_numbers), else in its ordinary heap: so a secret is a Number only while it is computed
// with, and waits as octets in a SecretBuffer. What exponentiation itself needs is OpenSSL's own heap in either case,
// wiped at the end of the call (docs/protocols/srp.md, "Decisions").
//
// No memory left: PoolExhausted is thrown, as by the locked pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/base/bytes.h"
#include "core/secret/secret.h"

struct bignum_st;       // OpenSSL's BIGNUM
struct bn_mont_ctx_st;  // and its BN_MONT_CTX

namespace keyd::crypto {

// Gives the process a heap of `size` octets (a power of two) for Numbers, locked and left out of core files; when it
// is full there is PoolExhausted. For a program, at its start, before the first Number: a library must not, for it is
// the whole process's. False: it cannot be had, or not locked; Numbers then lie in the ordinary heap.
[[nodiscard]] bool reserve_locked_numbers(std::size_t size);

// A number >= 0. Moves, does not copy, and cannot be printed; a moved-from one may only be assigned to or destroyed.
class Number {
 public:
  Number();                                             // 0
  [[nodiscard]] static Number of(ByteView big_endian);  // leading zeros do not count; no octets are 0
  [[nodiscard]] static Number of(std::uint32_t value);
  Number(Number&&) noexcept = default;
  Number& operator=(Number&&) noexcept = default;
  [[nodiscard]] Number copy() const;

  [[nodiscard]] std::size_t bits() const;  // 0 for the number 0
  [[nodiscard]] std::size_t octets() const { return (bits() + 7) / 8; }
  [[nodiscard]] bool is_zero() const { return bits() == 0; }
  [[nodiscard]] bool is_odd() const;

  // Big-endian, without leading zeros (0: no octets), or filled up with them to `size`, which must suffice.
  [[nodiscard]] Bytes public_octets() const;
  [[nodiscard]] Bytes public_octets(std::size_t size) const;
  // The same of a number that is a secret.
  [[nodiscard]] secret::SecretBuffer secret_octets() const;
  [[nodiscard]] secret::SecretBuffer secret_octets(std::size_t size) const;

  [[nodiscard]] Number plus(const Number& other) const;
  [[nodiscard]] Number times(const Number& other) const;
  [[nodiscard]] Number minus_one() const;  // of a number > 0
  [[nodiscard]] Number half() const;       // rounded down

  // < 0, 0, > 0 as a is less than, equal to, greater than b. Its time tells about both: for public numbers.
  [[nodiscard]] static int compare(const Number& a, const Number& b);

 private:
  friend class Modulus;
  friend bool is_prime(const Number& number);
  friend bool are_coprime(const Number& a, const Number& b);
  struct Free {
    void operator()(bignum_st* number) const;
  };
  std::unique_ptr<bignum_st, Free> number_;
};

// An odd number N > 1 and what computing modulo N wants to have prepared. Never changes: any number of threads may
// use one.
class Modulus {
 public:
  [[nodiscard]] static std::optional<Modulus> of(const Number& n);  // nothing: even, or not above 1

  [[nodiscard]] const Number& value() const { return n_; }
  [[nodiscard]] std::size_t octets() const { return n_.octets(); }

  [[nodiscard]] Number reduce(const Number& a) const;
  // Of numbers < N.
  [[nodiscard]] Number add(const Number& a, const Number& b) const;
  [[nodiscard]] Number subtract(const Number& a, const Number& b) const;
  [[nodiscard]] Number multiply(const Number& a, const Number& b) const;
  // base^exponent. Time and memory accesses depend on the exponent's size in machine words alone, not on its bits.
  [[nodiscard]] Number power(const Number& base, const Number& exponent) const;

 private:
  struct Free {
    void operator()(bn_mont_ctx_st* context) const;
  };
  Modulus() = default;
  Number n_;
  std::unique_ptr<bn_mont_ctx_st, Free> montgomery_;
};

// Whether it is prime. Wrong with a chance below 2^-128 (64 rounds of Miller-Rabin with random bases), also for a
// number that somebody chose to deceive. 100 ms and more for 2048 bits: bound the size first.
[[nodiscard]] bool is_prime(const Number& number);

// Whether no number above 1 divides both.
[[nodiscard]] bool are_coprime(const Number& a, const Number& b);

}  // namespace keyd::crypto
