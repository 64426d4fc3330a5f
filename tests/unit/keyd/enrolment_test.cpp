#include "keyd/enrolment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "core/crypto/random.h"
#include "keyd/sqlite_user_store.h"

namespace keyd::daemon {
namespace {

constexpr SchemeSet kChallenge = scheme_bit(table::Scheme::kChallenge),
                    kKryptoknight = scheme_bit(table::Scheme::kKryptoknight),
                    kSrp = scheme_bit(table::Scheme::kSrp);
const Derivations kFast{.resalting = {.method = "sha512crypt", .cost = 1000}};

class Enrolment : public ::testing::Test {
 protected:
  static StoreSealer::Key key() { return StoreSealer::generate_key().value(); }
  // The user that these secrets make.
  static StoredUser user_with(const UserSecrets& secrets) {
    StoredUser user;
    user.id = "0123456789abcdef";
    user.sealed_password = secrets.sealed_password;
    user.sealed_crypt = secrets.sealed_crypt;
    user.sealed_md5 = secrets.sealed_md5;
    user.crypt_shape = secrets.crypt_shape;
    return user;
  }
  Result<UserSecrets> secrets_for(SchemeSet schemes, bool historic, const std::string& password = "right") {
    return make_secrets(sealer_, {"0123456789abcdef", "alice", schemes, historic}, bytes_of(password), kFast);
  }
  StoreSealer sealer_{key()};
};

TEST_F(Enrolment, GivesTheSecretsOfExactlyTheSchemesAskedFor) {
  for (const SchemeSet schemes :
       {kChallenge, kKryptoknight, kChallenge | kKryptoknight, kSrp, kChallenge | kSrp}) {
    for (const bool historic : {false, true}) {
      const auto secrets = secrets_for(schemes, historic);
      ASSERT_TRUE(secrets);
      EXPECT_EQ(!secrets->sealed_password.empty(), (schemes & kChallenge) != 0);
      EXPECT_EQ(!secrets->sealed_crypt.empty(), (schemes & kKryptoknight) != 0);
      EXPECT_EQ(!secrets->crypt_shape.empty(), (schemes & kKryptoknight) != 0);
      EXPECT_EQ(!secrets->sealed_md5.empty(), (schemes & kKryptoknight) != 0 && historic);
      EXPECT_EQ(!secrets->sealed_verifier.empty(), (schemes & kSrp) != 0);
      EXPECT_EQ(!secrets->verifier_shape.empty(), (schemes & kSrp) != 0);
      EXPECT_EQ(!secrets->sealed_historic_verifier.empty(), (schemes & kSrp) != 0 && historic);
      EXPECT_EQ(!secrets->historic_verifier_shape.empty(), (schemes & kSrp) != 0 && historic);
      EXPECT_EQ(schemes_of(*secrets, 0), schemes);
      EXPECT_EQ(schemes_of(*secrets, ~SchemeSet{0}), ~(kChallenge | kKryptoknight | kSrp) | schemes)
          << "others stay";
    }
  }
}

TEST_F(Enrolment, TheHashesAreOfThePasswordAndEachHasASaltOfItsOwn) {
  const auto first = secrets_for(kKryptoknight, true), second = secrets_for(kKryptoknight, true);
  ASSERT_TRUE(first && second);
  for (const auto suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    const auto one = unseal_hash(sealer_, user_with(*first), suite),
               other = unseal_hash(sealer_, user_with(*second), suite);
    ASSERT_TRUE(one && other);
    EXPECT_TRUE(exchange::is_password_of(*one, bytes_of("right")).value());
    EXPECT_FALSE(exchange::is_password_of(*one, bytes_of("wrong")).value());
    EXPECT_FALSE(std::ranges::equal(one->hash.reveal(), other->hash.reveal()));
  }
  EXPECT_EQ(
      first->crypt_shape,
      "$6$rounds=1000$ " +
          std::to_string(unseal_hash(sealer_, user_with(*first), wire::SUITE_MODERN)->setting.salt.size()) +
          " $");
}

TEST_F(Enrolment, APasswordForKryptoknightIsOneThatCryptCanTake) {
  for (const std::string& password :
       {std::string(512, 'p'), std::string("zero\0inside", 11), std::string(1, '\0')}) {
    EXPECT_EQ(check_password(bytes_of(password), kKryptoknight).error().code, Code::kInvalid);
    EXPECT_EQ(secrets_for(kChallenge | kKryptoknight, false, password).error().code, Code::kInvalid);
    EXPECT_TRUE(secrets_for(kChallenge, false, password));
  }
  EXPECT_TRUE(secrets_for(kKryptoknight, false, std::string(511, 'p')));
  for (const SchemeSet schemes : {kChallenge, kKryptoknight}) {
    EXPECT_FALSE(check_password({}, schemes));
    EXPECT_FALSE(check_password(bytes_of(std::string(1025, 'p')), schemes));
  }
}

TEST_F(Enrolment, AMethodThatCannotBeUsedIsAnError) {
  EXPECT_FALSE(make_secrets(sealer_, {"0123456789abcdef", "alice", kKryptoknight, false}, bytes_of("right"),
                            {.resalting = {.method = "md5crypt"}}));
}

TEST_F(Enrolment, ImportedHashesAreKeptAsTheyAre) {
  const std::string id = "0123456789abcdef";
  for (const std::string text : {"$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
                                 "$y$j9T$cvj7xTZ.v1OI4Sc.TVS1J/$"
                                 "KLBybzMGXFXlGCM1.ZbyjxVRk72nD4LV9P41iKV.ZcC"}) {
    const auto secrets = adopt_crypt_string(sealer_, id, secret::SecretBuffer::copy_of(bytes_of(text)));
    ASSERT_TRUE(secrets) << text;
    EXPECT_EQ(text_of(unseal_hash(sealer_, user_with(*secrets), wire::SUITE_MODERN)->hash.reveal()), text);
    EXPECT_EQ(schemes_of(*secrets, 0), kKryptoknight);
  }
  for (const std::string& text :
       {std::string("$1$saltsalt$short"), std::string("plain"), std::string("!"),
        "$6$rounds=999999999$saltsalt$" + std::string(86, 'h'), std::string(2000, '$')}) {
    const auto secrets = adopt_crypt_string(sealer_, id, secret::SecretBuffer::copy_of(bytes_of(text)));
    ASSERT_FALSE(secrets) << text;
    EXPECT_EQ(secrets.error().code, Code::kInvalid);
  }
}

// A change of password, while somebody else gives the hash of the same password new salts all the time.
TEST(ChangeOfPassword, WinsOverANewSaltThatIsNeverPutOverIt) {
  const std::string directory = ::testing::TempDir() + "keyd-race-" + std::to_string(::getpid());
  std::filesystem::remove_all(directory);
  auto first = SqliteUserStore::open(directory), second = SqliteUserStore::open(directory);
  ASSERT_TRUE(first && second);
  const StoreSealer& sealer = *first->sealer;
  const Enrolled alice{"0123456789abcdef", "alice", kChallenge | kKryptoknight, false};
  const auto secrets_of = [&](const std::string& password) {
    return make_secrets(sealer, alice, bytes_of(password), kFast).value();
  };
  StoredUser user;
  user.id = alice.user_id;
  user.name = "alice";
  user.schemes = alice.schemes;
  const UserSecrets start = secrets_of("first");
  user.sealed_password = start.sealed_password;
  user.sealed_crypt = start.sealed_crypt;
  user.crypt_shape = start.crypt_shape;
  ASSERT_TRUE(first->users->add(user));

  std::atomic<bool> stop = false;
  std::atomic<int> renewed = 0, conflicts = 0;
  std::thread renewing([&] {
    while (!stop) {
      const StoredUser now = second->users->find("alice").value().value();
      const auto password = unseal_password(sealer, now).value();
      const auto hash = exchange::make_password_hash(wire::SUITE_MODERN, password.reveal(), kFast.resalting,
                                                     crypto::fill_random);
      const auto put = second->users->replace_hash(now.id, now.version, wire::SUITE_MODERN,
                                                   seal_hash(sealer, now.id, *hash).value(), now.crypt_shape);
      if (put) ++renewed;
      if (!put && put.error().code == Code::kConflict) ++conflicts;
      // No change gets through beside one who writes without pause.
      if (put) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  for (int round = 0; round < 2000 && (round < 50 || renewed < 20 || conflicts < 5); ++round) {
    const std::string password = "password " + std::to_string(round);
    const UserSecrets secrets = secrets_of(password);
    auto given = give_secrets(*first->users, "alice", alice, secrets);
    for (int tries = 1; tries < 20 && !given && given.error().code == Code::kConflict; ++tries)
      given = give_secrets(*first->users, "alice", alice, secrets);  // as it tells the administrator to
    EXPECT_TRUE(given) << given.error().message();
    const StoredUser now = first->users->find("alice").value().value();
    EXPECT_EQ(text_of(unseal_password(sealer, now)->reveal()), password);
    EXPECT_TRUE(
        exchange::is_password_of(*unseal_hash(sealer, now, wire::SUITE_MODERN), bytes_of(password)).value());
  }
  stop = true;
  renewing.join();
  EXPECT_GE(renewed, 20);
  EXPECT_GE(conflicts, 5) << "they never met";
  std::filesystem::remove_all(directory);
}

TEST(ChangeOfPassword, IsForTheUserThatItWasMadeForAlone) {
  const std::string directory = ::testing::TempDir() + "keyd-change-" + std::to_string(::getpid());
  std::filesystem::remove_all(directory);
  auto store = SqliteUserStore::open(directory);
  ASSERT_TRUE(store);
  StoredUser user;
  user.id = "0123456789abcdef";
  user.name = "alice";
  user.schemes = kChallenge;
  user.sealed_password = seal_password(*store->sealer, user.id, bytes_of("right")).value();
  ASSERT_TRUE(store->users->add(user));
  const Enrolled alice{user.id, user.name, kChallenge, false};
  const UserSecrets secrets = make_secrets(*store->sealer, alice, bytes_of("new"), kFast).value();
  Enrolled other = alice;
  other.user_id = "fedcba9876543210";
  EXPECT_EQ(give_secrets(*store->users, "alice", other, secrets).error().code, Code::kConflict);
  other = alice;
  other.schemes |= kKryptoknight;
  EXPECT_EQ(give_secrets(*store->users, "alice", other, secrets).error().code, Code::kConflict);
  EXPECT_EQ(give_secrets(*store->users, "bob", alice, secrets).error().code, Code::kNotFound);
  EXPECT_EQ(text_of(unseal_password(*store->sealer, store->users->find("alice").value().value())->reveal()),
            "right");
  EXPECT_TRUE(give_secrets(*store->users, "alice", alice, secrets));
  std::filesystem::remove_all(directory);
}

TEST(Schemes, HaveNames) {
  EXPECT_EQ(scheme_names(kChallenge | kKryptoknight),
            (std::vector<std::string>{"challenge", "kryptoknight"}));
  EXPECT_EQ(scheme_named("kryptoknight"), kKryptoknight);
  EXPECT_EQ(scheme_named("kryptoknight "), 0u);
  EXPECT_EQ(scheme_named(""), 0u);
}

}  // namespace
}  // namespace keyd::daemon
