// What is left of two passwords in the program that has had one of them judged: libpwquality and cracklib have had both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/secrets/known_session.h"
#include "tests/secrets/memory_hunt.h"
#include "tests/secrets/pool_kind.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SecretsInJudgement : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!has_kind(GetParam())) GTEST_SKIP() << "no " << GetParam() << " here";
  }

  // That the program, at rest, has the passwords at most in its pool.
  void expect_nothing_in(pid_t pid) const {
    auto found = hunt_.in_process(pid);
    std::erase_if(found, [](const Finding& f) { return f.locked; });
    EXPECT_THAT(found, IsEmpty()) << text_of(found);
    expect_that_the_heap_is_seen(pid, kKnown);
  }
  // Has `fresh` judged, and looks before and after it is forgotten.
  void judge_and_look(const std::string& old, const std::string& fresh, const std::string& verdict) {
    hunt_.mark("old password", bytes_of(old));
    hunt_.mark("new password", bytes_of(fresh));
    BackgroundProcess client(with_kind(GetParam(), {program("judging_client"), kKnown}));
    client.write(old + "\n" + fresh + "\n");
    ASSERT_THAT(client.read_line(), HasSubstr(verdict));
    expect_kind(client.pid(), GetParam());
    expect_nothing_in(client.pid());
    client.write("\n");
    ASSERT_EQ(client.read_line(), "forgotten");
    const auto found = hunt_.in_process(client.pid());
    EXPECT_THAT(found, IsEmpty()) << text_of(found);
  }

  const std::string kKnown = "/a/directory/that/is/in/the/heap/for/the/hunt/to/see";
  Hunt hunt_;
};

TEST_P(SecretsInJudgement, APasswordThatIsTakenIsNotLeftInMemory) {
  judge_and_look(marked_text(22) + "q7", marked_text(22) + "q7", "good");
}

TEST_P(SecretsInJudgement, OneThatIsRefusedByTheLibrariesIsNotEither) {
  const std::string old = marked_text(22) + "q7";
  judge_and_look(old, old.substr(0, 11) + "#" + old.substr(12), "too similar");
}

TEST_P(SecretsInJudgement, OneThatIsRefusedBeforeIsNotEither) {
  const std::string old = marked_text(22) + "q7";
  judge_and_look(old, marked_text(12) + "wilma" + marked_text(8) + "q7", "user name");
}

INSTANTIATE_TEST_SUITE_P(In, SecretsInJudgement, pool_kinds(), [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace keyd::testing
