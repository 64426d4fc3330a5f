// Changes of passwords in the store: what is due, what its failures lead to, what a change replaces, and what it leaves of
// the passwords before. (What happens when something breaks meanwhile: tests/faults.)
#include <gmock/gmock.h>
#include <sqlite3.h>

#include <filesystem>
#include <limits>

#include "tests/unit/support/open_store.h"

namespace keyd::daemon {
namespace {

using ::testing::IsEmpty;

constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();

exchange::SrpVerifier verifier(std::uint8_t v) {
  return {*exchange::SrpGroup::listed(2048), Bytes(16, v), {}, secret::SecretBuffer::copy_of(Bytes(200, v))};
}

class PasswordChanges : public WithOpenStore {
 protected:
  UserSecrets verifiers(const std::string& id, std::uint8_t v) {
    UserSecrets secrets;
    secrets.sealed_verifier = *seal_verifier(sealer(), id, wire::SUITE_MODERN, verifier(v));
    secrets.verifier_shape = verifier_shape_of(verifier(v));
    return secrets;
  }
  Bytes remembered(const std::string& id, char octet) {
    return *seal_history(sealer(), id, bytes_of(std::string(kHistoryHashSize, octet)));
  }
  // Of `srp` and `challenge`, with a password set at `changed`.
  StoredUser user(const std::string& name, std::uint64_t changed = 1000) {
    StoredUser made;
    made.id = std::string(16, name[0]);
    made.name = name;
    made.schemes = scheme_bit(table::Scheme::kSrp) | scheme_bit(table::Scheme::kChallenge);
    made.allow_historic = true;
    made.password_changed = changed;
    made.sealed_password = *seal_password(sealer(), made.id, bytes_of("old"));
    const UserSecrets secrets = verifiers(made.id, 3);
    made.sealed_verifier = secrets.sealed_verifier;
    made.verifier_shape = secrets.verifier_shape;
    made.sealed_historic_verifier = *seal_verifier(sealer(), made.id, wire::SUITE_HISTORIC, verifier(3));
    return made;
  }
  StoredUser add(const std::string& name, std::uint64_t changed = 1000) {
    const auto added = users().add(user(name, changed));
    EXPECT_TRUE(added) << added.error().message();
    return found(name);
  }
  Result<void> change(const StoredUser& of, char remember, std::uint32_t keep) {
    return users().change_password(of.id, of.version, verifiers(of.id, 7), remembered(of.id, remember), keep);
  }
  // The first octet of each hash in the history, the newest first.
  std::string history(const std::string& id) {
    std::string out;
    const auto all = users().password_history(id);
    for (const Bytes& sealed : all.value())
      out += static_cast<char>(unseal_history(sealer(), id, sealed)->reveal()[0]);
    return out;
  }
  // Somebody else at the file, who minds no rule.
  void write_by_force(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((directory_ + "/keyd.db").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(
        sqlite3_exec(db, ("PRAGMA ignore_check_constraints = ON; " + sql).c_str(), nullptr, nullptr, nullptr),
        SQLITE_OK)
        << sqlite3_errmsg(db);
    EXPECT_EQ(sqlite3_close(db), SQLITE_OK);
  }
};

// ---- what is due

TEST_F(PasswordChanges, OneThatIsDueStaysAsItIsUntilThePasswordIsChanged) {
  const StoredUser before = add("alice");
  EXPECT_EQ(before.due.serial, 0u);
  EXPECT_EQ(before.due.reason, ChangeReason::kNone);
  const auto due = users().ask_change("alice", ChangeReason::kAge);
  ASSERT_TRUE(due);
  EXPECT_EQ(due->serial, 1u);
  EXPECT_EQ(due->reason, ChangeReason::kAge);
  EXPECT_GE(due->since, before.created);
  EXPECT_EQ(due->failures, 0u);
  ASSERT_TRUE(users().fail_change(before.id, 1, 0));
  const auto again = users().ask_change("alice", ChangeReason::kAdministrator);
  ASSERT_TRUE(again);
  for (const DueChange& each : {*again, found("alice").due, users().list({}, 10).value()[0].due}) {
    EXPECT_EQ(each.serial, 1u);
    EXPECT_EQ(each.reason, ChangeReason::kAge);
    EXPECT_EQ(each.since, due->since);
    EXPECT_EQ(each.failures, 1u);
  }
  EXPECT_EQ(found("alice").version, before.version) << "a login under way is not disturbed";
}

TEST_F(PasswordChanges, AreDueToUsersThatThereAreAndForAReason) {
  EXPECT_EQ(users().ask_change("nobody", ChangeReason::kAge).error().code, Code::kNotFound);
  add("alice");
  EXPECT_EQ(users().ask_change("alice", ChangeReason::kNone).error().code, Code::kInvalid);
  EXPECT_EQ(found("alice").due.serial, 0u);
  const char* const names[] = {"", "administrator", "age", "octets", "messages"};
  for (int i = 0; i < 5; ++i) EXPECT_STREQ(name_of(static_cast<ChangeReason>(i)), names[i]);
}

TEST_F(PasswordChanges, EachThatBecomesDueHasAGreaterSerialThanAllBefore) {
  add("alice");
  std::uint64_t last = 0;
  for (int round = 0; round < 4; ++round) {
    const auto due = users().ask_change("alice", ChangeReason::kOctets);
    ASSERT_TRUE(due);
    EXPECT_GT(due->serial, last);
    last = due->serial;
    const StoredUser now = found("alice");
    if (round % 2 == 0) {
      ASSERT_TRUE(change(now, 'x', 0));
    } else {
      ASSERT_TRUE(users().set_secrets(now.id, now.version, verifiers(now.id, 9)));
    }
    EXPECT_EQ(found("alice").due.serial, 0u);
    EXPECT_EQ(users().fail_change(now.id, last, 1).error().code, Code::kConflict) << "an answer came first";
  }
}

// ---- failures

TEST_F(PasswordChanges, TheLastFailureThatIsAllowedDisablesTheUser) {
  const StoredUser alice = add("alice");
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  for (std::uint32_t count = 1; count <= 3; ++count) {
    const auto failed = users().fail_change(alice.id, 1, 3);
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->failures, count);
    EXPECT_EQ(failed->disabled, count == 3);
    EXPECT_EQ(found("alice").due.failures, count);
    EXPECT_EQ(found("alice").state, count == 3 ? UserState::kDisabled : UserState::kActive);
    EXPECT_EQ(found("alice").version, alice.version + (count == 3 ? 1 : 0));
  }
  const auto more = users().fail_change(alice.id, 1, 3);
  ASSERT_TRUE(more);
  EXPECT_EQ(more->failures, 4u);
  EXPECT_FALSE(more->disabled) << "that was another one's doing";
  EXPECT_EQ(found("alice").version, alice.version + 1);
}

TEST_F(PasswordChanges, FailuresWithoutALimitDisableNobody) {
  const StoredUser alice = add("alice");
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(users().fail_change(alice.id, 1, 0).value().disabled);
  EXPECT_EQ(found("alice").state, UserState::kActive);
  // The limit is set later: too many there have been already.
  EXPECT_TRUE(users().fail_change(alice.id, 1, 5).value().disabled);
}

TEST_F(PasswordChanges, FailuresOfALockedUserLeaveTheLock) {
  const StoredUser alice = add("alice");
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  ASSERT_TRUE(users().set_state("alice", UserState::kLocked));
  EXPECT_FALSE(users().fail_change(alice.id, 1, 1).value().disabled);
  EXPECT_EQ(found("alice").state, UserState::kLocked);
}

TEST_F(PasswordChanges, FailuresOfOneThatIsNotDueCountNothing) {
  const StoredUser alice = add("alice");
  EXPECT_EQ(users().fail_change(alice.id, 0, 1).error().code, Code::kConflict);
  EXPECT_EQ(users().fail_change(alice.id, 1, 1).error().code, Code::kConflict);
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  for (const std::uint64_t serial : {std::uint64_t{0}, std::uint64_t{2}, ~std::uint64_t{0}})
    EXPECT_EQ(users().fail_change(alice.id, serial, 1).error().code, Code::kConflict) << serial;
  EXPECT_EQ(users().fail_change(std::string(16, 'z'), 1, 1).error().code, Code::kNotFound);
  EXPECT_EQ(found("alice").due.failures, 0u);
  EXPECT_EQ(found("alice").state, UserState::kActive);
}

TEST_F(PasswordChanges, WhoIsMadeActiveBeginsAnewAndHasStillToChange) {
  const StoredUser alice = add("alice");
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kMessages));
  ASSERT_TRUE(users().fail_change(alice.id, 1, 1).value().disabled);
  ASSERT_TRUE(users().set_state("alice", UserState::kDisabled));
  EXPECT_EQ(found("alice").due.failures, 1u) << "disabled by hand: nothing is forgiven";
  ASSERT_TRUE(users().set_state("alice", UserState::kActive));
  EXPECT_EQ(found("alice").due.failures, 0u);
  EXPECT_EQ(found("alice").due.serial, 1u);
  EXPECT_EQ(found("alice").due.reason, ChangeReason::kMessages);

