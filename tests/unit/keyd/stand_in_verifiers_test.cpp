// What `srp` invents for names that nobody has looks like what users have, in either suite.
#include "keyd/stand_in_verifiers.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace keyd::daemon {
namespace {

constexpr unsigned kUsual = 3072, kOther = 2048;
const wire::Suite kSuites[] = {wire::SUITE_MODERN, wire::SUITE_HISTORIC};

class StandInVerifiersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sealer_ = std::make_unique<StoreSealer>(StoreSealer::generate_key().value());
    stand_ins_ = std::make_unique<StandInVerifiers>(*sealer_);
    ASSERT_TRUE(stand_ins_->prepare(kUsual));
  }
  static exchange::XDerivation derivation(wire::Suite suite) {
    return suite == wire::SUITE_MODERN ? exchange::kDefaultDerivation : exchange::XDerivation{};
  }
  static exchange::SrpVerifier verifier(exchange::SrpGroup group, wire::Suite suite,
                                        std::size_t salt_size = 16) {
    return {std::move(group), Bytes(salt_size, 's'), derivation(suite),
            secret::SecretBuffer::copy_of(Bytes(20, 'v'))};
  }
  static std::string shape(unsigned bits, wire::Suite suite, std::size_t salt_size = 16) {
    return verifier_shape_of(verifier(*exchange::SrpGroup::listed(bits), suite, salt_size));
  }
  static std::vector<ShapeCount>& of(UserStore::Shapes& shapes, wire::Suite suite) {
    return suite == wire::SUITE_MODERN ? shapes.verifier : shapes.historic_verifier;
  }
  exchange::SrpVerifier invented(const std::string& name, wire::Suite suite) {
    auto made = stand_ins_->verifier_of(nullptr, name, suite, true);
    EXPECT_TRUE(made) << made.error().message();
    return std::move(*made);
  }
  // How many of a thousand names have each shape.
  std::map<std::string, int> shapes_of_names(wire::Suite suite) {
    std::map<std::string, int> counts;
    for (int i = 0; i < 1000; ++i) ++counts[verifier_shape_of(invented("name" + std::to_string(i), suite))];
    return counts;
  }
  StoredUser user(const exchange::SrpVerifier& verifier, wire::Suite suite) {
    StoredUser made;
    made.id = std::string(16, 'u');
    (suite == wire::SUITE_MODERN ? made.sealed_verifier : made.sealed_historic_verifier) =
        seal_verifier(*sealer_, made.id, suite, verifier).value();
    return made;
  }
  std::unique_ptr<StoreSealer> sealer_;
  std::unique_ptr<StandInVerifiers> stand_ins_;
};

TEST_F(StandInVerifiersTest, HaveTheUsualShapeWhileThereAreNoUsers) {
  for (const wire::Suite suite : kSuites) {
    const auto counts = shapes_of_names(suite);
    EXPECT_EQ(counts.size(), 1u);
    EXPECT_EQ(counts.begin()->first, shape(kUsual, suite));
  }
}

TEST_F(StandInVerifiersTest, HaveTheShapesThatUsersHaveInEachSuiteByItself) {
  for (const wire::Suite suite : kSuites) {
    UserStore::Shapes shapes;
    of(shapes, suite) = {
        {shape(kOther, suite), 30}, {shape(kUsual, suite, 20), 10}, {shape(kUsual, suite), 60}};
    stand_ins_->set_shapes(shapes);
    auto counts = shapes_of_names(suite);
    EXPECT_EQ(counts.size(), 3u);
    EXPECT_NEAR(counts[shape(kOther, suite)], 300, 100);
    EXPECT_NEAR(counts[shape(kUsual, suite, 20)], 100, 65);
    EXPECT_EQ(shapes_of_names(suite == wire::SUITE_MODERN ? wire::SUITE_HISTORIC : wire::SUITE_MODERN).size(),
              1u);
  }
}

// Verifiers of the historic suite from before their shapes were kept.
TEST_F(StandInVerifiersTest, CountAVerifierWithoutAShapeAsAUsualOne) {
  UserStore::Shapes shapes;
  shapes.historic_verifier = {{"", 90}, {shape(kOther, wire::SUITE_HISTORIC), 10}};
  stand_ins_->set_shapes(shapes);
  auto counts = shapes_of_names(wire::SUITE_HISTORIC);
  EXPECT_NEAR(counts[shape(kOther, wire::SUITE_HISTORIC)], 100, 65);
  EXPECT_EQ(counts.size(), 2u);
}

TEST_F(StandInVerifiersTest, KeepTheirSaltAndShape) {
  UserStore::Shapes shapes;
  shapes.historic_verifier = {{shape(kOther, wire::SUITE_HISTORIC), 1},
                              {shape(kUsual, wire::SUITE_HISTORIC), 1}};
  StandInVerifiers later(*sealer_);
  ASSERT_TRUE(later.prepare(kUsual));
  stand_ins_->set_shapes(shapes);
  later.set_shapes(shapes);
  for (const wire::Suite suite : kSuites) {
    const auto first = invented("ghost", suite);
    const auto second = later.verifier_of(nullptr, "ghost", suite, true);
    ASSERT_TRUE(second);
    EXPECT_EQ(first.salt, second->salt);
    EXPECT_TRUE(first.group == second->group);
    EXPECT_NE(first.salt, invented("ghost2", suite).salt);
  }
}

// Whoever may not log in keeps group and salt, and has a verifier that is not the real one, and fits the group.
TEST_F(StandInVerifiersTest, StandInTheGroupOfAUserWhoMayNotLogInWhicheverItIs) {
  const auto listed = *exchange::SrpGroup::listed(kOther);
  // Of the same size as a listed one, and another.
  Bytes modulus(listed.modulus_octets().begin(), listed.modulus_octets().end());
  modulus[100] ^= 1;
  const auto unlisted = exchange::SrpGroup::of(modulus, Bytes{3});
  ASSERT_TRUE(unlisted);
  for (const wire::Suite suite : kSuites) {
    for (const auto& group : {*unlisted, listed}) {
      const auto real = verifier(group, suite);
      const StoredUser disabled = user(real, suite);
      const auto shown = stand_ins_->verifier_of(&disabled, "disabled", suite, true);
      ASSERT_TRUE(shown) << shown.error().message();
      EXPECT_TRUE(shown->group == group);
      EXPECT_EQ(shown->salt, real.salt);
      EXPECT_TRUE(exchange::check_verifier(group, shown->v.reveal()));
      EXPECT_NE(text_of(shown->v.reveal()), text_of(real.v.reveal()));
      const auto allowed = stand_ins_->verifier_of(&disabled, "disabled", suite, false);
      ASSERT_TRUE(allowed);
      EXPECT_EQ(text_of(allowed->v.reveal()), text_of(real.v.reveal()));
    }
  }
}

// A listed group is not made ready to compute with once more, whether its user exists or not.
TEST_F(StandInVerifiersTest, AndRealOnesShareTheListedGroup) {
  const auto listed = *exchange::SrpGroup::listed(kUsual);
  const StoredUser alice = user(verifier(listed, wire::SUITE_MODERN), wire::SUITE_MODERN);
  const auto real = stand_ins_->verifier_of(&alice, "alice", wire::SUITE_MODERN, false);
  ASSERT_TRUE(real);
  EXPECT_EQ(&real->group.modulus(), &listed.modulus());
  EXPECT_EQ(&invented("ghost", wire::SUITE_MODERN).group.modulus(), &listed.modulus());
}

}  // namespace
}  // namespace keyd::daemon
