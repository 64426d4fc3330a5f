// Users whose password is kept as a hash: enrolled by keyadm, and imported from what the machine's own tools write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/private_keyd.h"
#include "tests/support/terminal_session.h"

namespace keyd::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kSha512 = "$6$saltsalt$" + std::string(86, 'h'),
                  kMd5 = "$1$saltsalt$" + std::string(22, 'h');

class HashedUser : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(keyd_.start()) << keyd_.log(); }
  json shown(const std::string& user) {
    const auto result = keyd_.keyadm({"user", "show", user, "-o", "json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return json::parse(result.out, nullptr, false);
  }
  [[nodiscard]] bool knows(const std::string& user) const {
    return keyd_.keyadm({"user", "show", user}).exit_code == 0;
  }
  // Imports `text` from a file.
  CommandResult import(const std::string& text, std::vector<std::string> more = {}) {
    const std::string file = keyd_.directory() + "/shadow";
    std::ofstream(file, std::ios::trunc) << text;
    std::vector<std::string> arguments{"user", "import", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return keyd_.keyadm(arguments);
  }
  PrivateKeyd keyd_;
};

// ---- enrolled with a password

TEST_F(HashedUser, HasTheSecretsOfTheSchemesItWasEnrolledFor) {
  keyd_.enrol("plain", "right");
  keyd_.enrol("hashed", "right", {"--scheme", "kryptoknight"});
  keyd_.enrol("both", "right", {"--scheme", "kryptoknight", "--scheme", "challenge", "--allow-historic"});
  EXPECT_FALSE(shown("plain").contains("crypt_setting"));
  const json hashed = shown("hashed"), both = shown("both");
  EXPECT_EQ(hashed["schemes"], json::array({"kryptoknight"}));
  EXPECT_EQ(hashed["crypt_method"], "yescrypt");
  EXPECT_THAT(hashed["crypt_setting"], StartsWith("$y$j9T$"));
  EXPECT_FALSE(hashed.contains("md5_salt"));
  EXPECT_EQ(both["schemes"], json::array({"challenge", "kryptoknight"}));
  EXPECT_EQ(both["md5_salt"].get<std::string>().size(), 32u);
  EXPECT_NE(both["crypt_setting"], hashed["crypt_setting"]) << "the same password, another salt";
  const auto pretty = keyd_.keyadm({"user", "show", "both"});
  EXPECT_THAT(pretty.out, HasSubstr("password hash  yescrypt, setting $y$j9T$"));
  EXPECT_THAT(pretty.out, HasSubstr("historic hash  md5, salt " + both["md5_salt"].get<std::string>()));
  EXPECT_THAT(keyd_.log(), HasSubstr("admin.user-add user=\"both\""));
  EXPECT_THAT(keyd_.log(), HasSubstr("object=\"challenge,kryptoknight\""));
}

TEST_F(HashedUser, AChangeOfPasswordRenewsExactlyTheSecretsThatThereAre) {
  keyd_.enrol("plain", "right");
  keyd_.enrol("hashed", "right", {"--scheme", "kryptoknight"});
  keyd_.enrol("both", "right", {"--scheme", "kryptoknight", "--scheme", "challenge", "--allow-historic"});
  for (const char* user : {"plain", "hashed", "both"}) {
    const json before = shown(user);
    ASSERT_EQ(keyd_.keyadm({"user", "passwd", user, "--password-fd", "0"}, "other\n").exit_code, 0);
    const json after = shown(user);
    EXPECT_EQ(after["schemes"], before["schemes"]);
    for (const char* field : {"crypt_setting", "md5_salt"}) {
      ASSERT_EQ(after.contains(field), before.contains(field)) << user << " " << field;
      if (before.contains(field)) {
        EXPECT_NE(after[field], before[field]) << user << " " << field;
      }
    }
  }
}

TEST_F(HashedUser, HasAPasswordThatCryptCanTake) {
  const std::string longest(511, 'p'), too_long(512, 'p'), with_zero("zero\0inside", 11);
  const auto add = [&](const std::string& name, const std::string& password) {
    return keyd_.keyadm({"user", "add", name, "--scheme", "kryptoknight", "--password-fd", "0"},
                        password + "\n");
  };
  EXPECT_EQ(add("longest", longest).exit_code, 0);
  EXPECT_THAT(add("long", too_long).err, HasSubstr("1 to 511 octets"));
  EXPECT_THAT(add("zero", with_zero).err, HasSubstr("no zero octet"));
  EXPECT_FALSE(knows("long") || knows("zero"));
  const json before = shown("longest");
  for (const std::string& password : {too_long, with_zero})
    EXPECT_EQ(keyd_.keyadm({"user", "passwd", "longest", "--password-fd", "0"}, password + "\n").exit_code,
              1);
  EXPECT_EQ(shown("longest"), before);
  EXPECT_THAT(keyd_.log(), HasSubstr("admin.user-passwd user=\"longest\""));
}

TEST_F(HashedUser, IsHashedAsTheConfigurationSaysAfterAReload) {
  keyd_.enrol("before", "right", {"--scheme", "kryptoknight", "--allow-historic"});
  std::ofstream(keyd_.config_file(), std::ios::app)
      << "[kryptoknight]\nmethod = \"sha512crypt\"\ncost = 7777\nsalt = \"nonce-start\"\nhistoric_salt = false\n";
  ASSERT_EQ(::kill(keyd_.pid(), SIGHUP), 0);
  ASSERT_TRUE(keyd_.wait_for_log(
      "kryptoknight.cost,kryptoknight.historic_salt,kryptoknight.method,kryptoknight.salt"));
  keyd_.enrol("after", "right", {"--scheme", "kryptoknight", "--allow-historic"});
  EXPECT_THAT(shown("before")["crypt_setting"], StartsWith("$y$"));
  const json after = shown("after");
  EXPECT_THAT(after["crypt_setting"], StartsWith("$6$rounds=7777$"));
  EXPECT_LE(after["crypt_setting"].get<std::string>().size(), std::string("$6$rounds=7777$").size() + 12 + 1);
  EXPECT_EQ(after["md5_salt"], "");
  EXPECT_THAT(keyd_.keyadm({"user", "show", "after"}).out, HasSubstr("historic hash  md5, no salt"));
}

// ---- imported

// A scratch root with users of its own, in which the machine's tools work.
class MachineUsers : public HashedUser {
 protected:
  void SetUp() override {
    HashedUser::SetUp();
    if (::getuid() != 0) GTEST_SKIP() << "chpasswd needs root to work in a root of its own";
    std::filesystem::create_directories(root() + "/etc");
    std::string users, shadow;
    for (const std::string name : {"yes", "sha", "md"}) {
      users += name + ":x:4001:4001::/:/bin/sh\n";
      shadow += name + ":!:19000:0:99999:7:::\n";
    }
    std::ofstream(root() + "/etc/passwd") << users;
    std::ofstream(root() + "/etc/shadow") << shadow + "system:*:19000:0:99999:7:::\n";
    ASSERT_EQ(::chmod((root() + "/etc/shadow").c_str(), 0600), 0);
    for (const auto& [name, method] : {std::pair("yes", "YESCRYPT"), {"sha", "SHA512"}, {"md", "MD5"}}) {
      const auto made = run({"/usr/sbin/chpasswd", "-R", root(), "-c", method},
                            std::string(name) + ":" + name + "'s own\n");
      ASSERT_EQ(made.exit_code, 0) << made.err;
    }
  }
  std::string root() { return keyd_.directory() + "/root"; }
  std::string shadow_file() { return root() + "/etc/shadow"; }
  // The second field of a user's line.
  std::string hash_of(const std::string& name) {
    std::istringstream lines(content_of(shadow_file()));
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with(name + ":"))
        return line.substr(name.size() + 1, line.find(':', name.size() + 1) - name.size() - 1);
    return {};
  }
  CommandResult import_all() { return keyd_.keyadm({"user", "import", "--format", "shadow", shadow_file()}); }
};

TEST_F(MachineUsers, AreImportedWithTheirHashes) {
  const auto result = import_all();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "3 imported (0 locked), 1 without a password, 0 refused\n");
  EXPECT_EQ(result.err, "");
  for (const auto& [name, method, head] :
       {std::tuple("yes", "yescrypt", "$y$"), {"sha", "sha512crypt", "$6$"}, {"md", "md5crypt", "$1$"}}) {
    const json user = shown(name);
    EXPECT_EQ(user["crypt_method"], method);
    EXPECT_EQ(user["state"], "active");
    EXPECT_EQ(user["schemes"], json::array({"kryptoknight"}));
    const std::string setting = user["crypt_setting"], hash = hash_of(name);
    EXPECT_THAT(setting, StartsWith(head));
    EXPECT_THAT(hash, StartsWith(setting)) << "as the machine has it";
    EXPECT_LT(setting.size(), hash.size() - 20) << "the hash itself is not shown";
    // chpasswd has set it today, and a day begins at midnight.
    EXPECT_THAT(user["password_changed"].get<std::string>(), ::testing::EndsWith("T00:00:00Z"));
    EXPECT_THAT(user["password_changed"].get<std::string>(), Not(StartsWith("1970")));
  }
  EXPECT_FALSE(knows("system"));
}