  ASSERT_TRUE(users().set_state("alice", UserState::kLocked));
  ASSERT_TRUE(users().fail_change(alice.id, 1, 0));
  ASSERT_TRUE(users().unlock("alice"));
  EXPECT_EQ(found("alice").due.failures, 0u);
  EXPECT_EQ(found("alice").due.serial, 1u);
}

// ---- the change

TEST_F(PasswordChanges, ReplaceAllThatKnewTheOldPassword) {
  const StoredUser before = add("alice");
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  ASSERT_TRUE(users().carry({{before.id, 5000, 20}}));
  ASSERT_TRUE(change(before, 'n', 5));
  const StoredUser after = found("alice");
  EXPECT_EQ(after.schemes, scheme_bit(table::Scheme::kSrp))
      << "another scheme's secret is of the old password";
  EXPECT_TRUE(after.sealed_password.empty());
  EXPECT_TRUE(after.sealed_historic_verifier.empty());
  const auto now = unseal_verifier(sealer(), after, wire::SUITE_MODERN);
  ASSERT_TRUE(now);
  EXPECT_EQ(now->v.reveal()[0], 7);
  EXPECT_EQ(now->salt, Bytes(16, 7));
  EXPECT_EQ(after.version, before.version + 1);
  EXPECT_GE(after.password_changed, before.created);
  EXPECT_EQ(after.due.serial, 0u);
  EXPECT_EQ(after.due.reason, ChangeReason::kNone);
  EXPECT_EQ(after.due.failures, 0u);
  EXPECT_EQ(after.carried_octets, 0u);
  EXPECT_EQ(after.carried_records, 0u);
  EXPECT_EQ(after.history_salt, before.history_salt) << "or nothing of the history would be known again";
  EXPECT_EQ(after.state, UserState::kActive);
  EXPECT_TRUE(after.allow_historic);
  EXPECT_EQ(history(before.id), "n");
}

