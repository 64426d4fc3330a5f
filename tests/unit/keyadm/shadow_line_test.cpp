#include "tools/keyadm/shadow_line.h"

#include <gtest/gtest.h>

#include <string>

namespace keyd::keyadm {
namespace {

using Kind = ShadowLine::Kind;
constexpr std::uint64_t kToday = 20782;
const std::string kHash = "$6$saltsalt$" + std::string(86, 'h');

// Views of what is given here: it has to live as long.
Result<ShadowLine> parse(const std::string& line) { return parse_shadow_line(bytes_of(line), kToday); }

TEST(ShadowLine, GivesNameHashAndTheDayOfTheLastChange) {
  const std::string text = "alice:" + kHash + ":20000:0:99999:7:::";
  const auto line = parse(text);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->kind, Kind::kHash);
  EXPECT_EQ(line->name, "alice");
  EXPECT_EQ(text_of(line->hash), kHash);
  EXPECT_FALSE(line->locked);
  EXPECT_EQ(line->password_changed, 20000u * 86400u);
}

TEST(ShadowLine, TakesNameAndHashAlone) {
  const std::string text = "alice:" + kHash;
  const auto line = parse(text);
  ASSERT_TRUE(line);
  EXPECT_EQ(text_of(line->hash), kHash);
  EXPECT_EQ(line->password_changed, 0u) << "not known";
}

TEST(ShadowLine, OfALockedUserGivesTheHashWithoutTheMark) {
  for (const std::string mark : {"!", "!!"}) {
    const std::string text = "alice:" + mark + kHash + ":20000::::::";
    const auto line = parse(text);
    ASSERT_TRUE(line);
    EXPECT_TRUE(line->locked);
    EXPECT_EQ(text_of(line->hash), kHash);
  }
}

TEST(ShadowLine, AnExpiredAccountIsLocked) {
  const auto locked = [](const std::string& expiry) {
    const std::string text = "alice:" + kHash + ":20000:::::" + expiry + ":";
    const auto line = parse(text);
    return line && line->locked;
  };
  EXPECT_FALSE(locked(""));
  EXPECT_FALSE(locked(std::to_string(kToday + 1)));
  EXPECT_TRUE(locked(std::to_string(kToday)));
  EXPECT_TRUE(locked("1"));
  EXPECT_TRUE(locked("0"));
}

TEST(ShadowLine, SystemAccountsHaveNoPassword) {
  for (const std::string field : {"*", "!", "!!", "!*", "*LK*", "*NP*", "!*LK*"}) {
    const std::string text = "daemon:" + field + ":20000:0:99999:7:::";
    const auto line = parse(text);
    ASSERT_TRUE(line) << field;
    EXPECT_EQ(line->kind, Kind::kNoPassword) << field;
    EXPECT_TRUE(line->hash.empty());
  }
}

TEST(ShadowLine, EmptyLinesAndCommentsAreNobodys) {
  for (const std::string text : {"", "  \t", "\r", "# alice:x", "  # comment"}) {
    const auto line = parse(text);
    ASSERT_TRUE(line) << text;
    EXPECT_EQ(line->kind, Kind::kNothing);
  }
}

TEST(ShadowLine, SaysWhatIsWrongAndNothingOfTheHash) {
  const struct {
    std::string text, says;
  } bad[] = {
      {"alice", "1 field,"},
      {"alice:" + kHash + ":20000", "3 fields"},
      {"alice:" + kHash + ":20000:0:99999:7::", "8 fields"},
      {"alice:" + kHash + ":20000:0:99999:7::::", "10 fields"},
      {std::string(100000, ':'), "100001 fields"},
      {":" + kHash, "name"},
      {"-alice:" + kHash, "name"},
      {"al\x1b[31mice:" + kHash, "name"},
      {" alice:" + kHash, "name"},
      {std::string(65, 'a') + ":" + kHash, "name"},
      {std::string("al\0ice", 6) + ":" + kHash, "name"},
      {"alice:", "anybody could log in"},
      {"alice::20000:0:99999:7:::", "anybody could log in"},
      {"alice:" + kHash + " ", "no crypt(3) hash"},
      {"alice:" + kHash + "\r", "no crypt(3) hash"},
      {"alice:" + kHash + std::string(1, '\0'), "no crypt(3) hash"},
      {"alice:\xff" + kHash, "no crypt(3) hash"},
      {"alice:" + std::string(384, 'h'), "no crypt(3) hash"},
      {"alice:" + kHash + ":-1:0:99999:7:::", "last change"},
      {"alice:" + kHash + ":0x10:0:99999:7:::", "last change"},
      {"alice:" + kHash + ":2932897:0:99999:7:::", "last change"},
      {"alice:" + kHash + ":99999999999999999999999:0:99999:7:::", "last change"},
      {"alice:" + kHash + ":20000:0:99999:7::soon:", "expiry"},
  };
  for (const auto& [text, says] : bad) {
    const auto line = parse(text);
    ASSERT_FALSE(line) << text.substr(0, 100);
    EXPECT_EQ(line.error().code, Code::kInvalid);
    EXPECT_NE(line.error().detail.find(says), std::string::npos) << line.error().detail;
    EXPECT_EQ(line.error().detail.find("hhh"), std::string::npos);
  }
  EXPECT_TRUE(parse("alice:" + kHash + ":2932896:0:99999:7:::"));
}

}  // namespace
}  // namespace keyd::keyadm
