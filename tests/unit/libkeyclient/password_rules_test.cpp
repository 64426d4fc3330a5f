// The seed's step 314: what a new password must be. (Its "no permutation of a recent one" is password_history_test.cpp.)
#include "libkeyclient/src/password_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <vector>

#include "core/wire/limits.h"
#include "tests/support/forked.h"

namespace keyd::client {
namespace {

using std::string_view;

constexpr const char* kOld = "wk3zu!aphob";

struct Judged {
  keyclient_status status = KEYCLIENT_OK;
  std::string text = "good";
  bool operator==(const Judged&) const = default;
};
void PrintTo(const Judged& judged, std::ostream* out) { *out << judged.status << " " << judged.text; }

Judged judged(string_view fresh, string_view old = kOld, const std::vector<std::string>& words = {},
              const std::string& user = "wilhelmina") {
  const auto verdict = judge_password(user, bytes_of(fresh), bytes_of(old), words);
  return verdict ? Judged() : Judged{verdict.error().status, verdict.error().text};
}
Judged bad(const char* why) { return {KEYCLIENT_INVALID, why}; }

TEST(PasswordRules, AGoodPasswordIsTaken) {
  EXPECT_EQ(judged("jf7-qomvex2"), Judged());
  EXPECT_EQ(judged("jf7qomve"), Judged());  // as short as can be
  EXPECT_EQ(judged("jf7-qomvex2", ""), Judged());
}

TEST(PasswordRules, AtLeastEightCharacters) {
  EXPECT_EQ(judged("jf7qomv"), bad("the password is shorter than 8 characters"));
  EXPECT_EQ(judged("jf7ä€𝄞z"), bad("the password is shorter than 8 characters"));  // of 13 octets
  EXPECT_EQ(judged("jf7ä€𝄞zm"), Judged());
}

TEST(PasswordRules, LettersAndDigits) {
  EXPECT_EQ(judged("jfq-omvexwt"), bad("the password has no digit"));
  EXPECT_EQ(judged("4819-360725"), bad("the password has no letter"));
  EXPECT_EQ(judged("жщюёыфэ4"), Judged());
  EXPECT_EQ(judged("\xe4\xf6\xfc\xdf\xe0\xe9\xe8"
                   "4"),
            Judged());  // Latin-1
}

TEST(PasswordRules, NoWordOfTheDictionary) {
  EXPECT_EQ(judged("elephant1"), bad("the password is too easily guessed: it is based on a dictionary word"));
  EXPECT_EQ(judged("1tnahpele"),
            bad("the password is too easily guessed: it is based on a (reversed) dictionary word"));
}

TEST(PasswordRules, NeitherTheOldOneNorOneLikeIt) {
  EXPECT_EQ(judged(kOld), bad("the password is the old one"));
  EXPECT_EQ(judged("wk4zu!aphob"), bad("the password is too similar to the old one"));
  EXPECT_EQ(judged("WK3ZU!APHOB"), bad("the password is too similar to the old one"));
  // Twice as long, which libpwquality lets pass.
  EXPECT_EQ(judged("wk3zu!aphobwk3zu!aphob"), bad("the password is too similar to the old one"));
  EXPECT_EQ(judged("jf7-wk3zu!aphob-qomvex2"), bad("the password is too similar to the old one"));
  EXPECT_EQ(judged("wk3zu!ap"), bad("the password is too similar to the old one"));
  EXPECT_EQ(judged("jf7-qomvex2", "7"), Judged());
}

TEST(PasswordRules, NotTheUsersName) {
  EXPECT_EQ(judged("1Wilhelmina7"), bad("the password holds the user name"));
  EXPECT_EQ(judged("xanimlehliw7-"), bad("the password holds the user name"));
  EXPECT_EQ(judged("qx7-bob-vemw", kOld, {}, "bob"), bad("the password holds the user name"));
  EXPECT_EQ(judged("jf7-qomvex2", kOld, {}, "jf"), Judged());  // too short to mean anything
}

TEST(PasswordRules, NoNameOfSpouseOrPet) {
  const std::vector<std::string> words{"Mimi", "Søren", "", "x"};
  EXPECT_EQ(judged("q7-mimi-zwx", kOld, words), bad("the password holds a word about you"));
  EXPECT_EQ(judged("q7-imim-zwx", kOld, words), bad("the password holds a word about you"));
  EXPECT_EQ(judged("q7SøRENzwx", kOld, words), bad("the password holds a word about you"));
  EXPECT_EQ(judged("jf7-qomvex2", kOld, words), Judged());
}

// As nobody, whose login name is in the entry.
TEST(PasswordRules, NoWordOfTheCallersPasswdEntry) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another";
  const passwd* const nobody = ::getpwnam("nobody");
  if (nobody == nullptr) GTEST_SKIP() << "no user nobody here";
  testing::Forked other([uid = nobody->pw_uid](testing::Forked::Child& parent) {
    if (::setuid(uid) != 0) return 1;
    parent.say(judged("qx7-nobody-vemw").text);
    parent.say(judged("jf7-qomvex2").text);
    return 0;
  });
  EXPECT_EQ(other.hear(), "the password holds the user name");
  EXPECT_EQ(other.hear(), "good");
  EXPECT_EQ(other.wait(), 0);
}

// As in a container: cracklib by itself would take no password from such a user.
TEST(PasswordRules, ACallerWithoutAPasswdEntryCanHaveAPassword) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another";
  constexpr uid_t kNobodys = 3999999;
  ASSERT_EQ(::getpwuid(kNobodys), nullptr);
  testing::Forked other([](testing::Forked::Child& parent) {
    if (::setuid(kNobodys) != 0) return 1;
    parent.say(judged("jf7-qomvex2").text);
    return 0;
  });
  EXPECT_EQ(other.hear(), "good");
  EXPECT_EQ(other.wait(), 0);
}

