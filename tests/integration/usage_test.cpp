// What the programs say of themselves, and to somebody who has got them wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Usage, HelpHasExamplesAndExitCodesAndFitsATerminal) {
  for (const char* name : {"keyd", "keyadm", "keypasswd", "keyrun", "keystat"}) {
    const auto help = run({program(name), "--help"});
    EXPECT_EQ(help.exit_code, 0) << name;
    EXPECT_EQ(help.err, "") << name;
    EXPECT_THAT(help.out, HasSubstr(std::string("Usage: ") + name)) << name;
    EXPECT_THAT(help.out, HasSubstr("Examples:\n")) << name;
    EXPECT_THAT(help.out, HasSubstr("Exit status: ")) << name;
    EXPECT_THAT(help.out, Not(HasSubstr("TEXT"))) << name;  // a kind of value is no help
    std::istringstream lines(help.out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
  }
}

TEST(Usage, AMistakeIsOneLineThatNamesIt) {
  struct Mistake {
    const char* program;
    std::vector<std::string> arguments;
    const char* says;
  };
  const std::vector<Mistake> mistakes{
      {"keyd", {"--bogus"}, "--bogus"},
      {"keyadm", {}, "name a command: user, credential, change-due, revoke, health"},
      {"keyadm", {"user"}, "name a command: add, import, export, passwd"},
      {"keyadm", {"user", "frob"}, "\"frob\""},
      {"keyadm", {"--bogus"}, "\"--bogus\""},
      {"keyadm", {"user", "add"}, "NAME"},
      {"keyadm",
       {"user", "import", "x", "--conf", "y"},
       "--conf and --allow-historic are for --format tpasswd"},
      {"keyadm", {"user", "add", "x", "--password-fd", "-1"}, "descriptor"},
      {"keyadm", {"health", "-o", "xml"}, "{pretty,json}"},
      {"keypasswd", {"alice"}, "alice"},
      {"keypasswd", {"--new-password-fd", "x"}, "descriptor"},
      {"keypasswd", {"--suite", "ancient"}, "{modern,historic}"},
      {"keyrun", {"--", "true"}, "--user"},
      {"keyrun", {"--user", "a"}, "no command; write it behind --"},
      {"keyrun", {"--user", "a", "--password-fd", "three", "--", "true"}, "descriptor"},
      {"keystat", {"12x"}, "PID or PID:INODE"},
      {"keystat", {"1", "2"}, "2"},
      {"keystat", {"--\x1b[31m"}, "\\x1b"},
  };
  for (const Mistake& mistake : mistakes) {
    std::vector<std::string> arguments{program(mistake.program)};
    arguments.insert(arguments.end(), mistake.arguments.begin(), mistake.arguments.end());
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, 2) << mistake.says;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.find(std::string(mistake.program) + ": "), 0u) << result.err;
    EXPECT_THAT(result.err, HasSubstr(mistake.says));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
  }
}

}  // namespace
}  // namespace keyd::testing