TEST_F(PasswordChanges, HoldForTheVersionThatTheyWereThoughtOf) {
  const StoredUser before = add("alice");
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  ASSERT_TRUE(change(before, 'f', 5));
  EXPECT_EQ(change(before, 's', 5).error().code, Code::kConflict) << "the first has won";
  ASSERT_TRUE(users().set_state("alice", UserState::kDisabled));
  StoredUser late = found("alice");
  late.version -= 1;
  EXPECT_EQ(change(late, 's', 5).error().code, Code::kConflict) << "disabled in between";
  late.id = std::string(16, 'z');
  EXPECT_EQ(change(late, 's', 5).error().code, Code::kNotFound);
  EXPECT_EQ(history(before.id), "f");
  EXPECT_EQ(found("alice").version, before.version + 2);
}

TEST_F(PasswordChanges, GiveASecretAndSomethingToKnowItByAgain) {
  const StoredUser before = add("alice");
  EXPECT_EQ(
      users().change_password(before.id, before.version, {}, remembered(before.id, 'n'), 5).error().code,
      Code::kInvalid);
  EXPECT_EQ(users().change_password(before.id, before.version, verifiers(before.id, 7), {}, 5).error().code,
            Code::kInvalid);
  EXPECT_EQ(found("alice").version, before.version);
  EXPECT_EQ(found("alice").sealed_verifier, before.sealed_verifier);
  EXPECT_TRUE(users().change_password(before.id, before.version, verifiers(before.id, 7), {}, 0));
}

TEST_F(PasswordChanges, OfAnAdministratorEndWhatIsDueAndLeaveTheHistory) {
  const StoredUser alice = add("alice");
  ASSERT_TRUE(change(alice, 'h', 5));
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  ASSERT_TRUE(users().fail_change(alice.id, 1, 0));
  ASSERT_TRUE(users().carry({{alice.id, 5000, 20}}));
  ASSERT_TRUE(users().set_secrets(alice.id, found("alice").version, verifiers(alice.id, 9)));
  const StoredUser after = found("alice");
  EXPECT_EQ(after.due.serial, 0u);
  EXPECT_EQ(after.due.failures, 0u);
  EXPECT_EQ(after.carried_octets, 0u);
  EXPECT_EQ(after.carried_records, 0u);
  EXPECT_EQ(history(alice.id), "h");
  // The count of the change before is not the next one's.
  ASSERT_TRUE(users().ask_change("alice", ChangeReason::kAge));
  EXPECT_EQ(found("alice").due.failures, 0u);
}