TEST(PasswordRules, SizesAreBounded) {
  std::string longest = "jf7-qomvex2";
  while (longest.size() < wire::kMaxPassword) longest += static_cast<char>('!' + longest.size() * 37 % 90);
  EXPECT_EQ(judged(longest), Judged());
  EXPECT_EQ(judged(longest, std::string(wire::kMaxPassword, '\xfe')), Judged());
  EXPECT_EQ(judged(longest + "x"), bad("the password is longer than 1024 octets"));
  EXPECT_EQ(judged(""), bad("the password is empty"));
  const std::vector<std::string> many(kMostPersonalWords, std::string(kLongestPersonalWord, 'w'));
  EXPECT_EQ(judged("jf7-qomvex2", kOld, many), Judged());
  std::vector<std::string> more = many, longer = many;
  more.emplace_back("x");
  longer.front() += "w";
  EXPECT_EQ(judged("jf7-qomvex2", kOld, more).status, KEYCLIENT_REFUSED);
  EXPECT_EQ(judged("jf7-qomvex2", kOld, longer).status, KEYCLIENT_REFUSED);
}

TEST(PasswordRules, AnyOctetButZeroMayStandInAPassword) {
  EXPECT_EQ(judged("jf7\"'\\%s$()"), Judged());
  EXPECT_EQ(judged("jf7\n\t\x01\x7f\xff\xfe"), Judged());
  EXPECT_EQ(judged(string_view("jf7-\0qomvex2", 12)), bad("the password holds a zero octet"));
  EXPECT_EQ(judged(string_view("jf7-qomvex2\0", 12)), bad("the password holds a zero octet"));
}

// An old password may have been set elsewhere.
TEST(PasswordRules, AZeroOctetInTheOldOneHidesNothing) {
  EXPECT_EQ(judged("jf8-qomvex2", string_view("jf7-\0qomvex2", 12)),
            bad("the password is too similar to the old one"));
}

TEST(PasswordRules, TheTextHoldsNothingOfThePassword) {
  for (const char* fresh : {"elephant1", "1Wilhelmina7", "wk4zu!aphob", "4819-360725", "jf7qomv"}) {
    const Judged verdict = judged(fresh);
    ASSERT_EQ(verdict.status, KEYCLIENT_INVALID) << fresh;
    EXPECT_EQ(verdict.text.find(fresh), std::string::npos);
    EXPECT_EQ(verdict.text.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace keyd::client
