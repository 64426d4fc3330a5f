// The libraries' part of the judgement. Here their copies of passwords stay in the process: these are nobody's.
#include "libkeyclient/src/password_quality.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace keyd::client {
namespace {

using ::testing::HasSubstr;

class PasswordQuality : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/quality-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string written(const std::string& name, const std::string& content) const {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  // "good", or what is wrong.
  std::string judged(const char* fresh, const char* old = "") const {
    const auto verdict = check_quality({.user = user_, .gecos = gecos_, .words = words_}, fresh, old,
                                       config_.empty() ? nullptr : config_.c_str());
    if (!verdict) status_ = verdict.error().status;
    return verdict ? "good" : verdict.error().text;
  }

  std::string directory_, user_ = "wilhelmina", config_;
  std::vector<std::string> gecos_, words_;
  mutable keyclient_status status_ = KEYCLIENT_OK;
};

TEST_F(PasswordQuality, AWordOfTheDictionaryWillNotDoInAnyDress) {
  for (const char* each : {"elephant", "elephant1", "3l3phant", "tnahpele", "Elephant7", "p4ssw0rd"})
    EXPECT_THAT(judged(each), HasSubstr("dictionary word")) << each;
  EXPECT_EQ(judged("jf7-qomvex2"), "good");
  EXPECT_EQ(status_, KEYCLIENT_INVALID);
}

TEST_F(PasswordQuality, WhatIsSimilarToTheOldOneWillNotDo) {
  const char* const old = "jf7-qomvex2";
  EXPECT_EQ(judged("jf8-qomvex2", old), "the password is too similar to the old one");
  EXPECT_EQ(judged("jf7-qomvex99", old), "the password is too similar to the old one");
  EXPECT_EQ(judged("JF7-qomvex2", old), "the password is the old one but for capitals");
  EXPECT_EQ(judged("qomvex2jf7-", old), "the password is the old one turned round");
  EXPECT_EQ(judged("jf7-qomvex2", old), "the password is the old one");
  EXPECT_EQ(judged("wk3zu!aphob", old), "good");
}

TEST_F(PasswordQuality, NamesWillNotDo) {
  EXPECT_EQ(judged("9wilhelmina4"), "the password holds the user name");
  words_ = {"Rumpelstilz"};
  gecos_ = {"Brunhilde"};
  EXPECT_EQ(judged("1rumpelstilz2"), "the password holds a word that it must not, or nearly");
  EXPECT_EQ(judged("1Brunhilde2x"), "the password holds a word that it must not, or nearly");
}

TEST_F(PasswordQuality, SequencesAndPalindromesWillNotDo) {
  EXPECT_THAT(judged("abcdef123456"), HasSubstr("too easily guessed"));
  EXPECT_THAT(judged("aaaaaaa1"), HasSubstr("too easily guessed"));
  EXPECT_EQ(judged("kq7w5w7qk"), "the password is the same read backwards");
}

TEST_F(PasswordQuality, AnAdministratorCanBeStricter) {
  config_ = written("strict.conf", "minlen = 14\nucredit = -1\nbadwords = zeppelin\n");
  words_ = {"Rumpelstilz"};
  EXPECT_EQ(judged("Jf7-qomvex2"), "the password is too short for what it is made of");
  EXPECT_EQ(judged("jf7-qomvex2-wtbi"), "the password has too few capital letters");
  EXPECT_EQ(judged("Jf7-zeppelin-qx"), "the password holds a word that it must not, or nearly");
  EXPECT_EQ(judged("Jf7-rumpelstilz-qx"), "the password holds a word that it must not, or nearly");
  EXPECT_EQ(judged("Jf7-qomvex2-wtbi"), "good");
}

TEST_F(PasswordQuality, AnAdministratorCannotBeLaxer) {
  config_ =
      written("lax.conf", "minlen = 6\ndifok = 0\ndictcheck = 0\nusercheck = 0\nenforcing = 0\nbadwords =\n");
  words_ = {"Rumpelstilz"};
  EXPECT_EQ(judged("jf7-qom"), "the password is too short for what it is made of");
  EXPECT_EQ(judged("jf8-qomvex2", "jf7-qomvex2"), "the password is too similar to the old one");
  EXPECT_THAT(judged("elephant7"), HasSubstr("dictionary word"));
  EXPECT_EQ(judged("9wilhelmina4"), "the password holds the user name");
  EXPECT_EQ(judged("1rumpelstilz2"), "the password holds a word that it must not, or nearly");
}

TEST_F(PasswordQuality, AConfigurationThatIsNotRightIsARefusal) {
  config_ = written("wrong.conf", "minlen = many\n");
  EXPECT_THAT(judged("jf7-qomvex2"), HasSubstr("pwquality.conf"));
  EXPECT_EQ(status_, KEYCLIENT_REFUSED);
  config_ = directory_ + "/not-there.conf";
  EXPECT_THAT(judged("jf7-qomvex2"), HasSubstr("pwquality.conf"));
  EXPECT_EQ(status_, KEYCLIENT_REFUSED);
}

class PasswordDictionary : public PasswordQuality {
 protected:
  void SetUp() override {
    PasswordQuality::SetUp();
    const std::string path = directory_ + "/words";
    for (const char* ending : {".pwd", ".pwi", ".hwm"})
      std::filesystem::copy_file(std::string("/var/cache/cracklib/cracklib_dict") + ending, path + ending);
    config_ = written("dictionary.conf", "dictpath = " + path + "\n");
  }
  [[nodiscard]] std::string file(const char* ending) const { return directory_ + "/words" + ending; }
};

TEST_F(PasswordDictionary, IsWhereTheConfigurationSays) {
  EXPECT_EQ(judged("jf7-qomvex2"), "good");
  EXPECT_THAT(judged("elephant7"), HasSubstr("dictionary word"));
}

TEST_F(PasswordDictionary, MissingIsARefusalThatSaysWhatToInstall) {
  for (const char* ending : {".pwd", ".pwi"}) {
    std::filesystem::rename(file(ending), file(".away"));
    EXPECT_THAT(judged("jf7-qomvex2"), HasSubstr("install cracklib-runtime")) << ending;
    EXPECT_EQ(status_, KEYCLIENT_UNSUPPORTED);
    std::filesystem::rename(file(".away"), file(ending));
  }
  EXPECT_EQ(judged("jf7-qomvex2"), "good");
}

// cracklib alone would take "zulu" and the like for words that are not in it.
TEST_F(PasswordDictionary, DamagedIsARefusal) {
  for (const char* ending : {".pwd", ".pwi"}) {
    const auto whole = std::filesystem::file_size(file(ending));
    std::filesystem::copy_file(file(ending), file(".whole"));
    for (const std::uintmax_t left : {std::uintmax_t{0}, std::uintmax_t{11}, whole / 2, whole - 256}) {
      std::filesystem::resize_file(file(ending), left);
      EXPECT_THAT(judged("jf7-qomvex2"), HasSubstr("is damaged")) << ending << " of " << left;
      EXPECT_EQ(status_, KEYCLIENT_UNSUPPORTED);
      std::filesystem::copy_file(file(".whole"), file(ending),
                                 std::filesystem::copy_options::overwrite_existing);
    }
    std::filesystem::remove(file(".whole"));
  }
  std::ofstream(file(".pwi"), std::ios::binary) << "this is not an index";
  EXPECT_THAT(judged("jf7-qomvex2"), HasSubstr("is damaged"));
}

}  // namespace
}  // namespace keyd::client
