// Names come from peers and end up on terminals, in logs and in fixed-size records: what is refused, what is
// shown.
#include "core/base/untrusted_text.h"

#include <gtest/gtest.h>

namespace keyd {
namespace {

// The UTF-8 of a scalar value, by RFC 3629's table; also of values that have none.
std::string utf8(char32_t c) {
  const auto octet = [](char32_t value) { return static_cast<char>(static_cast<unsigned char>(value)); };
  if (c < 0x80) return {octet(c)};
  if (c < 0x800) return {octet(0xc0 | c >> 6), octet(0x80 | (c & 0x3f))};
  if (c < 0x10000) return {octet(0xe0 | c >> 12), octet(0x80 | (c >> 6 & 0x3f)), octet(0x80 | (c & 0x3f))};
  return {octet(0xf0 | c >> 18), octet(0x80 | (c >> 12 & 0x3f)), octet(0x80 | (c >> 6 & 0x3f)),
          octet(0x80 | (c & 0x3f))};
}

bool accepted_inside(const std::string& piece) { return is_acceptable_name("a" + piece + "b"); }

TEST(AcceptableName, TakesOrdinaryNames) {
  for (const char* name :
       {"ada", "x", "a b", "db/password", "ada@example.org", "Grüße", "名前", "ключ", "a-b", "a--"}) {
    EXPECT_TRUE(is_acceptable_name(name)) << name;
  }
}

TEST(AcceptableName, TakesSixtyFourOctetsAndNotOneMore) {
  EXPECT_TRUE(is_acceptable_name(std::string(64, 'a')));
  EXPECT_FALSE(is_acceptable_name(std::string(65, 'a')));
  std::string umlauts;
  for (int i = 0; i < 32; ++i) umlauts += "ä";
  EXPECT_TRUE(is_acceptable_name(umlauts));  // 64 octets of 32 characters
  EXPECT_FALSE(is_acceptable_name(umlauts + "a"));
}

TEST(AcceptableName, RefusesAnEmptyName) { EXPECT_FALSE(is_acceptable_name("")); }

TEST(AcceptableName, RefusesWhatLooksLikeAnOption) {
  EXPECT_FALSE(is_acceptable_name("-f"));
  EXPECT_FALSE(is_acceptable_name("-"));
  EXPECT_FALSE(is_acceptable_name("--help"));
}

TEST(AcceptableName, RefusesBlanksAtEitherEnd) {
  EXPECT_FALSE(is_acceptable_name(" ada"));
  EXPECT_FALSE(is_acceptable_name("ada "));
  EXPECT_FALSE(is_acceptable_name(" "));
}

TEST(AcceptableName, RefusesEveryControlCharacterAnywhere) {
  for (char32_t c = 0; c < 0xa0; ++c) {
    if (c >= 0x20 && c < 0x7f) continue;
    EXPECT_FALSE(accepted_inside(utf8(c))) << "U+" << std::hex << static_cast<unsigned>(c);
    EXPECT_FALSE(is_acceptable_name(utf8(c) + "a")) << "U+" << std::hex << static_cast<unsigned>(c);
    EXPECT_FALSE(is_acceptable_name("a" + utf8(c))) << "U+" << std::hex << static_cast<unsigned>(c);
  }
}

TEST(AcceptableName, RefusesAnEmbeddedNul) {
  EXPECT_FALSE(is_acceptable_name(std::string_view("root\0x", 6)));
}

TEST(AcceptableName, RefusesDirectionOverridesAndInvisibleCharacters) {
  constexpr char32_t kMarks[] = {0x61c,  0x200b, 0x200c, 0x200d, 0x200e,  0x200f, 0x2028, 0x2029,
                                 0x202a, 0x202b, 0x202c, 0x202d, 0x202e,  0x2060, 0x2066, 0x2067,
                                 0x2068, 0x2069, 0xfeff, 0xfff9, 0xe0001, 0xe0041};
  for (const char32_t c : kMarks) {
    EXPECT_FALSE(accepted_inside(utf8(c))) << "U+" << std::hex << static_cast<unsigned>(c);
  }
}

TEST(AcceptableName, RefusesEveryOverlongForm) {
  for (const char* overlong :
       {"\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf",
        "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}) {
    EXPECT_FALSE(accepted_inside(overlong)) << escape(overlong);
  }
}

TEST(AcceptableName, RefusesSurrogatesAndWhatLiesBeyondUnicode) {
  EXPECT_FALSE(accepted_inside(utf8(0xd800)));
  EXPECT_FALSE(accepted_inside(utf8(0xdfff)));
  EXPECT_FALSE(accepted_inside(utf8(0x110000)));
  EXPECT_FALSE(accepted_inside("\xf5\x80\x80\x80"));
  EXPECT_FALSE(accepted_inside("\xfe"));
  EXPECT_FALSE(accepted_inside("\xff"));
  EXPECT_TRUE(accepted_inside(utf8(0xd7ff)));
  EXPECT_TRUE(accepted_inside(utf8(0xe000)));
  EXPECT_TRUE(accepted_inside(utf8(0x10ffff)));
}

TEST(AcceptableName, RefusesACutOrBrokenSequenceAtEveryPlace) {
  for (const std::string& whole : {utf8(0xe4), utf8(0x540d), utf8(0x1f511)}) {
    for (std::size_t kept = 1; kept < whole.size(); ++kept) {
      EXPECT_FALSE(is_acceptable_name("a" + whole.substr(0, kept)));        // at the very end
      EXPECT_FALSE(is_acceptable_name("a" + whole.substr(0, kept) + "b"));  // a letter where a tail should be
    }
    EXPECT_FALSE(accepted_inside(whole.substr(1)));  // tails without a head
  }
}

TEST(AcceptableName, AgreesWithTheDefinitionOfUtf8OnEveryShortString) {
  // Every one- and two-octet string, against a decoder written from RFC 3629's ABNF.
  for (unsigned first = 0x80; first < 256; ++first) {
    EXPECT_FALSE(accepted_inside({static_cast<char>(first)}));
    for (unsigned second = 0x80; second < 256; ++second) {
      const bool well_formed = first >= 0xc2 && first <= 0xdf && second <= 0xbf;
      const bool control = first == 0xc2 && second < 0xa0;  // C1
      const bool mark = first == 0xd8 && second == 0x9c;    // U+061C
      const std::string piece{static_cast<char>(first), static_cast<char>(second)};
      EXPECT_EQ(accepted_inside(piece), well_formed && !control && !mark)
          << std::hex << first << ' ' << second;
    }
  }
}

TEST(Escape, LeavesPlainTextAlone) {
  EXPECT_EQ(escape("ada lovelace, Grüße 名前"), "ada lovelace, Grüße 名前");
  EXPECT_EQ(escape(""), "");
}

TEST(Escape, ShowsControlCharactersQuotesAndBackslashes) {
  EXPECT_EQ(escape("a\nb"), "a\\x0ab");
  EXPECT_EQ(escape("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(escape("say \"x\""), "say \\x22x\\x22");
  EXPECT_EQ(escape("\\x41"), "\\x5cx41");
  EXPECT_EQ(escape(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(escape("\x7f"), "\\x7f");
}

TEST(Escape, ShowsIllFormedOctetsOneByOne) {
  EXPECT_EQ(escape("\xff\xc0\xaf"), "\\xff\\xc0\\xaf");
  EXPECT_EQ(escape("\xe4\xb8"), "\\xe4\\xb8");
}

TEST(Escape, ShowsDirectionOverridesByTheirNumber) {
  EXPECT_EQ(escape("a\xe2\x80\xae"), "a\\u{202e}");
  EXPECT_EQ(escape("\xc2\x9b"), "\\u{9b}");  // the one-octet CSI of C1
}

TEST(Escape, NeverLetsTwoTextsLookAlike) {
  // An escape sequence that was typed is not the one that was made.
  EXPECT_NE(escape("\n"), escape("\\x0a"));
  EXPECT_NE(escape("\xe2\x80\xae"), escape("\\u{202e}"));
}

TEST(Escape, GivesOnlyPrintableTextForEveryPairOfOctets) {
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const std::string shown = escape(std::string{static_cast<char>(first), static_cast<char>(second)});
      ASSERT_TRUE(is_acceptable_name("<" + shown + ">")) << std::hex << first << ' ' << second;
    }
  }
}

TEST(EscapeLine, LeavesQuotesAndBackslashesAndNothingElse) {
  EXPECT_EQ(escape_line("user \"a\\x0ab\" is locked"), "user \"a\\x0ab\" is locked");
  for (const char* text : {"\n", "\x1b[31m", "\xff", "\xe2\x80\xae", "\x7f", "\xc2\x9b", "Grüße"}) {
    EXPECT_EQ(escape_line(text), escape(text));
  }
}

TEST(Utf8, IsJudgedByItsFormNotByItsCharacters) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("-a\n\x1b \xe2\x80\xae 名前 "));
  EXPECT_TRUE(is_utf8(std::string_view("\0", 1)));
  EXPECT_TRUE(is_utf8(std::string(100'000, 'a')));
  for (const char* text :
       {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xe4\xb8", "\x80", "ok\xc3"}) {
    EXPECT_FALSE(is_utf8(text)) << escape(text);
  }
}

}  // namespace
}  // namespace keyd