// ---- the history

TEST_F(PasswordChanges, TheHistoryHasTheNewestOfThem) {
  const std::string id = add("alice").id;
  EXPECT_EQ(history(id), "");
  for (const char octet : {'a', 'b', 'c', 'd'}) ASSERT_TRUE(change(found("alice"), octet, 3));
  EXPECT_EQ(history(id), "dcb");
  ASSERT_TRUE(change(found("alice"), 'e', 5));
  EXPECT_EQ(history(id), "edcb");
  ASSERT_TRUE(change(found("alice"), 'f', 2));
  EXPECT_EQ(history(id), "fe") << "fewer are kept from now on";
  ASSERT_TRUE(change(found("alice"), 'g', 0));
  EXPECT_EQ(history(id), "");
}

TEST_F(PasswordChanges, TheHistoryIsItsUsersAlone) {
  const StoredUser alice = add("alice"), bob = add("bob");
  ASSERT_TRUE(change(alice, 'a', 1));
  ASSERT_TRUE(change(bob, 'b', 1));
  EXPECT_EQ(history(alice.id), "a");
  EXPECT_EQ(history(bob.id), "b");
  ASSERT_TRUE(users().remove("alice"));
  EXPECT_EQ(history(alice.id), "");
  EXPECT_EQ(history(bob.id), "b");
  add("alice");
  EXPECT_EQ(history(alice.id), "") << "also for one by the same name";
  EXPECT_THAT(users().password_history(std::string(16, 'z')).value(), IsEmpty());
}

TEST_F(PasswordChanges, TheHistoryIsSealedForItsUser) {
  const std::string id(16, 'a'), other(16, 'b');
  const Bytes sealed = remembered(id, 'h');
  EXPECT_EQ(text_of(unseal_history(sealer(), id, sealed)->reveal()), std::string(32, 'h'));
  EXPECT_EQ(unseal_history(sealer(), other, sealed).error().code, Code::kBroken);
  EXPECT_EQ(unseal_history(sealer(), id, {}).error().code, Code::kBroken);
  for (const std::size_t size : {0, 31, 33}) {
    const std::string hash(size, 'h');
    EXPECT_EQ(seal_history(sealer(), id, bytes_of(hash)).error().code, Code::kInvalid) << size;
    const Bytes by_hand = *sealer().seal({"user", id, "password-history"}, bytes_of(hash));
    EXPECT_EQ(unseal_history(sealer(), id, by_hand).error().code, Code::kBroken) << size;
  }
  EXPECT_FALSE(unseal_history(sealer(), id, *seal_password(sealer(), id, bytes_of(std::string(32, 'h')))));
}

TEST_F(PasswordChanges, EachUserHasASaltOfTheHistory) {
  const StoredUser alice = add("alice"), bob = add("bob");
  EXPECT_EQ(alice.history_salt.size(), kHistorySaltSize);
  EXPECT_NE(alice.history_salt, bob.history_salt);
  EXPECT_NE(alice.history_salt, Bytes(kHistorySaltSize, 0));
  StoredUser given = user("carol");
  given.history_salt = Bytes(kHistorySaltSize, 's');
  ASSERT_TRUE(users().add(given));
  EXPECT_EQ(found("carol").history_salt, given.history_salt);
  StoredUser wrong = user("dora");
  wrong.history_salt = Bytes(15, 's');
  EXPECT_EQ(users().add(wrong).error().code, Code::kInvalid);
  EXPECT_FALSE(users().find("dora").value());
}

// ---- what a password has carried, and how old it is

TEST_F(PasswordChanges, WhatSessionsCarryAddsUp) {
  const StoredUser alice = add("alice"), bob = add("bob");
  ASSERT_TRUE(users().carry({{alice.id, 1000, 3}, {bob.id, 7, 1}, {alice.id, 24, 1}}));
  ASSERT_TRUE(users().carry({{std::string(16, 'z'), 5, 5}, {bob.id, 1, 1}}));
  ASSERT_TRUE(users().carry({}));
  EXPECT_EQ(found("alice").carried_octets, 1024u);
  EXPECT_EQ(found("alice").carried_records, 4u);
  EXPECT_EQ(found("bob").carried_octets, 8u);
  EXPECT_EQ(found("bob").carried_records, 2u);
  EXPECT_EQ(found("alice").version, alice.version);
}