TEST_F(MachineUsers, StayLockedWhenTheMachineHasLockedThem) {
  ASSERT_EQ(run({"/usr/sbin/usermod", "-R", root(), "-L", "sha"}).exit_code, 0);
  ASSERT_EQ(run({"/usr/bin/chage", "-R", root(), "-E", "2020-01-01", "md"}).exit_code, 0);
  ASSERT_THAT(hash_of("sha"), StartsWith("!$6$"));
  const auto result = import_all();
  EXPECT_EQ(result.out, "3 imported (2 locked), 1 without a password, 0 refused\n") << result.err;
  EXPECT_EQ(shown("yes")["state"], "active");
  EXPECT_EQ(shown("sha")["state"], "locked");
  EXPECT_EQ(shown("md")["state"], "locked") << "the account has expired";
  EXPECT_THAT(keyd_.log(), HasSubstr("admin.user-import user=\"sha\""));
  EXPECT_EQ(keyd_.keyadm({"user", "unlock", "sha"}).exit_code, 0);
  EXPECT_EQ(shown("sha")["state"], "active");
  EXPECT_THAT(shown("sha")["crypt_setting"], StartsWith("$6$"));
}

TEST_F(MachineUsers, AreImportedWithoutAHashBeingShownOrLogged) {
  const auto import = import_all(), again = import_all();
  const auto show = keyd_.keyadm({"user", "show", "sha"}),
             list = keyd_.keyadm({"user", "list", "-o", "json"});
  for (const std::string name : {"yes", "sha", "md"}) {
    const std::string hash = hash_of(name), tail = hash.substr(hash.rfind('$') + 1);
    ASSERT_GE(tail.size(), 22u);
    for (const std::string& text :
         {import.out, import.err, again.out, again.err, show.out, list.out, keyd_.log(),
          content_of(keyd_.state_dir() + "/keyd.db"), content_of(keyd_.state_dir() + "/keyd.db-wal")})
      EXPECT_EQ(text.find(tail), std::string::npos);
  }
}

