// A store that an earlier keyd has written: brought to today's schema at the start, with all that was in it.
#include <gtest/gtest.h>

#include <set>

#include "tests/faults/store_operations.h"

namespace keyd::testing {
namespace {

using daemon::SqliteUserStore;
using daemon::StoredUser;

class OlderStore : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { make_sample_store(directory()); }
  std::string directory() { return scratch_.path() + "/state"; }
  std::vector<StoredUser> users() {
    auto opened = SqliteUserStore::open(directory());
    EXPECT_TRUE(opened) << opened.error().message();
    return opened ? opened->users->list({}, 10).value() : std::vector<StoredUser>();
  }
  ScratchDirectory scratch_;
};

TEST_P(OlderStore, KeepsItsUsersAndNothingIsDueToThem) {
  const auto before = users();
  ASSERT_EQ(before.size(), 3u);
  make_version(GetParam(), directory());
  const auto after = users();
  ASSERT_EQ(after.size(), before.size());
  std::set<Bytes> salts{Bytes(daemon::kHistorySaltSize, 0)};
  for (std::size_t i = 0; i < before.size(); ++i) {
    SCOPED_TRACE(before[i].name);
    EXPECT_EQ(after[i].name, before[i].name);
    EXPECT_EQ(after[i].id, before[i].id);
    EXPECT_EQ(after[i].state, before[i].state);
    EXPECT_EQ(after[i].created, before[i].created);
    EXPECT_EQ(after[i].password_changed, before[i].password_changed);
    EXPECT_EQ(after[i].credential_count, before[i].credential_count);
    EXPECT_EQ(after[i].sealed_password, before[i].sealed_password);
    EXPECT_EQ(after[i].sealed_crypt, GetParam() < 3 ? Bytes() : before[i].sealed_crypt);
    EXPECT_EQ(after[i].due.serial, 0u);
    EXPECT_EQ(after[i].carried_octets + after[i].carried_records, 0u);
    EXPECT_EQ(after[i].history_salt.size(), daemon::kHistorySaltSize);
    EXPECT_TRUE(salts.insert(after[i].history_salt).second) << "a salt for each user";
  }
  const std::string first = content_of_store(directory());
  EXPECT_EQ(content_of_store(directory()), first) << "it is brought to it once";
  EXPECT_EQ(users()[0].history_salt, after[0].history_salt);
}

TEST_P(OlderStore, TakesEveryOperationThatFitsItsUsers) {
  make_version(GetParam(), directory());
  auto opened = SqliteUserStore::open(directory());
  ASSERT_TRUE(opened) << opened.error().message();
  daemon::UserStore& users = *opened->users;
  EXPECT_EQ(users.ask_change("dora", daemon::ChangeReason::kAge).value().serial, 1u);
  EXPECT_TRUE(users.fail_change(std::string(16, 'd'), 1, 0));
  EXPECT_TRUE(users.carry({{std::string(16, 'd'), 1, 1}}));
  const StoredUser dora = users.find("dora").value().value();
  EXPECT_EQ(dora.carried_octets, 1u);
  daemon::UserSecrets secrets;
  secrets.sealed_password = dora.sealed_password;
  const Bytes history = *daemon::seal_history(*opened->sealer, dora.id, Bytes(daemon::kHistoryHashSize, 'h'));
  EXPECT_TRUE(users.change_password(dora.id, dora.version, secrets, history, 1));
  EXPECT_EQ(users.password_history(dora.id).value().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(OfVersion, OlderStore, ::testing::Values(1, 2, 3, 4),
                         [](const auto& version) { return std::to_string(version.param); });

}  // namespace
}  // namespace keyd::testing