// What was found while another password was set is not that one's.
TEST_F(PasswordChanges, WhatWasFoundOfThePasswordBeforeIsNotTheNextOnes) {
  const StoredUser alice = add("alice", 1000);
  EXPECT_EQ(users().ask_change("alice", ChangeReason::kAge, 999).error().code, Code::kConflict);
  EXPECT_EQ(found("alice").due.serial, 0u);
  ASSERT_TRUE(users().carry({{alice.id, 5000, 20, 999}}));
  EXPECT_EQ(found("alice").carried_octets, 0u);
  ASSERT_TRUE(users().carry({{alice.id, 5000, 20, 1000}}));
  EXPECT_EQ(found("alice").carried_octets, 5000u);
  EXPECT_EQ(users().ask_change("alice", ChangeReason::kAge, 1000).value().serial, 1u);
}

TEST_F(PasswordChanges, WhatSessionsCarryStaysAtTheLargestNumber) {
  const StoredUser alice = add("alice");
  ASSERT_TRUE(users().carry({{alice.id, kLargest - 1, ~std::uint64_t{0}}}));
  EXPECT_EQ(found("alice").carried_octets, kLargest - 1);
  EXPECT_EQ(found("alice").carried_records, kLargest);
  ASSERT_TRUE(users().carry({{alice.id, 1, 1}}));
  EXPECT_EQ(found("alice").carried_octets, kLargest);
  ASSERT_TRUE(users().carry({{alice.id, kLargest, ~std::uint64_t{0}}}));
  EXPECT_EQ(found("alice").carried_octets, kLargest);
  EXPECT_EQ(found("alice").carried_records, kLargest);
}

// ---- rows that keyd has not written

TEST_F(PasswordChanges, ValuesThatNobodyStoredMeanNoLess) {
  const StoredUser alice = add("alice");
  write_by_force(
      "UPDATE users SET change_reason = 99, change_serial = -3, change_since = -1, change_failures = -1,"
      " carried_octets = -1, carried_records = 9223372036854775807");
  const StoredUser damaged = found("alice");
  EXPECT_NE(damaged.due.serial, 0u) << "a change is due, of whatever reason";
  EXPECT_EQ(damaged.due.reason, ChangeReason::kAdministrator);
  EXPECT_EQ(damaged.due.failures, std::numeric_limits<std::uint32_t>::max());
  EXPECT_EQ(damaged.carried_octets, kLargest);
  EXPECT_EQ(damaged.carried_records, kLargest);
  ASSERT_TRUE(users().carry({{alice.id, 1, 1}}));
  EXPECT_EQ(found("alice").carried_octets, kLargest);
  EXPECT_EQ(users().ask_change("alice", ChangeReason::kAge).value().serial, damaged.due.serial);
  const auto failed = users().fail_change(alice.id, damaged.due.serial, 3);
  ASSERT_TRUE(failed);
  EXPECT_TRUE(failed->disabled);
  EXPECT_EQ(failed->failures, std::numeric_limits<std::uint32_t>::max());
  // The user's way out is the same as ever.
  ASSERT_TRUE(change(found("alice"), 'n', 1));
  EXPECT_EQ(found("alice").due.serial, 0u);
  EXPECT_GT(users().ask_change("alice", ChangeReason::kAge).value().serial, 0u);
}

TEST_F(PasswordChanges, ASerialThatCannotGrowMakesNoneDue) {
  add("alice");
  write_by_force("UPDATE users SET change_serial = 9223372036854775807");
  EXPECT_FALSE(users().ask_change("alice", ChangeReason::kAge))
      << "rather than one with the serial of another";
  EXPECT_EQ(found("alice").due.serial, 0u);
}

TEST_F(PasswordChanges, AStoreWithSuchValuesIsNotOpened) {
  add("alice");
  for (const char* wrong :
       {"change_reason = 5", "change_reason = -1", "change_serial = -1", "change_failures = -1",
        "carried_octets = -1", "carried_records = -1", "history_salt = x''"}) {
    SCOPED_TRACE(wrong);
    store_ = {};
    const std::string whole = directory_ + ".whole";
    std::filesystem::remove_all(whole);
    std::filesystem::copy(directory_, whole);
    write_by_force(std::string("UPDATE users SET ") + wrong);
    const auto opened = SqliteUserStore::open(directory_);
    EXPECT_FALSE(opened);
    if (!opened) {
      EXPECT_EQ(opened.error().code, Code::kBroken);
    }
    std::filesystem::remove_all(directory_);
    std::filesystem::rename(whole, directory_);
  }
}

}  // namespace
}  // namespace keyd::daemon