TEST_F(HashedUser, AnImportNamesEachLineThatItRefusesAndGoesOn) {
  keyd_.enrol("taken", "right");
  const auto result =
      import("good:" + kSha512 + ":19000:0:99999:7:::\n" +                                    // 1
             "taken:" + kSha512 + ":19000:0:99999:7:::\n" +                                   // 2
             "few:" + kSha512 + ":19000\n" +                                                  // 3
             "open::19000:0:99999:7:::\n" +                                                   // 4
             "cut:" + kSha512.substr(0, 90) + ":19000:0:99999:7:::\n" +                       // 5
             "what:$99$salt$hash:19000:0:99999:7:::\n" +                                      // 6
             "slow:$6$rounds=99999999$s$" + std::string(86, 'h') + ":19000:0:99999:7:::\n" +  // 7
             "bad\x1b[31m:" + kSha512 + ":19000:0:99999:7:::\n" +                             // 8
             std::string(5000, 'x') + "\n" +                                                  // 9
             "# a comment\n\n" +                                                              // 10, 11
             "good:" + kMd5 + ":19000:0:99999:7:::\n" +                                       // 12
             "last:" + kMd5);                                                                 // 13
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "2 imported (0 locked), 0 without a password, 9 refused\n");
  std::istringstream lines(result.err);
  const struct {
    std::string begins, says;
  } wanted[] = {{"keyadm: line 2 (\"taken\"): ", "enrolled already"},
                {"keyadm: line 3: ", "3 fields"},
                {"keyadm: line 4: ", "anybody could log in"},
                {"keyadm: line 5 (\"cut\"): ", "not a crypt(3) hash string"},
                {"keyadm: line 6 (\"what\"): ", "not a crypt(3) hash string"},
                {"keyadm: line 7 (\"slow\"): ", "would take too much"},
                {"keyadm: line 8: ", "name"},
                {"keyadm: line 9: ", "longer than 4096"},
                {"keyadm: line 12 (\"good\"): ", "enrolled already"}};
  std::string line;
  for (const auto& [begins, says] : wanted) {
    ASSERT_TRUE(std::getline(lines, line));
    EXPECT_THAT(line, StartsWith(begins));
    EXPECT_THAT(line, HasSubstr(says));
    EXPECT_THAT(line, Not(HasSubstr("\x1b")));
    EXPECT_THAT(line, Not(HasSubstr("hhhh")));
  }
  EXPECT_FALSE(std::getline(lines, line)) << line;
  EXPECT_TRUE(knows("good") && knows("last"));
  EXPECT_EQ(shown("good")["crypt_method"], "sha512crypt") << "the second of that name changed nothing";
  EXPECT_EQ(shown("taken")["schemes"], json::array({"challenge"}));
  EXPECT_EQ(shown("last")["password_changed"], json()) << "not known";
  EXPECT_THAT(keyd_.keyadm({"user", "show", "last"}).out, HasSubstr("not known"));
}

