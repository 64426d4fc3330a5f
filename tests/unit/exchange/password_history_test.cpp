#include "core/exchange/password_history.h"

#include <gtest/gtest.h>

#include "core/wire/limits.h"
#include "tests/unit/support/octets.h"

namespace keyd::exchange {
namespace {

using test::repeated;
using test::run;

std::string hash_of(std::string_view password, ByteView salt) {
  const auto hash = history_hash(bytes_of(password), salt);
  return hash ? to_hex(hash->reveal()) : hash.error().message();
}

const Bytes kSalt = run(0, kHistorySaltSize);

// Made by Python, hashlib.scrypt(s, salt=b"keyd/1 password history" + bytes(range(16)), n=1 << 15, r=8, p=1,
// maxmem=64 << 20, dklen=32) with s = "".join(sorted(p)).encode(), or bytes(sorted(p)) where p is not UTF-8.
TEST(PasswordHistory, AgreesWithAnotherImplementation) {
  EXPECT_EQ(hash_of("correct7horse", kSalt),
            "0d51d86675a3ba0f5a6f8631b7ce85420bb420fe3c84e7a496316730653a19f7");
  EXPECT_EQ(hash_of("Käse-und-Brot-€5", kSalt),
            "478174c4f2b310c2f911577a710a6eeb669a211c9e9fe9cb121bd968673823d8");
  EXPECT_EQ(hash_of("\xff\xfe"
                    "caf\xe9 42zz",
                    kSalt),
            "58845c15b702be69e8fe36f2b8cb069116376d6f7933c3baa32e73d0312f4e83");
}

TEST(PasswordHistory, APermutationHasTheSameHash) {
  EXPECT_EQ(hash_of("correct7horse", kSalt), hash_of("horse7correct", kSalt));
  EXPECT_EQ(hash_of("7ä€𝄞z", kSalt), hash_of("z𝄞7€ä", kSalt));
}

TEST(PasswordHistory, AnythingElseHasAnother) {
  const std::string hash = hash_of("correct7horse", kSalt);
  EXPECT_NE(hash, hash_of("correct7hors", kSalt));
  EXPECT_NE(hash, hash_of("correct7horsee", kSalt));
  EXPECT_NE(hash, hash_of("Correct7horse", kSalt));
  EXPECT_NE(hash, hash_of("correct7horse", run(1, kHistorySaltSize)));
}

// "éм" and "üЩ" have the same four octets, and no character in common.
TEST(PasswordHistory, CharactersAreSortedNotTheirOctets) {
  EXPECT_NE(hash_of("\xc3\xa9\xd0\xbc", kSalt), hash_of("\xc3\xbc\xd0\xa9", kSalt));
}

TEST(PasswordHistory, AZeroOctetIsACharacter) {
  using std::string_view;
  EXPECT_EQ(hash_of(string_view("ab\0c", 4), kSalt), hash_of(string_view("c\0ab", 4), kSalt));
  EXPECT_NE(hash_of(string_view("ab\0c", 4), kSalt), hash_of("abc", kSalt));
}

TEST(PasswordHistory, SizesAreBounded) {
  const Bytes longest = repeated('x', wire::kMaxPassword), longer = repeated('x', wire::kMaxPassword + 1);
  EXPECT_TRUE(history_hash(longest, kSalt));
  EXPECT_EQ(history_hash(longer, kSalt).error().code, Code::kInvalid);
  EXPECT_EQ(history_hash({}, kSalt).error().code, Code::kInvalid);
  EXPECT_EQ(history_hash(longest, run(0, 15)).error().code, Code::kInvalid);
  EXPECT_EQ(history_hash(longest, run(0, 17)).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace keyd::exchange
