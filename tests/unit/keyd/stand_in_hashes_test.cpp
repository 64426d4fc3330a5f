// What is invented for names that nobody has looks like what users have, place by place.
#include "keyd/stand_in_hashes.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "core/crypto/password_hash.h"

namespace keyd::daemon {
namespace {

class StandIns : public ::testing::Test {
 protected:
  void SetUp() override {
    auto key = StoreSealer::generate_key();
    ASSERT_TRUE(key);
    sealer_ = std::make_unique<StoreSealer>(std::move(*key));
    stand_ins_ = std::make_unique<StandInHashes>(*sealer_);
    ASSERT_TRUE(stand_ins_->set_resalting({}));
    ASSERT_TRUE(stand_ins_->prepare());
  }
  crypto::CryptSetting setting_of(const std::string& name) const {
    auto hash = stand_ins_->hash_of(nullptr, name, wire::SUITE_MODERN, true);
    EXPECT_TRUE(hash);
    return hash->setting;
  }
  std::unique_ptr<StoreSealer> sealer_;
  std::unique_ptr<StandInHashes> stand_ins_;
};

// Of every character of the salt: what a thousand real ones have there, and nothing else.
TEST_F(StandIns, HaveTheSaltsThatTheMethodItselfMakes) {
  for (const char* method : {"yescrypt", "gost-yescrypt", "scrypt", "bcrypt", "sha512crypt"}) {
    for (const std::size_t longest : {std::size_t{86}, std::size_t{16}, std::size_t{12}}) {
      SCOPED_TRACE(std::string(method) + " " + std::to_string(longest));
      std::array<std::set<char>, 86> real, invented;
      std::size_t size = 0;
      std::string shape;
      for (int i = 0; i < 1500; ++i) {
        const auto setting = crypto::make_crypt_setting(method, 0, longest);
        ASSERT_TRUE(setting);
        shape = crypt_shape_of(*setting);
        size = setting->salt.size();
        for (std::size_t at = 0; at < size; ++at) real[at].insert(setting->salt[at]);
      }
      stand_ins_->set_shapes({.crypt = {{shape, 1}}, .md5 = {}, .verifier = {}});
      for (int i = 0; i < 1500; ++i) {
        const auto setting = setting_of("name" + std::to_string(i));
        ASSERT_EQ(crypt_shape_of(setting), shape);
        ASSERT_TRUE(crypto::check_crypt_setting(setting, {}));
        for (std::size_t at = 0; at < size; ++at) invented[at].insert(setting.salt[at]);
      }
      for (std::size_t at = 0; at < size; ++at) EXPECT_EQ(invented[at], real[at]) << "place " << at;
    }
  }
}

TEST_F(StandIns, AreTheSameForANameAndOthersForOthers) {
  EXPECT_EQ(setting_of("ghost"), setting_of("ghost"));
  EXPECT_NE(setting_of("ghost"), setting_of("ghost2"));
  // Another run with the same store key: the same setting, another hash.
  StandInHashes later(*sealer_);
  ASSERT_TRUE(later.set_resalting({}));
  ASSERT_TRUE(later.prepare());
  const auto first = stand_ins_->hash_of(nullptr, "ghost", wire::SUITE_MODERN, true),
             second = later.hash_of(nullptr, "ghost", wire::SUITE_MODERN, true);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->setting, second->setting);
  EXPECT_NE(text_of(first->hash.reveal()), text_of(second->hash.reveal()));
}

// As many names in as many have each shape; and a name goes over to the usual one when fewer have the rare one, never
// the other way.
TEST_F(StandIns, FollowTheUsersToTheUsualShape) {
  const auto usual = crypt_shape_of(*crypto::make_crypt_setting("yescrypt", 0, 86));
  const std::string rare = "$1$ 8 $";
  std::set<std::string> before;
  for (const std::uint64_t old : {8u, 4u, 1u, 0u}) {
    stand_ins_->set_shapes({.crypt = {{usual, 10 - old}, {rare, old}}, .md5 = {}, .verifier = {}});
    std::set<std::string> now;
    for (int i = 0; i < 2000; ++i) {
      const std::string name = "name" + std::to_string(i);
      if (setting_of(name).head == "$1$") now.insert(name);
    }
    EXPECT_NEAR(static_cast<double>(now.size()), 200.0 * static_cast<double>(old), 120);
    EXPECT_TRUE(old == 8 || std::ranges::includes(before, now));
    before = now;
  }
}

// Who may not log in keeps the setting that he has; the hash is another.
TEST_F(StandIns, KeepTheSettingOfWhoMayNotLogIn) {
  auto hash =
      exchange::make_password_hash(wire::SUITE_MODERN, bytes_of("right"), {.method = "yescrypt", .cost = 1},
                                   [](MutableByteView) { return true; });
  ASSERT_TRUE(hash);
  StoredUser user;
  user.id = std::string(16, 'i');
  user.sealed_crypt = *seal_hash(*sealer_, user.id, *hash);
  const auto real = stand_ins_->hash_of(&user, "alice", wire::SUITE_MODERN, false),
             other = stand_ins_->hash_of(&user, "alice", wire::SUITE_MODERN, true);
  ASSERT_TRUE(real && other);
  EXPECT_EQ(real->setting, hash->setting);
  EXPECT_EQ(other->setting, hash->setting);
  EXPECT_EQ(text_of(real->hash.reveal()), text_of(hash->hash.reveal()));
  EXPECT_NE(text_of(other->hash.reveal()), text_of(hash->hash.reveal()));
  EXPECT_EQ(other->hash.size(), hash->hash.size());
}

// Of the historic suite too: after a change of how salts travel, users keep their sizes until they log in.
TEST_F(StandIns, HaveTheSaltSizesOfHistoricHashes) {
  stand_ins_->set_shapes({.crypt = {}, .md5 = {{"8", 3}, {"16", 1}}, .verifier = {}});
  std::map<std::size_t, int> sizes;
  for (int i = 0; i < 1000; ++i) {
    auto hash = stand_ins_->hash_of(nullptr, "name" + std::to_string(i), wire::SUITE_HISTORIC, true);
    ASSERT_TRUE(hash);
    ++sizes[hash->salt.size()];
  }
  EXPECT_NEAR(sizes[8], 750, 80);
  EXPECT_NEAR(sizes[16], 250, 80);
}

}  // namespace
}  // namespace keyd::daemon
