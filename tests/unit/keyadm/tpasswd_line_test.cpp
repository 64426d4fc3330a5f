#include "tools/keyadm/tpasswd_line.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tools/keyadm/tpasswd_groups.h"

namespace keyd::keyadm {
namespace {

using Kind = TpasswdLine::Kind;

// Views of what is given here: it has to live as long.
Result<TpasswdLine> parse(const std::string& line) { return parse_tpasswd_line(bytes_of(line)); }
Result<TpasswdLine> parse_conf(const std::string& line) { return parse_tpasswd_conf_line(bytes_of(line)); }

TEST(TpasswdLine, OfGnutlsGivesNameVerifierSaltAndIndex) {
  const std::string text = "alice:10002:0A:3";
  const auto line = parse(text);
  ASSERT_TRUE(line) << line.error().detail;
  EXPECT_EQ(line->kind, Kind::kUser);
  EXPECT_EQ(line->form, SrpBase64::kGnutls);
  EXPECT_EQ(line->name, "alice");
  EXPECT_EQ(line->group, "3");
  EXPECT_EQ(to_hex(line->verifier.reveal()), "01000002");
  EXPECT_EQ(to_hex(line->salt), "0a");
}

TEST(TpasswdLine, OfOpensslGivesTheSame) {
  const std::string text = "V\t010002\t0A\talice\t2048\tsome information";
  const auto line = parse(text);
  ASSERT_TRUE(line) << line.error().detail;
  EXPECT_EQ(line->kind, Kind::kUser);
  EXPECT_EQ(line->form, SrpBase64::kOpenssl);
  EXPECT_EQ(line->name, "alice");
  EXPECT_EQ(line->group, "2048");
  EXPECT_EQ(to_hex(line->verifier.reveal()), "01000002");
  EXPECT_EQ(to_hex(line->salt), "0a");
}

// GnuTLS computes with the octets, OpenSSL with the number that they are.
TEST(TpasswdLine, AZeroInFrontOfTheSaltIsPartOfGnutlssAlone) {
  const std::string gnutls = "alice:5:0005:3", openssl = "V\t05\t0005\talice\t2048\t";
  EXPECT_EQ(to_hex(parse(gnutls)->salt), "000005");
  EXPECT_EQ(to_hex(parse(openssl)->salt), "05");
}

TEST(TpasswdLine, AZeroInFrontOfANumberIsNobodys) {
  for (const std::string text : {"alice:00005:A:3", "V\t00000005\t0A\talice\t2048\t"})
    EXPECT_EQ(to_hex(parse(text)->verifier.reveal()), "05") << text;
}

TEST(TpasswdLine, GroupsStandBetweenTheUsersOrInAFileBeside) {
  const std::string openssl = "I\t010002\t02\tmine\t\t", gnutls = "7:10002:2";
  for (const auto& line : {parse(openssl), parse_conf(gnutls)}) {
    ASSERT_TRUE(line) << line.error().detail;
    EXPECT_EQ(line->kind, Kind::kGroup);
    EXPECT_EQ(to_hex(line->modulus), "01000002");
    EXPECT_EQ(to_hex(line->generator), "02");
  }
  EXPECT_EQ(parse(openssl)->group, "mine");
  EXPECT_EQ(parse_conf(gnutls)->group, "7");
}

TEST(TpasswdLine, WhoWasDeletedIsNoUser) {
  const std::string text = "R\t010002\t0A\talice\t2048\t";
  const auto line = parse(text);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->kind, Kind::kDeleted);
  EXPECT_EQ(line->name, "alice");
  EXPECT_TRUE(line->verifier.empty());
}

TEST(TpasswdLine, EmptyLinesAndCommentsAreNobodys) {
  for (const std::string text : {"", "  \t", "\r", "# alice:1:1:1", "#\tV"}) {
    ASSERT_TRUE(parse(text)) << text;
    EXPECT_EQ(parse(text)->kind, Kind::kNothing);
    EXPECT_EQ(parse_conf(text)->kind, Kind::kNothing);
  }
}

TEST(TpasswdLine, ABackslashBeforeATabIsAnotherField) {
  const std::string text = "V\t010002\t0A\talice\t2048\tsome\\\tinformation";
  EXPECT_TRUE(parse(text));
  const std::string name = "V\t010002\t0A\talice\\\t2048\t";
  ASSERT_FALSE(parse(name));
  EXPECT_NE(parse(name).error().detail.find("5 fields"), std::string::npos) << parse(name).error().detail;
}

TEST(TpasswdLine, SaysWhatIsWrongAndNothingOfTheVerifier) {
  const std::string v(172, 'v');
  const struct {
    std::string text, says;
  } bad[] = {
      {"alice", "1 field,"},
      {"alice:" + v + ":salt", "3 fields"},
      {"al:ice:" + v + ":salt:3", "5 fields"},
      {std::string(100000, ':'), "100001 fields"},
      {std::string(100000, '\t') + "x", "100001 fields"},
      {":" + v + ":salt:3", "name"},
      {"al\x1b[31mice:" + v + ":salt:3", "name"},
      {std::string(65, 'a') + ":" + v + ":salt:3", "name"},
      {"alice::salt:3", "verifier"},
      {"alice:0:salt:3", "verifier"},
      {"alice:" + v + "+:salt:3", "verifier"},
      {"alice:" + std::string(1367, 'v') + ":salt:3", "verifier"},
      {"alice:" + std::string(4000, '0') + "1:salt:3", "verifier"},
      {"alice:" + v + "::3", "salt"},
      {"alice:" + v + ":sa lt:3", "salt"},
      {"alice:" + v + ":" + std::string(342, 's') + ":3", "salt"},
      {"alice:" + v + ":salt:", "no group"},
      {"alice:" + v + ":salt:3\r", "no group"},
      {"alice:" + v + ":salt:" + std::string(33, '3'), "no group"},
      {"V\t" + v + "\tsalt\talice\t2048", "5 fields"},
      {"V\t" + v + "\tsalt\talice\t2048\t\t", "7 fields"},
      {"v\t" + v + "\tsalt\talice\t2048\t", "begins"},
      {"VV\t" + v + "\tsalt\talice\t2048\t", "begins"},
      {"\t" + v + "\tsalt\talice\t2048\t", "begins"},
      {"V\t" + v + "\tsalt\t\t2048\t", "name"},
      {"R\t" + v + "\tsalt\t\x07\t2048\t", "name"},
      {"V\tv" + v + "v\tsalt\talice\t2048\t", "verifier"},
      {"V\t" + v + "\t00\talice\t2048\t", "salt"},
      {"V\t" + v + "\ts\talice\t2048\t", "salt"},
      {"I\t" + v + "\t00\tmine\t\t", "generator"},
      {"I\t\t02\tmine\t\t", "generator"},
      {"I\t" + v + "\t02\tmi ne\t\t", "no group"},
  };
  for (const auto& [text, says] : bad) {
    const auto line = parse(text);
    ASSERT_FALSE(line) << text.substr(0, 100);
    EXPECT_EQ(line.error().code, Code::kInvalid);
    EXPECT_NE(line.error().detail.find(says), std::string::npos) << line.error().detail;
    EXPECT_EQ(line.error().detail.find("vvv"), std::string::npos);
  }
  for (const std::string& text :
       std::vector<std::string>{"1", "1:" + v, "1:" + v + ":2:3", ":" + v + ":2", "1:+:2", "1:" + v + ":"})
    EXPECT_FALSE(parse_conf(text)) << text;
}

TpasswdLine user(SrpBase64 form, std::string_view name, Bytes salt) {
  TpasswdLine line;
  line.kind = Kind::kUser;
  line.form = form;
  line.name = name;
  line.group = "3";
  line.verifier = secret::SecretBuffer::copy_of(Bytes(257, 0x5a));
  line.salt = std::move(salt);
  return line;
}

TEST(TpasswdLine, WhatIsWrittenIsReadBack) {
  for (const SrpBase64 form : {SrpBase64::kGnutls, SrpBase64::kOpenssl}) {
    for (const std::size_t salt : {1, 4, 16, 20, 255}) {
      const TpasswdLine line = user(form, "carol d", Bytes(salt, 0x81));
      const auto text = write_tpasswd_line(line);
      ASSERT_TRUE(text) << text.error().detail;
      ASSERT_EQ(text->reveal().back(), '\n');
      const auto again = parse_tpasswd_line(text->reveal().first(text->size() - 1));
      ASSERT_TRUE(again) << again.error().detail;
      EXPECT_EQ(again->form, form);
      EXPECT_EQ(again->name, "carol d");
      EXPECT_EQ(again->group, "3");
      EXPECT_EQ(to_hex(again->salt), to_hex(line.salt));
      EXPECT_EQ(to_hex(again->verifier.reveal()), to_hex(line.verifier.reveal()));
    }
  }
  const std::string conf = write_tpasswd_conf_line("3", Bytes{0x81, 2, 3, 4}, Bytes{5});
  const auto group = parse_conf(conf.substr(0, conf.size() - 1));
  ASSERT_TRUE(group);
  EXPECT_EQ(to_hex(group->modulus), "81020304");
  EXPECT_EQ(to_hex(group->generator), "05");
}

TEST(TpasswdLine, WhatWouldBeReadAsSomethingElseIsNotWritten) {
  const auto refused = [](const TpasswdLine& line) {
    const auto text = write_tpasswd_line(line);
    return !text && text.error().code == Code::kRefused;
  };
  EXPECT_TRUE(refused(user(SrpBase64::kGnutls, "al:ice", {1})));
  EXPECT_FALSE(refused(user(SrpBase64::kOpenssl, "al:ice", {1})));
  EXPECT_TRUE(refused(user(SrpBase64::kOpenssl, "alice\\", {1})));
  EXPECT_FALSE(refused(user(SrpBase64::kGnutls, "alice\\", {1})));
  EXPECT_TRUE(refused(user(SrpBase64::kGnutls, "#alice", {1})));
  for (const SrpBase64 form : {SrpBase64::kGnutls, SrpBase64::kOpenssl}) {
    EXPECT_TRUE(refused(user(form, "alice\nroot", {1}))) << "another line";
    EXPECT_TRUE(refused(user(form, "al\tice", {1})));
    EXPECT_TRUE(refused(user(form, "", {1})));
  }
  EXPECT_TRUE(refused(user(SrpBase64::kGnutls, "alice", {0, 1})));
  EXPECT_TRUE(refused(user(SrpBase64::kGnutls, "alice", {0, 1, 2, 3, 4})));
  EXPECT_FALSE(refused(user(SrpBase64::kGnutls, "alice", {0, 1, 2})));
  EXPECT_FALSE(refused(user(SrpBase64::kGnutls, "alice", Bytes(16, 0))));
  EXPECT_TRUE(refused(user(SrpBase64::kOpenssl, "alice", {0, 1, 2})));
  EXPECT_TRUE(refused(user(SrpBase64::kOpenssl, "alice", Bytes(16, 0))));
}

// ---- groups

TpasswdLine group_line(SrpBase64 form, std::string_view name, unsigned bits) {
  TpasswdLine line;
  line.kind = Kind::kGroup;
  line.form = form;
  line.group = name;
  const auto group = *exchange::SrpGroup::listed(bits);
  line.modulus.assign(group.modulus_octets().begin(), group.modulus_octets().end());
  line.generator.assign(group.generator_octets().begin(), group.generator_octets().end());
  return line;
}

TEST(TpasswdGroups, OpensslKnowsThoseOfRfc5054ByTheirBits) {
  const TpasswdGroups groups;
  for (const unsigned bits : {1024u, 1536u, 2048u, 3072u, 4096u, 6144u, 8192u}) {
    TpasswdLine line = user(SrpBase64::kOpenssl, "alice", {1});
    const std::string name = std::to_string(bits);
    line.group = name;
    ASSERT_TRUE(groups.of(line)) << bits;
    EXPECT_EQ(groups.of(line)->bits(), bits);
    line.form = SrpBase64::kGnutls;
    EXPECT_FALSE(groups.of(line)) << "an index is nothing without the file beside";
  }
  for (const std::string_view name : {"2047", "0", "-1", "2048x", "99999999999999999999"}) {
    TpasswdLine line = user(SrpBase64::kOpenssl, "alice", {1});
    line.group = name;
    ASSERT_FALSE(groups.of(line)) << name;
    EXPECT_EQ(groups.of(line).error().code, Code::kRefused);
  }
}

TEST(TpasswdGroups, OfTwoGnutlsTakesTheFirstAndOpensslTheLast) {
  TpasswdGroups groups;
  for (const unsigned bits : {1536u, 2048u}) {
    ASSERT_TRUE(groups.add(group_line(SrpBase64::kGnutls, "3", bits)));
    ASSERT_TRUE(groups.add(group_line(SrpBase64::kOpenssl, "3", bits)));
  }
  EXPECT_EQ(groups.of(user(SrpBase64::kGnutls, "alice", {1}))->bits(), 1536u);
  EXPECT_EQ(groups.of(user(SrpBase64::kOpenssl, "alice", {1}))->bits(), 2048u);
}

TEST(TpasswdGroups, OthersAreRefusedByName) {
  TpasswdGroups groups;
  TpasswdLine line = group_line(SrpBase64::kGnutls, "3", 2048);
  line.modulus.back() ^= 2;
  ASSERT_TRUE(groups.add(line));
  const auto group = groups.of(user(SrpBase64::kGnutls, "alice", {1}));
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().code, Code::kRefused);
  EXPECT_NE(group.error().detail.find("\"3\": the group is none of RFC 5054"), std::string::npos)
      << group.error().detail;
}

TEST(TpasswdGroups, AreBounded) {
  TpasswdGroups groups;
  for (std::size_t i = 0; i < TpasswdGroups::kMost; ++i) {
    const std::string name = std::to_string(i);
    ASSERT_TRUE(groups.add(group_line(SrpBase64::kOpenssl, name, 1024)));
  }
  EXPECT_FALSE(groups.add(group_line(SrpBase64::kOpenssl, "more", 1024)));
  EXPECT_TRUE(groups.add(group_line(SrpBase64::kOpenssl, "0", 2048))) << "in the place of another";
}

}  // namespace
}  // namespace keyd::keyadm
