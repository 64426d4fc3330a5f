// The log goes to stderr, one line an event, and says nothing below its level.
#include "core/base/log.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "core/base/untrusted_text.h"

namespace keyd {
namespace {

class Log : public testing::Test {
 protected:
  void SetUp() override { testing::internal::CaptureStderr(); }
  void TearDown() override { log::set_level(log::Level::kInfo); }
};

TEST_F(Log, WritesOneLineToStderr) {
  log::error("the store is read-only");
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_THAT(written, testing::HasSubstr("error the store is read-only\n"));
  EXPECT_EQ(std::ranges::count(written, '\n'), 1);
}

TEST_F(Log, DropsWhatIsBelowItsLevel) {
  log::set_level(log::Level::kWarning);
  log::debug("first");
  log::info("second");
  log::warn("third");
  log::error("fourth");
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_THAT(written,
              testing::Not(testing::AnyOf(testing::HasSubstr("first"), testing::HasSubstr("second"))));
  EXPECT_THAT(written, testing::AllOf(testing::HasSubstr("third"), testing::HasSubstr("fourth")));
}

TEST_F(Log, TakesALineAsTextNotAsAFormat) {
  log::error("{} {0:x} %s %n");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("{} {0:x} %s %n"));
}

TEST_F(Log, KeepsAnEscapedNameOnItsOwnLine) {
  log::error("user " + escape("eve\n2026-01-01 info keyd is fine"));
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::ranges::count(written, '\n'), 1);
}

}  // namespace
}  // namespace keyd
