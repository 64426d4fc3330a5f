// A configuration that is wrong stops keyd with one line that names file, line and key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/support/content.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;

void expect_refused(const std::string& config, const std::string& says) {
  PrivateKeyd keyd(config);
  ASSERT_FALSE(keyd.start()) << "keyd took: " << config;
  EXPECT_EQ(keyd.exit_code(), 1);
  EXPECT_THAT(keyd.log(), HasSubstr(says));
  const std::string log = keyd.log();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

TEST(ConfigFile, UnknownKeysAndSectionsAreErrors) {
  expect_refused("[daemon]\nteir = \"watch\"\n", "keyd.toml:2: unknown key daemon.teir");
  expect_refused("[deamon]\n", "unknown section [deamon]");
  expect_refused("tier = \"watch\"\n", "unknown section");
  expect_refused("daemon = 3\n", "is a section");
  expect_refused("[daemon]\n\"a\\u001b\" = 1\n", "\\x1b");
}

TEST(ConfigFile, ValuesOfTheWrongKindOrOutOfRangeAreErrors) {
  expect_refused("[daemon]\ntier = \"best\"\n", "daemon.tier needs one of");
  expect_refused("[table]\ncapacity = 1000\n", "power of two");
  expect_refused("[table]\ncapacity = \"many\"\n", "power of two");
  expect_refused("[session]\nlifetime = 0\n", "needs 1 to");
  expect_refused("[session]\nlifetime = 1.5\n", "needs 1 to");
  expect_refused("[historic]\nenabled = \"yes\"\n", "needs true or false");
  expect_refused("[limits]\nconnections = -1\n", "whole number");
  expect_refused("[daemon]\nserver_name = \"\"\n", "must not be empty");
  expect_refused("[daemon\n", "keyd.toml:1");
}

TEST(ConfigFile, AWayToHashThatClientsOrLibcryptWouldRefuseIsAnError) {
  const std::string section = "[kryptoknight]\n";
  expect_refused(section + "method = \"rot13\"\n", "keyd.toml:2: kryptoknight.method is \"rot13\"");
  expect_refused(section + "method = \"md5crypt\"\n", "kryptoknight.method is \"md5crypt\"");
  expect_refused(section + "method = \"\\u001b[31m\"\n", "\\x1b[31m");
  expect_refused(section + "method = 6\n", "needs the name of a crypt(5) method");
  expect_refused(section + "cost = -1\n", "whole number from 0");
  expect_refused(section + "cost = 12\n",
                 "kryptoknight.cost 12 does not go with kryptoknight.method \"yescrypt\"");
  expect_refused(section + "method = \"bcrypt\"\ncost = 20\n", "kryptoknight.cost 20 does not go with");
  expect_refused(section + "salt = \"none\"\n", "needs one of \"beside\", \"nonce\", \"nonce-start\"");
  expect_refused(section + "historic_salt = 1\n", "needs true or false");
}

TEST(ConfigFile, DropInsAreReadInOrderAndCheckedToo) {
  PrivateKeyd keyd("[daemon]\ntier = \"pidfd\"\n[table]\ncapacity = 64\n");
  const std::string directory = keyd.config_file() + ".d";
  std::filesystem::create_directory(directory);
  std::ofstream(directory + "/20-b.toml") << "[table]\ncapacity = 32\n";
  std::ofstream(directory + "/10-a.toml") << "[table]\ncapacity = 128\n";
  std::ofstream(directory + "/ignored.txt") << "nonsense";
  ASSERT_TRUE(keyd.start()) << keyd.log();
  EXPECT_THAT(keyd.keystat({"-o", "json"}).out, HasSubstr("\"capacity\": 32"));
  EXPECT_THAT(keyd.keystat({"-o", "json"}).out, HasSubstr("\"tier\": \"pidfd\""));
  keyd.stop();
  std::ofstream(directory + "/30-c.toml") << "[table]\nsize = 1\n";
  EXPECT_FALSE(keyd.start());
  EXPECT_THAT(keyd.log(), HasSubstr("30-c.toml:2: unknown key table.size"));
}

TEST(ConfigFile, AMissingFileIsAnErrorOnlyWhenItWasAskedFor) {
  const auto result = run({program("keyd"), "-F", "--config", "/nonexistent/keyd.toml"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "keyd: no configuration file /nonexistent/keyd.toml\n");
}

TEST(ConfigFile, JsonAuditLinesAreJson) {
  PrivateKeyd keyd("[audit]\nformat = \"json\"\n");
  ASSERT_TRUE(keyd.start());
  keyd.enrol("alice", "right");
  EXPECT_THAT(keyd.log(), HasSubstr("\"event\":\"admin.user-add\",\"user\":\"alice\""));
}

TEST(ConfigFile, TheAuditLogCanHaveAFileOfItsOwn) {
  PrivateKeyd probe;
  const std::string file = probe.directory() + "/audit.log";
  PrivateKeyd keyd("[audit]\nfile = \"" + file + "\"\n");
  ASSERT_TRUE(keyd.start());
  keyd.enrol("alice", "right");
  EXPECT_THAT(content_of(file), HasSubstr("audit admin.user-add user=\"alice\""));
  EXPECT_EQ(keyd.log().find("admin.user-add"), std::string::npos);
}

}  // namespace
}  // namespace keyd::testing
