// A change of password leaves neither of the two, nor a verifier, in any memory: not keyd's, not the client's, nor in
// keyd's files as it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/exchange/srp_verifier.h"
#include "tests/secrets/known_session.h"
#include "tests/secrets/memory_hunt.h"
#include "tests/secrets/pool_kind.h"
#include "tests/support/changing_client.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::IsEmpty;

class SecretsInChange : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: keyd cannot be looked into by others";
    if (!has_kind(GetParam())) GTEST_SKIP() << "no " << GetParam() << " here";
    keyd_.start_under(with_kind(GetParam(), {}));
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", old_, {"--scheme", "srp"});
    hunt_.mark("old password", bytes_of(old_));
    hunt_.mark("new password", bytes_of(new_));
  }
  void expect_nothing_in(pid_t pid) const {
    const auto found = hunt_.in_process(pid);
    EXPECT_THAT(found, IsEmpty()) << text_of(found);
    expect_that_the_heap_is_seen(pid, keyd_.directory());
  }
  PrivateKeyd keyd_;
  const std::string old_ = marked_text(24) + " 1", new_ = marked_text(24) + " 2";
  Hunt hunt_;
};

TEST_P(SecretsInChange, KeydForgetsTheVerifiers) {
  ChangingClient client(keyd_.runtime_dir());
  ASSERT_TRUE(client.log_in("alice", old_));
  const auto before =
      exchange::make_verifier(client.raw.srp->parameters(), bytes_of("alice"), bytes_of(old_));
  ASSERT_TRUE(client.be_asked());
  ASSERT_TRUE(client.nested(wire::NESTED_PURPOSE_OLD_PASSWORD, old_));
  const auto fresh = exchange::make_verifier(client.change->fresh(), bytes_of("alice"), bytes_of(new_));
  ASSERT_TRUE(before && fresh);
  hunt_.mark("old verifier", before->reveal());
  hunt_.mark("new verifier", fresh->reveal());
  Bytes hashes = ChangingClient::history_hashes();
  const std::string marked = marked_text(64);
  std::ranges::copy(bytes_of(marked), hashes.begin());
  hunt_.mark("hashes for the history", hashes);
  const auto answered = client.ask(ChangingClient::answer_request(client.answer(new_)), hashes);
  ASSERT_TRUE(answered && answered->message.has_change_answer());
  expect_nothing_in(keyd_.pid());
  ASSERT_TRUE(client.nested(wire::NESTED_PURPOSE_REAUTHENTICATE, new_));
  expect_nothing_in(keyd_.pid());
  const auto in_files = hunt_.in_directory(keyd_.directory());
  EXPECT_THAT(in_files, IsEmpty()) << text_of(in_files);
}

TEST_P(SecretsInChange, TheClientForgetsThePasswords) {
  ::setenv("KEYD_RUNTIME_DIR", keyd_.runtime_dir().c_str(), 1);
  BackgroundProcess client(with_kind(GetParam(), {program("changing_program"), "alice"}));
  client.write(old_ + "\n" + new_ + "\n");
  ASSERT_EQ(client.read_line(), "changed");
  expect_nothing_in(client.pid());
  ::unsetenv("KEYD_RUNTIME_DIR");
}

INSTANTIATE_TEST_SUITE_P(Pools, SecretsInChange, pool_kinds());

}  // namespace
}  // namespace keyd::testing
