// BN_mod_exp_mont_consttime is called by name: whether BN_mod_exp is constant-time depends on flags of its arguments,
// and its short cut for small bases, which is not, has given passwords away (PARASITE, 2021).
// Calls fail for want of memory alone: what else they refuse is excluded before.
#include "core/crypto/bignum.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>

#include "core/crypto/openssl_check.h"

namespace keyd::crypto {
namespace {

void need_memory(bool had) {
  if (had) return;
  ERR_clear_error();
  throw secret::PoolExhausted();
}

struct FreeContext {
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
};
// One a computation: what a context has lent is wiped only when the context goes.
std::unique_ptr<BN_CTX, FreeContext> context() {
  std::unique_ptr<BN_CTX, FreeContext> made(BN_CTX_secure_new());
  need_memory(made != nullptr);
  return made;
}

void write(const BIGNUM* number, MutableByteView out) {
  require(BN_bn2binpad(number, out.data(), static_cast<int>(out.size())) == static_cast<int>(out.size()));
}

}  // namespace

bool reserve_locked_numbers(std::size_t size) {
  constexpr std::size_t kSmallestBlock = 32;  // octets
  return CRYPTO_secure_malloc_init(size, kSmallestBlock) == 1;
}

void Number::Free::operator()(bignum_st* number) const { BN_clear_free(number); }

Number::Number() : number_(BN_secure_new()) { need_memory(number_ != nullptr); }

Number Number::of(ByteView big_endian) {
  Number out;
  require(big_endian.size() <= 1u << 20);
  need_memory(BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), out.number_.get()) !=
              nullptr);
  return out;
}

Number Number::of(std::uint32_t value) {
  Number out;
  need_memory(BN_set_word(out.number_.get(), value) == 1);
  return out;
}

Number Number::copy() const {
  Number out;
  need_memory(BN_copy(out.number_.get(), number_.get()) != nullptr);
  return out;
}

std::size_t Number::bits() const { return static_cast<std::size_t>(BN_num_bits(number_.get())); }
bool Number::is_odd() const { return BN_is_odd(number_.get()) == 1; }

Bytes Number::public_octets() const { return public_octets(octets()); }
Bytes Number::public_octets(std::size_t size) const {
  Bytes out(size);
  write(number_.get(), out);
  return out;
}

secret::SecretBuffer Number::secret_octets() const { return secret_octets(octets()); }
secret::SecretBuffer Number::secret_octets(std::size_t size) const {
  secret::SecretBuffer out(size);
  write(number_.get(), out.reveal());
  return out;
}

Number Number::plus(const Number& other) const {
  Number out;
  need_memory(BN_add(out.number_.get(), number_.get(), other.number_.get()) == 1);
  return out;
}

Number Number::times(const Number& other) const {
  Number out;
  need_memory(BN_mul(out.number_.get(), number_.get(), other.number_.get(), context().get()) == 1);
  return out;
}

Number Number::minus_one() const {
  require(!is_zero());
  Number out = copy();
  need_memory(BN_sub_word(out.number_.get(), 1) == 1);
  return out;
}

Number Number::half() const {
  Number out;
  need_memory(BN_rshift1(out.number_.get(), number_.get()) == 1);
  return out;
}

int Number::compare(const Number& a, const Number& b) { return BN_cmp(a.number_.get(), b.number_.get()); }

void Modulus::Free::operator()(bn_mont_ctx_st* montgomery) const { BN_MONT_CTX_free(montgomery); }

std::optional<Modulus> Modulus::of(const Number& n) {
  if (!n.is_odd() || n.bits() < 2) return std::nullopt;
  Modulus out;
  out.n_ = n.copy();
  out.montgomery_.reset(BN_MONT_CTX_new());
  need_memory(out.montgomery_ != nullptr);
  need_memory(BN_MONT_CTX_set(out.montgomery_.get(), out.n_.number_.get(), context().get()) == 1);
  return out;
}

Number Modulus::reduce(const Number& a) const {
  Number out;
  need_memory(BN_nnmod(out.number_.get(), a.number_.get(), n_.number_.get(), context().get()) == 1);
  return out;
}

Number Modulus::add(const Number& a, const Number& b) const {
  Number out;
  need_memory(BN_mod_add_quick(out.number_.get(), a.number_.get(), b.number_.get(), n_.number_.get()) == 1);
  return out;
}

Number Modulus::subtract(const Number& a, const Number& b) const {
  Number out;
  need_memory(BN_mod_sub_quick(out.number_.get(), a.number_.get(), b.number_.get(), n_.number_.get()) == 1);
  return out;
}

Number Modulus::multiply(const Number& a, const Number& b) const {
  // (a·R)·b·R^-1, without the division that BN_mod_mul makes.
  Number out;
  const auto lent = context();
  need_memory(BN_to_montgomery(out.number_.get(), a.number_.get(), montgomery_.get(), lent.get()) == 1);
  need_memory(BN_mod_mul_montgomery(out.number_.get(), out.number_.get(), b.number_.get(), montgomery_.get(),
                                    lent.get()) == 1);
  return out;
}

Number Modulus::power(const Number& base, const Number& exponent) const {
  Number out;
  need_memory(BN_mod_exp_mont_consttime(out.number_.get(), base.number_.get(), exponent.number_.get(),
                                        n_.number_.get(), context().get(), montgomery_.get()) == 1);
  return out;
}

bool is_prime(const Number& number) {
  const int answer = BN_check_prime(number.number_.get(), context().get(), nullptr);
  need_memory(answer >= 0);
  return answer == 1;
}

bool are_coprime(const Number& a, const Number& b) {
  Number common;
  need_memory(BN_gcd(common.number_.get(), a.number_.get(), b.number_.get(), context().get()) == 1);
  return BN_is_one(common.number_.get()) == 1;
}

}  // namespace keyd::crypto
