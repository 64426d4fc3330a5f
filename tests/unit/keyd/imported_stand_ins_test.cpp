// What is invented for names that nobody has looks like imported users too, in both suites alike.
#include <gtest/gtest.h>

#include <algorithm>

#include "keyd/stand_in_verifiers.h"

namespace keyd::daemon {
namespace {

using exchange::DerivationKind;

class ImportedStandIns : public ::testing::Test {
 protected:
  void SetUp() override {
    auto key = StoreSealer::generate_key();
    ASSERT_TRUE(key);
    sealer_ = std::make_unique<StoreSealer>(std::move(*key));
    stand_ins_ = std::make_unique<StandInVerifiers>(*sealer_);
    ASSERT_TRUE(stand_ins_->prepare(2048));
  }
  exchange::SrpVerifier seen(const StoredUser* user, const std::string& name, wire::Suite suite,
                             bool obstacle = true) {
    auto verifier = stand_ins_->verifier_of(user, name, suite, obstacle);
    EXPECT_TRUE(verifier) << verifier.error().detail;
    return std::move(*verifier);
  }
  exchange::SrpVerifier verifier(unsigned bits, exchange::XDerivation derivation, std::size_t salt) {
    auto group = *exchange::SrpGroup::listed(bits);
    auto v = exchange::verifier_of(group, Bytes(32, 7));
    return {std::move(group), Bytes(salt, 0x5a), derivation, std::move(v)};
  }
  StoredUser user_with(const exchange::SrpVerifier& verifier, bool historic) {
    StoredUser user;
    user.id = "0123456789abcdef";
    user.name = "alice";
    user.sealed_verifier = *seal_verifier(*sealer_, user.id, wire::SUITE_MODERN, verifier);
    if (historic)
      user.sealed_historic_verifier = *seal_verifier(*sealer_, user.id, wire::SUITE_HISTORIC, verifier);
    return user;
  }
  std::unique_ptr<StoreSealer> sealer_;
  std::unique_ptr<StandInVerifiers> stand_ins_;
};

TEST_F(ImportedStandIns, WithoutImportsAllLookLikeNewOnesWithASaltForEachSuite) {
  for (int i = 0; i < 20; ++i) {
    const std::string name = "name" + std::to_string(i);
    const auto modern = seen(nullptr, name, wire::SUITE_MODERN),
               historic = seen(nullptr, name, wire::SUITE_HISTORIC);
    EXPECT_EQ(modern.group.bits(), 2048u);
    EXPECT_EQ(modern.derivation, exchange::kDefaultDerivation);
    EXPECT_EQ(historic.group.bits(), 2048u);
    EXPECT_EQ(historic.derivation.kind, DerivationKind::kSha1);
    EXPECT_NE(to_hex(modern.salt), to_hex(historic.salt));
    EXPECT_EQ(to_hex(modern.salt), to_hex(seen(nullptr, name, wire::SUITE_MODERN).salt));
  }
}

// With as many imported users as others, about half of the names look like them: one group, one salt, in both suites.
TEST_F(ImportedStandIns, NamesThatLookImportedDoSoInBothSuites) {
  UserStore::Shapes shapes;
  shapes.verifier = {{verifier_shape_of(verifier(1024, {}, 20)), 5},
                     {verifier_shape_of(verifier(2048, exchange::kDefaultDerivation, 16)), 5}};
  shapes.historic_verifier = {{verifier_shape_of(verifier(1024, {}, 20)), 5}};
  stand_ins_->set_shapes(shapes);
  int imported = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "name" + std::to_string(i);
    const auto modern = seen(nullptr, name, wire::SUITE_MODERN),
               historic = seen(nullptr, name, wire::SUITE_HISTORIC);
    const bool looks_imported = modern.derivation.kind == DerivationKind::kSha1;
    imported += looks_imported;
    EXPECT_EQ(modern.group.bits(), looks_imported ? 1024u : 2048u);
    EXPECT_EQ(modern.salt.size(), looks_imported ? 20u : 16u);
    EXPECT_EQ(historic.group.bits(), modern.group.bits());
    EXPECT_EQ(historic.salt.size(), modern.salt.size());
    EXPECT_EQ(to_hex(historic.salt) == to_hex(modern.salt), looks_imported);
  }
  EXPECT_GT(imported, 60);
  EXPECT_LT(imported, 140);
}

TEST_F(ImportedStandIns, AnImportedUserLooksTheSameInBothSuitesAlsoWhereOneIsNotAllowed) {
  const auto made = verifier(1024, {}, 20);
  for (const bool historic : {false, true}) {
    const StoredUser user = user_with(made, historic);
    for (const wire::Suite suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
      for (const bool obstacle : {false, true}) {
        const auto given = seen(&user, "alice", suite, obstacle);
        EXPECT_EQ(given.group.bits(), 1024u);
        EXPECT_EQ(given.derivation.kind, DerivationKind::kSha1);
        EXPECT_EQ(to_hex(given.salt), to_hex(made.salt));
        const bool may = !obstacle && (historic || suite == wire::SUITE_MODERN);
        EXPECT_EQ(std::ranges::equal(given.v.reveal(), made.v.reveal()), may) << "historic " << historic;
      }
    }
  }
}

// Also when most users are imported: what the modern suite shows is not theirs.
TEST_F(ImportedStandIns, AUserOfKeydsOwnDoesNotLookImportedInTheHistoricSuite) {
  UserStore::Shapes shapes;
  shapes.verifier = shapes.historic_verifier = {{verifier_shape_of(verifier(1024, {}, 20)), 1000}};
  stand_ins_->set_shapes(shapes);
  const StoredUser user = user_with(verifier(2048, exchange::kDefaultDerivation, 16), false);
  const auto given = seen(&user, "alice", wire::SUITE_HISTORIC);
  EXPECT_EQ(given.group.bits(), 2048u);
  EXPECT_EQ(given.salt.size(), 16u);
  EXPECT_NE(to_hex(given.salt), to_hex(Bytes(16, 0x5a)));
  EXPECT_EQ(to_hex(given.salt), to_hex(seen(&user, "alice", wire::SUITE_HISTORIC, false).salt));
}

}  // namespace
}  // namespace keyd::daemon
