// What libcrypt itself says is the measure here: its own hash strings, taken apart and computed again.
#include "core/crypto/password_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/secret/locked_pool.h"

namespace keyd::crypto {
namespace {

constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
constexpr CryptLimits kNoLimits{.memory = kAny, .rounds = kAny, .bcrypt_log = 31};

std::string hash(std::string_view password, const CryptSetting& setting) {
  const auto made = crypt_password(bytes_of(password), setting);
  return made ? std::string(text_of(made->reveal())) : "failed: " + made.error().detail;
}

// Every method that libcrypt has, and of those that have one several costs; cheap ones.
const std::vector<CryptSetting> kSettings{
    {"$y$j75$", "abcdefghijklmnop", "$"},
    {"$y$j75$", "", "$"},
    {"$y$j65$", "F5Jx5fExrKuPp53xLKQ.Y/", "$"},
    {"$y$j95.1$", "F5Jx5fExrKuPp53xLKQ.Y/", "$"},
    {"$y$.75$", "abcdefghijkl", "$"},
    {"$gy$j75$", "abcdefghijklmnop", "$"},
    {"$7$8/..../....", "abcdefghijk", "$"},
    {"$7$86..../....", "a.b/", "$"},
    {"$7$80....0....", "", "$"},
    {"$6$", "saltsaltsaltsalt", "$"},
    {"$6$", "", "$"},
    {"$6$rounds=1000$", "x", "$"},
    {"$6$rounds=20000$", "a=b,c", "$"},
    {"$5$", "saltsalt", "$"},
    {"$5$rounds=1234$", "saltsaltsalt", "$"},
    {"$sha1$10$", "abcdefgh", "$"},
    {"$sha1$1000$", "a", "$"},
    {"$md5$", "abcdefgh", ""},
    {"$md5$", "abcdefgh", "$"},
    {"$md5,rounds=10$", "abcdefgh", ""},
    {"$md5,rounds=10$", "abcdefgh", "$"},
    {"$1$", "abcdefgh", "$"},
    {"$1$", "a", "$"},
    {"$2b$04$", "abcdefghijklmnopqrstuu", ""},
    {"$2a$05$", "abcdefghijklmnopqrstue", ""},
    {"$2y$04$", "abcdefghijklmnopqrstuO", ""},
    {"$2x$04$", "abcdefghijklmnopqrstu.", ""},
    {"", "ab", ""},
    {"", "./............", ""},
    {"_/...", "abcd", ""},
    {"_J9..", "zzzz", ""},
    {"$3$", "", "$"},
};

TEST(PasswordHash, ASettingComesBackOutOfEveryMethodsHashString) {
  std::set<std::string> methods;
  for (const auto& setting : kSettings) {
    const auto cost = check_crypt_setting(setting, kNoLimits);
    ASSERT_TRUE(cost) << setting.text();
    methods.insert(cost->method);
    for (const std::string password : {"p", "correct horse battery staple", "\xff\xfe umlaut \xc3\xa4"}) {
      const std::string made = hash(password, setting);
      const auto found = setting_of(bytes_of(made));
      ASSERT_TRUE(found) << made;
      // A short password's bigcrypt hash looks like one of descrypt, and is the same.
      const bool is_short = cost->method == "bigcrypt" && made.size() == 13;
      EXPECT_EQ(*found, is_short ? (CryptSetting{"", setting.salt.substr(0, 2), ""}) : setting) << made;
      EXPECT_EQ(hash(password, *found), made);
      EXPECT_EQ(
          made.find(found->head + found->salt.substr(0, cost->method == "bigcrypt" ? 2 : std::string::npos)),
          0u);
      EXPECT_NE(hash("another", *found), made);
    }
  }
  EXPECT_EQ(methods, (std::set<std::string>{"yescrypt", "gost-yescrypt", "scrypt", "bcrypt", "sha512crypt",
                                            "sha256crypt", "sha1crypt", "sunmd5", "md5crypt", "nt",
                                            "bsdicrypt", "descrypt", "bigcrypt"}));
}

// Two hashes by one setting differ from the first character after what setting_of gives: none of the hash is
// in it.
TEST(PasswordHash, NoPartOfTheHashIsInTheSetting) {
  for (const auto& setting : kSettings) {
    const std::string a = hash("correct horse battery staple", setting);
    const auto of_a = setting_of(bytes_of(a));
    ASSERT_TRUE(of_a);
    for (int i = 0; i < 8; ++i) {
      const std::string b = hash("correct horse battery " + std::to_string(i), *of_a);
      const auto of_b = setting_of(bytes_of(b));
      ASSERT_TRUE(of_b);
      EXPECT_EQ(*of_a, *of_b) << a << " " << b;
    }
  }
}

TEST(PasswordHash, WhatIsNotExactlyAHashStringHasNoSetting) {
  for (const std::string text :
       {"", "!", "*", "*0", "*1", "x", "!!", "!*", "$", "$$", "$y$", "$6$", "$2b$", "_", "$3$$", "LOCK",
        "*LK*", "$9$abc$0123456789012345678901234567890123456789012"}) {
    EXPECT_FALSE(setting_of(bytes_of(text))) << text;
  }
  for (const auto& setting : kSettings) {
    const std::string made = hash("correct horse battery staple", setting);
    EXPECT_FALSE(setting_of(bytes_of("!" + made))) << made;
    EXPECT_FALSE(setting_of(bytes_of("*" + made))) << made;
    for (const char foreign : {'!', '*', ':', ';', '\\', ' ', '\n', '\0', '\x7f', '\xe4'}) {
      for (std::size_t at = 0; at < made.size(); ++at) {
        std::string changed = made;
        changed[at] = foreign;
        EXPECT_FALSE(setting_of(bytes_of(changed))) << made << " at " << at;
      }
      EXPECT_FALSE(setting_of(bytes_of(made + foreign))) << made;
    }
    // A '$' within the hash moves its border.
    for (std::size_t at = setting.text().size(); setting.head.starts_with("$") && at < made.size(); ++at) {
      std::string changed = made;
      changed[at] = '$';
      if (changed == made) continue;
      const auto found = setting_of(bytes_of(changed));
      EXPECT_FALSE(found) << made << " at " << at;
    }
  }
}

// A hash string that was cut or has grown is either refused, or (where the salt has no fixed length) the cut
// shows in no more than the parts that were before the hash.
TEST(PasswordHash, ACutHashStringGivesNothingOfTheHashAway) {
  for (const auto& setting : kSettings) {
    const std::string made = hash("correct horse battery staple", setting);
    for (std::size_t size = 0; size < made.size(); ++size) {
      const auto found = setting_of(bytes_of(std::string_view(made).substr(0, size)));
      if (!found) continue;
      EXPECT_TRUE(setting.text().starts_with(found->head)) << made << " " << size;
      EXPECT_TRUE(setting.text().starts_with(found->salt.substr(0, 2))) << made << " " << size;
      EXPECT_TRUE(setting.head.empty()) << made << " " << size;
    }
    EXPECT_EQ(setting_of(bytes_of(made + "a")).has_value(), false) << made;
  }
  EXPECT_FALSE(setting_of(Bytes(kMaxCryptString + 1, 'a')));
}

TEST(PasswordHash, CostsAreReadFromTheText) {
  const auto cost = [](const CryptSetting& setting) { return check_crypt_setting(setting, kNoLimits); };
  const std::string salt = "abcdefghijklmnop";
  EXPECT_EQ(cost({"$y$j9T$", salt, "$"})->memory, 16u << 20);
  EXPECT_EQ(cost({"$y$j75$", salt, "$"})->memory, 1u << 20);
  EXPECT_EQ(cost({"$gy$j9T$", salt, "$"})->memory, 16u << 20);
  EXPECT_EQ(cost({"$y$jFT$", salt, "$"})->memory, 1u << 30);
  EXPECT_EQ(cost({"$y$j9T.0$", salt, "$"})->memory, 4u * (16u << 20));        // p = 4
  EXPECT_EQ(cost({"$y$j9T/0$", salt, "$"})->memory, 4u * (16u << 20));        // t = 3
  EXPECT_EQ(cost({"$y$j9T0./$", salt, "$"})->memory, 2u * 3u * (16u << 20));  // p = 2, t = 2
  EXPECT_EQ(cost({"$7$CU..../....", salt, "$"})->memory, 128u * 16384u * 32u);
  EXPECT_EQ(cost({"$7$CU....0....", salt, "$"})->memory, 2u * 128u * 16384u * 32u);
  EXPECT_EQ(cost({"$6$", salt, "$"})->rounds, 5000u);
  EXPECT_EQ(cost({"$6$rounds=999999999$", salt, "$"})->rounds, 999'999'999u);
  EXPECT_EQ(cost({"$sha1$4294967295$", salt, "$"})->rounds, 4'294'967'295u);
  EXPECT_EQ(cost({"$md5,rounds=4294963199$", "abcdefgh", "$"})->rounds, 4'294'967'295u);
  EXPECT_EQ(cost({"$2b$31$", "abcdefghijklmnopqrstuu", ""})->rounds, std::uint64_t{1} << 31);
  EXPECT_EQ(cost({"_zzzz", "abcd", ""})->rounds, 16'777'215u);
  // Products that no number holds.
  EXPECT_EQ(cost({"$y$jzT$", salt, "$"}).has_value(), false);  // more than 2^63
  EXPECT_EQ(cost({"$7$zzzzzzzzzzz", salt, "$"})->memory, kAny);
}

// The costs that a hostile server may name are read before any work is done: this whole test takes no time.
TEST(PasswordHash, AnAbsurdCostIsRefused) {
  const std::string salt = "abcdefghijklmnop";
  const auto limited = [](const CryptSetting& setting) {
    const auto checked = check_crypt_setting(setting, {});
    return !checked && checked.error().code == Code::kRefused;
  };
  EXPECT_TRUE(check_crypt_setting({"$y$j9T$", salt, "$"}, {}));
  EXPECT_TRUE(check_crypt_setting({"$y$jDT$", salt, "$"}, {}));  // 256 MiB
  EXPECT_TRUE(limited({"$y$jET$", salt, "$"}));                  // 512 MiB
  EXPECT_TRUE(limited({"$gy$jET$", salt, "$"}));
  EXPECT_TRUE(limited({"$y$jDT/.$", salt, "$"}));  // twice over
  EXPECT_TRUE(limited({"$7$zzzzzzzzzzz", salt, "$"}));
  EXPECT_TRUE(limited({"$7$/zzzzz/....", salt, "$"}));
  EXPECT_TRUE(limited({"$7$//....zzzzz", salt, "$"}));
  EXPECT_TRUE(limited({"$6$rounds=1000001$", salt, "$"}));
  EXPECT_TRUE(limited({"$5$rounds=999999999$", salt, "$"}));
  EXPECT_TRUE(limited({"$sha1$4294967295$", salt, "$"}));
  EXPECT_TRUE(limited({"$md5,rounds=999999999$", "abcdefgh", "$"}));
  EXPECT_TRUE(limited({"_zzzz", "abcd", ""}));
  EXPECT_TRUE(limited({"$2b$15$", "abcdefghijklmnopqrstuu", ""}));
  EXPECT_TRUE(check_crypt_setting({"$2b$14$", "abcdefghijklmnopqrstuu", ""}, {}));
  EXPECT_TRUE(check_crypt_setting({"$6$rounds=1000000$", salt, "$"}, {}));
}

TEST(PasswordHash, AMethodThatIsNotAcceptedIsRefused) {
  const CryptLimits limits{.methods = {"yescrypt", "bcrypt"}};
  EXPECT_TRUE(check_crypt_setting({"$y$j9T$", "abcdefghijklmnop", "$"}, limits));
  EXPECT_TRUE(check_crypt_setting({"$2b$05$", "abcdefghijklmnopqrstuu", ""}, limits));
  EXPECT_FALSE(check_crypt_setting({"$gy$j9T$", "abcdefghijklmnop", "$"}, limits));
  const auto des = check_crypt_setting({"", "ab", ""}, limits);
  ASSERT_FALSE(des);
  EXPECT_EQ(des.error().code, Code::kRefused);
}

TEST(PasswordHash, PartsOfAnotherShapeAreNoSetting) {
  const std::string salt = "abcdefghijklmnop", long_salt(87, 'a'), long_head(129, '$');
  const std::vector<CryptSetting> bad{
      {"$6$", "rounds=999999999", "$"},  // a cost in the place of the salt
      {"$6$", "rounds=9", "$"},
      {"$5$", "rounds=99999999", ""},
      {"$6$", "a$b", "$"},
      {"$6$", "abcdefghijklmnopq", "$"},  // 17
      {"$6$ro", "unds=99999999", "$"},
      {"$6$rounds=99", "9999999", "$"},
      {"$6$rounds=999$", salt, "$"},
      {"$6$rounds=01000$", salt, "$"},
      {"$6$rounds=1000000000$", salt, "$"},
      {"$6$rounds=18446744073709552616$", salt, "$"},
      {"$6$rounds=+1000$", salt, "$"},
      {"$6$rounds= 1000$", salt, "$"},
      {"$6$rounds=1000", salt, "$"},
      {"$6$rounds=1000$x$", salt, "$"},
      {"$6", salt, "$"},
      {"$6$", salt, "$$"},
      {"$6$", salt, "$a"},
      {"$6$", salt, "a"},
      {"$6$", "a:b", "$"},
      {"$6$", "a b", "$"},
      {"$6$", "a*b", "$"},
      {"$6$", std::string("a\0b", 3), "$"},
      {std::string("$6$\0", 4), salt, "$"},
      {"$y$", salt, "$"},
      {"$y$j9T", salt, "$"},
      {"$y$j9T$j9T$", salt, "$"},
      {"$y$j9T1/$", salt, "$"},  // a g
      {"$y$j9T5/$", salt, "$"},  // a ROM
      {"$y$j$", salt, "$"},
      {"$y$z$", salt, "$"},
      {"$y$zzzzzzzzzzzzzzzzzzzz$", salt, "$"},
      {"$y$j9T$", long_salt, "$"},
      {"$7$CU..../...", salt, "$"},
      {"$7$CU..../.....", salt, "$"},
      {"$7$CU..../....$", salt, "$"},
      {"$7$.U..../....", salt, "$"},
      {"$7$C...../....", salt, "$"},
      {"$2b$05$", "abcdefghijklmnopqrstuv", ""},
      {"$2b$05$", "abcdefghijklmnopqrstu", ""},
      {"$2b$05$", "abcdefghijklmnopqrstuu", "$"},
      {"$2b$03$", "abcdefghijklmnopqrstuu", ""},
      {"$2b$32$", "abcdefghijklmnopqrstuu", ""},
      {"$2c$05$", "abcdefghijklmnopqrstuu", ""},
      {"$2b$5$", "abcdefghijklmnopqrstuu", ""},
      {"$sha1$", salt, "$"},
      {"$sha1$0$", salt, "$"},
      {"$sha1$4294967296$", salt, "$"},
      {"$sha1$10$", "", "$"},
      {"$md5,rounds=0$", "abcdefgh", "$"},
      {"$md5,rounds=4294963200$", "abcdefgh", "$"},
      {"$md5,abc$", "abcdefgh", "$"},
      {"$1$", "abcdefghi", "$"},
      {"$3$", "a", "$"},
      {"_....", "abcd", ""},
      {"_J9.", "abcd", ""},
      {"", "", ""},
      {"", "a", ""},
      {"", "abc", ""},
      {"", "a!", ""},
      {"", "ab............", "$"},
      {"", "ab...........a", ""},
      {long_head, salt, "$"},
      {"$9$", salt, "$"},
  };
  for (const auto& setting : bad) {
    const auto checked = check_crypt_setting(setting, kNoLimits);
    ASSERT_FALSE(checked) << setting.text();
    EXPECT_EQ(checked.error().code, Code::kInvalid) << setting.text();
    const auto hashed = crypt_password(bytes_of("p"), setting);
    EXPECT_FALSE(hashed) << setting.text();
  }
}

TEST(PasswordHash, NewSettingsAreOfTheMethodAndFresh) {
  for (const std::string method : {"yescrypt", "gost-yescrypt", "scrypt", "bcrypt", "sha512crypt"}) {
    const auto one = make_crypt_setting(method, 0, kMaxCryptString),
               two = make_crypt_setting(method, 0, kMaxCryptString);
    ASSERT_TRUE(one && two) << method;
    EXPECT_NE(one->salt, two->salt);
    EXPECT_EQ(one->head, two->head);
    EXPECT_GE(one->salt.size(), 16u);
    const auto cost = check_crypt_setting(*one, {});
    ASSERT_TRUE(cost) << one->text();
    EXPECT_EQ(cost->method, method);
    const std::string made = hash("p", *one);
    ASSERT_TRUE(setting_of(bytes_of(made))) << made;
    EXPECT_EQ(*setting_of(bytes_of(made)), *one);
  }
}

TEST(PasswordHash, NewSaltsAreAsShortAsWishedAndNeverWeak) {
  for (const std::string method : {"yescrypt", "gost-yescrypt", "scrypt", "sha512crypt"}) {
    for (const std::size_t longest : {0u, 8u, 11u, 12u, 15u, 16u, 21u, 23u}) {
      const auto made = make_crypt_setting(method,
                                           method == "sha512crypt" ? 1000
                                           : method == "scrypt"    ? 6
                                                                   : 1,
                                           longest);
      ASSERT_TRUE(made) << method;
      EXPECT_GE(made->salt.size(), 11u);
      if (longest >= 12) {
        EXPECT_LE(made->salt.size(), longest);
      }
      const std::string string = hash("p", *made);
      ASSERT_TRUE(setting_of(bytes_of(string))) << method << " " << longest << " " << string;
      EXPECT_EQ(*setting_of(bytes_of(string)), *made);
    }
    EXPECT_EQ(make_crypt_setting(method, 0, 16)->salt.size(), 16u);
  }
}

TEST(PasswordHash, OldMethodsAreNotForNewPasswords) {
  for (const std::string method :
       {"sha1crypt", "sunmd5", "md5crypt", "nt", "bsdicrypt", "descrypt", "bigcrypt", "md5", "", "$6$"}) {
    EXPECT_FALSE(make_crypt_setting(method, 0, 16)) << method;
  }
  EXPECT_FALSE(make_crypt_setting("yescrypt", 12, 16));
  EXPECT_FALSE(make_crypt_setting("bcrypt", 40, 22));
}

TEST(PasswordHash, APasswordThatCryptCannotBeGivenIsRefused) {
  const CryptSetting setting{"$6$rounds=1000$", "saltsalt", "$"};
  EXPECT_FALSE(crypt_password({}, setting));
  EXPECT_FALSE(crypt_password(bytes_of(std::string_view("a\0b", 3)), setting));
  EXPECT_FALSE(crypt_password(Bytes(kMaxCryptPassword + 1, 'a'), setting));
  const std::string longest(kMaxCryptPassword, 'a');
  EXPECT_NE(hash(longest, setting), hash(longest.substr(1), setting));
}

TEST(PasswordHash, NothingStaysInTheLockedPool) {
  const std::size_t before = secret::LockedPool::instance().in_use();
  for (const auto& setting : kSettings) EXPECT_TRUE(crypt_password(bytes_of("p"), setting)) << setting.text();
  EXPECT_FALSE(crypt_password(bytes_of("p"), {"$y$j9T$", "ab", "$"}));  // libcrypt does not take this salt
  EXPECT_EQ(secret::LockedPool::instance().in_use(), before);
}

}  // namespace
}  // namespace keyd::crypto