TEST_F(HashedUser, AnImportSaysTheSameInJson) {
  const auto result =
      import("a:" + kSha512 + ":19000:0:99999:7:::\nb:!" + kSha512 + ":19000:0:99999:7:::\nc:*:1::::::\nd:\n",
             {"-o", "json"});
  EXPECT_EQ(result.exit_code, 1);
  const json said = json::parse(result.out);
  EXPECT_EQ(said["dry_run"], false);
  EXPECT_EQ(said["imported"], 2);
  EXPECT_EQ(said["locked"], 1);
  EXPECT_EQ(said["without_password"], 1);
  ASSERT_EQ(said["refused"].size(), 1u);
  EXPECT_EQ(said["refused"][0]["line"], 4);
  EXPECT_THAT(said["refused"][0]["reason"], HasSubstr("anybody could log in"));
}

TEST_F(HashedUser, ADryRunSaysWhatTheImportWouldAndDoesNothing) {
  keyd_.enrol("taken", "right");
  const std::string text =
      "a:" + kSha512 + ":19000:0:99999:7:::\ntaken:" + kSha512 + "\na:" + kMd5 + "\nb:!" + kMd5 + "\nx:*\n";
  const auto dry = import(text, {"--dry-run"});
  EXPECT_EQ(dry.exit_code, 1);
  EXPECT_EQ(dry.out, "2 would be imported (1 locked), 1 without a password, 2 refused\n");
  EXPECT_FALSE(knows("a") || knows("b"));
  EXPECT_THAT(keyd_.log(), Not(HasSubstr("user-import")));
  const auto real = import(text);
  EXPECT_EQ(real.err, dry.err);
  EXPECT_EQ(real.exit_code, dry.exit_code);
  EXPECT_EQ(real.out, "2 imported (1 locked), 1 without a password, 2 refused\n");
}

TEST_F(HashedUser, StandardInputIsImportedLineByLine) {
  const auto result = keyd_.keyadm({"user", "import", "-"}, "a:" + kMd5 + "\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "1 imported (0 locked), 0 without a password, 0 refused\n");
  EXPECT_EQ(shown("a")["crypt_method"], "md5crypt");
  EXPECT_EQ(keyd_.keyadm({"user", "import", "-"}).out,
            "0 imported (0 locked), 0 without a password, 0 refused\n");
}

TEST_F(HashedUser, WhatCannotBeReadOrReachedIsTold) {
  const auto missing = keyd_.keyadm({"user", "import", keyd_.directory() + "/none"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("cannot open"));
  EXPECT_THAT(missing.err, HasSubstr("No such file"));
  const auto directory = keyd_.keyadm({"user", "import", keyd_.directory()});
  EXPECT_EQ(directory.exit_code, 1);
  EXPECT_THAT(directory.err, HasSubstr("directory"));
  EXPECT_EQ(keyd_.keyadm({"user", "import"}).exit_code, 2);
  EXPECT_EQ(keyd_.keyadm({"user", "import", "--format", "ldif", "-"}).exit_code, 2);
  keyd_.stop();
  EXPECT_EQ(import("a:" + kMd5 + "\n").exit_code, 3);
}

TEST_F(HashedUser, AnImportThatTakesLongShowsHowFarItIsOnATerminal) {
  const std::string fifo = keyd_.directory() + "/slow";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  TerminalSession session({program("keyadm"), "--runtime-dir", keyd_.runtime_dir(), "user", "import", fifo},
                          24, 80);
  {
    std::ofstream lines(fifo);
    int count = 0;
    ASSERT_TRUE(eventually(
        [&] {
          lines << "user" << ++count << ":*\n" << std::flush;
          return session.until(
              [](const ScreenPicture& p) { return p.text().find(" lines") != std::string::npos; }, 0.1);
        },
        20));
    lines << "open:\n";
  }
  EXPECT_EQ(session.wait(), 1);
  const std::string screen = session.picture().text();
  EXPECT_THAT(screen, HasSubstr("anybody could log in"));
  EXPECT_THAT(screen, HasSubstr(" without a password, 1 refused"));
  EXPECT_THAT(screen, Not(HasSubstr(" lines"))) << "gone when it is over";
}

}  // namespace
}  // namespace keyd::testing
