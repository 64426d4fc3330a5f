// The hashes of passwords in the store: how they are sealed, and what a change of them is bound to. (What happens when
// something breaks meanwhile: tests/faults.)
#include "keyd/user_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <map>

#include "tests/unit/support/open_store.h"

namespace keyd::daemon {
namespace {

const std::string kCryptString = "$6$saltsalt$" + std::string(86, 'h');

exchange::PasswordHash modern(const std::string& text = kCryptString) {
  exchange::PasswordHash hash;
  hash.suite = wire::SUITE_MODERN;
  hash.hash = secret::SecretBuffer::copy_of(bytes_of(text));
  return hash;
}

exchange::PasswordHash historic(std::size_t salt, std::size_t size = 16) {
  exchange::PasswordHash hash;
  hash.suite = wire::SUITE_HISTORIC;
  hash.salt = Bytes(salt, 's');
  hash.hash = secret::SecretBuffer::copy_of(bytes_of(std::string(size, 'm')));
  return hash;
}

class UserHashes : public WithOpenStore {
 protected:
  Bytes sealed(const exchange::PasswordHash& hash, char id = 'a') {
    return seal_hash(sealer(), std::string(16, id), hash).value_or(Bytes());
  }
  StoredUser user(const std::string& name, char id) {
    StoredUser made;
    made.id = std::string(16, id);
    made.name = name;
    made.schemes = scheme_bit(table::Scheme::kKryptoknight);
    made.allow_historic = true;
    made.password_changed = 86400;
    made.sealed_crypt = sealed(modern(), id);
    made.crypt_shape = "$6$ 8 $";
    made.sealed_md5 = sealed(historic(8), id);
    return made;
  }
};

TEST_F(UserHashes, ComeBackAsTheyWereSealed) {
  ASSERT_TRUE(users().add(user("alice", 'a')));
  const StoredUser alice = found("alice");
  EXPECT_EQ(alice.crypt_shape, "$6$ 8 $");
  EXPECT_TRUE(alice.sealed_password.empty());
  EXPECT_EQ(alice.password_changed, 86400u) << "as it was given";
  const auto crypt = unseal_hash(sealer(), alice, wire::SUITE_MODERN);
  ASSERT_TRUE(crypt);
  EXPECT_EQ(text_of(crypt->hash.reveal()), kCryptString);
  EXPECT_EQ(crypt->setting.text(), "$6$saltsalt$");
  EXPECT_EQ(crypt->suite, wire::SUITE_MODERN);
  const auto md5 = unseal_hash(sealer(), alice, wire::SUITE_HISTORIC);
  ASSERT_TRUE(md5);
  EXPECT_EQ(md5->salt, Bytes(8, 's'));
  EXPECT_EQ(text_of(md5->hash.reveal()), std::string(16, 'm'));
  EXPECT_EQ(users().list({}, 10).value()[0].sealed_md5, alice.sealed_md5);
}

TEST_F(UserHashes, ThatAUserDoesNotHaveAreNotFound) {
  StoredUser nobody;
  for (const auto suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC})
    EXPECT_EQ(unseal_hash(sealer(), nobody, suite).error().code, Code::kNotFound);
}

TEST_F(UserHashes, OfAnotherSizeAreNotSealed) {
  EXPECT_TRUE(seal_hash(sealer(), "id", historic(0)));
  EXPECT_TRUE(seal_hash(sealer(), "id", historic(32)));
  EXPECT_FALSE(seal_hash(sealer(), "id", historic(33)));
  EXPECT_FALSE(seal_hash(sealer(), "id", historic(8, 15)));
  EXPECT_FALSE(seal_hash(sealer(), "id", historic(8, 17)));
  EXPECT_FALSE(seal_hash(sealer(), "id", modern("")));
  EXPECT_FALSE(seal_hash(sealer(), "id", modern(std::string(384, 'x'))));
  exchange::PasswordHash of_no_suite = modern();
  of_no_suite.suite = wire::SUITE_UNSPECIFIED;
  EXPECT_FALSE(seal_hash(sealer(), "id", of_no_suite));
}

TEST_F(UserHashes, MovedToAnotherUserOrSuiteDoNotOpen) {
  const StoredUser alice = user("alice", 'a');
  StoredUser other = alice;
  other.id = std::string(16, 'b');
  for (const auto suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC}) {
    ASSERT_TRUE(unseal_hash(sealer(), alice, suite));
    EXPECT_EQ(unseal_hash(sealer(), other, suite).error().code, Code::kBroken);
  }
  StoredUser swapped = alice;
  std::swap(swapped.sealed_crypt, swapped.sealed_md5);
  for (const auto suite : {wire::SUITE_MODERN, wire::SUITE_HISTORIC})
    EXPECT_EQ(unseal_hash(sealer(), swapped, suite).error().code, Code::kBroken);
  swapped.sealed_password = alice.sealed_crypt;
  EXPECT_FALSE(unseal_password(sealer(), swapped)) << "a hash is no password";
}

TEST_F(UserHashes, AreTakenInTheirOneFormAlone) {
  const auto opens = [&](wire::Suite suite, const Bytes& plain) {
    StoredUser alice;
    alice.id = std::string(16, 'a');
    const char* const purpose = suite == wire::SUITE_MODERN ? "kryptoknight.crypt" : "kryptoknight.md5";
    (suite == wire::SUITE_MODERN ? alice.sealed_crypt : alice.sealed_md5) =
        *sealer().seal({"user", alice.id, purpose}, plain);
    const auto hash = unseal_hash(sealer(), alice, suite);
    if (!hash) {
      EXPECT_EQ(hash.error().code, Code::kBroken);
    }
    return hash.has_value();
  };
  const auto with = [](std::initializer_list<std::uint8_t> head, const std::string& rest) {
    Bytes plain(head);
    plain.insert(plain.end(), rest.begin(), rest.end());
    return plain;
  };
  const std::string md5(16, 'm');
  EXPECT_TRUE(opens(wire::SUITE_HISTORIC, with({1, 2, 0}, md5)));
  EXPECT_TRUE(opens(wire::SUITE_HISTORIC, with({1, 2, 3}, "sss" + md5)));
  EXPECT_FALSE(opens(wire::SUITE_HISTORIC, with({1, 2, 4}, "sss" + md5)));
  EXPECT_FALSE(opens(wire::SUITE_HISTORIC, with({1, 2, 2}, "sss" + md5)));
  EXPECT_FALSE(opens(wire::SUITE_HISTORIC, with({1, 2, 33}, std::string(33, 's') + md5)));
  EXPECT_FALSE(opens(wire::SUITE_HISTORIC, with({1, 2, 255}, md5)));
  EXPECT_FALSE(opens(wire::SUITE_HISTORIC, with({2, 2, 0}, md5))) << "a later form";
  EXPECT_FALSE(opens(wire::SUITE_HISTORIC, with({0, 2, 0}, md5)));
  EXPECT_FALSE(opens(wire::SUITE_HISTORIC, with({1, 1, 0}, md5))) << "another suite's";
  EXPECT_TRUE(opens(wire::SUITE_MODERN, with({1, 1, 0}, kCryptString)));
  EXPECT_FALSE(opens(wire::SUITE_MODERN, with({1, 2, 0}, kCryptString)));
  EXPECT_FALSE(opens(wire::SUITE_MODERN, with({1, 1, 1}, "s" + kCryptString)));
  EXPECT_FALSE(opens(wire::SUITE_MODERN, with({1, 1, 0}, kCryptString.substr(1)))) << "no crypt(3) string";
  const Bytes whole = with({1, 1, 0}, kCryptString);
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(
        opens(wire::SUITE_MODERN, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))));
}

TEST_F(UserHashes, AChangeHoldsForTheVersionThatItWasThoughtOfAndNoOther) {
  ASSERT_TRUE(users().add(user("alice", 'a')));
  const StoredUser before = found("alice");
  const std::string other = "$6$another.$" + std::string(86, 'n');
  const auto renew = [&](std::uint64_t version) {
    return users().replace_hash(before.id, version, wire::SUITE_MODERN, sealed(modern(other)), "$6$ 8 $");
  };
  const UserSecrets secrets{.sealed_password = *seal_password(sealer(), before.id, bytes_of("clear")),
                            .sealed_crypt = {},
                            .sealed_md5 = {},
                            .crypt_shape = {},
                            .md5_shape = {}};
  for (const std::uint64_t version : {before.version - 1, before.version + 1}) {
    EXPECT_EQ(renew(version).error().code, Code::kConflict);
    EXPECT_EQ(users().set_secrets(before.id, version, secrets).error().code, Code::kConflict);
  }
  EXPECT_EQ(found("alice").sealed_crypt, before.sealed_crypt) << "nothing was changed";
  EXPECT_EQ(found("alice").version, before.version);

  ASSERT_TRUE(renew(before.version));
  EXPECT_EQ(renew(before.version).error().code, Code::kConflict) << "said again";
  const StoredUser after = found("alice");
  EXPECT_EQ(after.version, before.version + 1);
  EXPECT_EQ(after.password_changed, before.password_changed) << "it is the same password";
  EXPECT_EQ(after.sealed_md5, before.sealed_md5);
  EXPECT_EQ(text_of(unseal_hash(sealer(), after, wire::SUITE_MODERN)->hash.reveal()), other);
}

TEST_F(UserHashes, EveryChangeOfWhatALoginRestsOnIsANewVersion) {
  ASSERT_TRUE(users().add(user("alice", 'a')));
  std::uint64_t version = found("alice").version;
  const auto grew = [&] {
    const std::uint64_t before = std::exchange(version, found("alice").version);
    return version > before;
  };
  ASSERT_TRUE(users().set_state("alice", UserState::kLocked));
  EXPECT_TRUE(grew());
  ASSERT_TRUE(users().unlock("alice"));
  EXPECT_TRUE(grew());
  ASSERT_TRUE(users().set_secrets(found("alice").id, version, {}));
  EXPECT_TRUE(grew());
  ASSERT_TRUE(users().set_credential("alice", "token", Bytes(30, 1), 2));
  EXPECT_FALSE(grew()) << "credentials are no matter of a login";
}

TEST_F(UserHashes, AChangeOfPasswordReplacesThemAllAndTheSchemesWithThem) {
  ASSERT_TRUE(users().add(user("alice", 'a')));
  const StoredUser before = found("alice");
  const UserSecrets secrets{.sealed_password = *seal_password(sealer(), before.id, bytes_of("clear")),
                            .sealed_crypt = {},
                            .sealed_md5 = {},
                            .crypt_shape = {},
                            .md5_shape = {}};
  ASSERT_TRUE(users().set_secrets(before.id, before.version, secrets));
  const StoredUser after = found("alice");
  EXPECT_EQ(after.schemes, scheme_bit(table::Scheme::kChallenge)) << "no secret, no scheme";
  EXPECT_TRUE(after.sealed_crypt.empty());
  EXPECT_TRUE(after.sealed_md5.empty());
  EXPECT_EQ(after.crypt_shape, "");
  EXPECT_GT(after.password_changed, before.password_changed);
  EXPECT_TRUE(users().shapes().value().crypt.empty());
  // A hash that is not there is not renewed: that would give a scheme.
  EXPECT_EQ(users()
                .replace_hash(after.id, after.version, wire::SUITE_MODERN, sealed(modern()), "$6$ 8 $")
                .error()
                .code,
            Code::kNotFound);
  EXPECT_EQ(found("alice").version, after.version);
}

TEST_F(UserHashes, OfARemovedUserAreGoneAlsoForOneByTheSameName) {
  ASSERT_TRUE(users().add(user("alice", 'a')));
  const StoredUser first = found("alice");
  ASSERT_TRUE(users().remove("alice"));
  EXPECT_TRUE(users().shapes().value().crypt.empty());
  StoredUser second = user("alice", 'b');
  ASSERT_TRUE(users().add(second));
  // Somebody who was at it when the first went.
  EXPECT_EQ(users()
                .replace_hash(first.id, first.version, wire::SUITE_MODERN, sealed(modern()), "$6$ 8 $")
                .error()
                .code,
            Code::kNotFound);
  EXPECT_EQ(users().set_secrets(first.id, first.version, {}).error().code, Code::kNotFound);
  EXPECT_EQ(found("alice").sealed_crypt, second.sealed_crypt);
}

TEST_F(UserHashes, AreCountedByTheirShape) {
  for (const char id : {'a', 'b', 'c'}) ASSERT_TRUE(users().add(user(std::string(1, id), id)));
  StoredUser other = user("d", 'd');
  other.crypt_shape = "$y$j9T$ 22 $";
  ASSERT_TRUE(users().add(other));
  const auto shapes = users().shapes();
  ASSERT_TRUE(shapes);
  ASSERT_EQ(shapes->crypt.size(), 2u);
  EXPECT_EQ(shapes->crypt[0].shape, "$6$ 8 $");
  EXPECT_EQ(shapes->crypt[0].users, 3u);
  EXPECT_EQ(shapes->crypt[1].shape, "$y$j9T$ 22 $");
  EXPECT_EQ(shapes->crypt[1].users, 1u);
}

TEST_F(UserHashes, VerifiersAreCountedByTheirShapeInEachSuite) {
  const auto verifier = [](unsigned bits) {
    return exchange::SrpVerifier{
        *exchange::SrpGroup::listed(bits), Bytes(16, 's'), {}, secret::SecretBuffer::copy_of(Bytes(20, 'v'))};
  };
  const auto add = [&](const std::string& name, unsigned bits, const std::string& historic_shape) {
    StoredUser made;
    made.id = std::string(16, name[0]);
    made.name = name;
    made.schemes = scheme_bit(table::Scheme::kSrp);
    made.sealed_verifier = *seal_verifier(sealer(), made.id, wire::SUITE_MODERN, verifier(bits));
    made.verifier_shape = verifier_shape_of(verifier(bits));
    made.sealed_historic_verifier = *seal_verifier(sealer(), made.id, wire::SUITE_HISTORIC, verifier(bits));
    made.historic_verifier_shape = historic_shape;
    ASSERT_TRUE(users().add(made));
    EXPECT_EQ(found(name).historic_verifier_shape, historic_shape);
  };
  const std::string large = verifier_shape_of(verifier(3072)), small = verifier_shape_of(verifier(2048));
  add("a", 3072, large);
  add("b", 3072, large);
  add("c", 2048, small);
  add("d", 2048, {});  // from before they were kept
  const auto shapes = users().shapes();
  ASSERT_TRUE(shapes);
  const auto counts = [](const std::vector<ShapeCount>& each) {
    std::map<std::string, std::uint64_t> out;
    for (const ShapeCount& count : each) out[count.shape] = count.users;
    return out;
  };
  EXPECT_EQ(counts(shapes->verifier), (std::map<std::string, std::uint64_t>{{large, 2}, {small, 2}}));
  EXPECT_EQ(counts(shapes->historic_verifier),
            (std::map<std::string, std::uint64_t>{{large, 2}, {small, 1}, {"", 1}}));
  EXPECT_TRUE(shapes->crypt.empty() && shapes->md5.empty());
}

TEST_F(UserHashes, LeaveNoTraceInTheFilesWhenTheyAreReplaced) {
  // Sealed octets, that is; but neither do they stay.
  ASSERT_TRUE(users().add(user("alice", 'a')));
  const StoredUser before = found("alice");
  ASSERT_TRUE(
      users().replace_hash(before.id, before.version, wire::SUITE_MODERN, sealed(modern()), "$6$ 8 $"));
  store_ = {};  // the log is emptied into the database
  std::string file;
  FILE* const in = std::fopen((directory_ + "/keyd.db").c_str(), "rb");
  ASSERT_NE(in, nullptr);
  for (int c = std::fgetc(in); c != EOF; c = std::fgetc(in)) file.push_back(static_cast<char>(c));
  (void)std::fclose(in);
  EXPECT_EQ(file.find(text_of(before.sealed_crypt)), std::string::npos);
  EXPECT_EQ(file.find("saltsalt"), std::string::npos);
}

TEST(CryptShape, AndTheSettingOfItAreEachOthersReverse) {
  const crypto::CryptSetting settings[] = {{"$y$j9T$", "cvj7xTZ.v1OI4Sc.TVS1J/", "$"},
                                           {"$6$rounds=20000$", "saltsalt", "$"},
                                           {"", "ab", ""},
                                           {"$1$", "", "$"}};
  for (const crypto::CryptSetting& setting : settings) {
    const std::string shape = crypt_shape_of(setting);
    std::size_t size = 99;
    crypto::CryptSetting back = setting_of_shape(shape, size);
    EXPECT_EQ(size, setting.salt.size()) << shape;
    back.salt = setting.salt;
    EXPECT_EQ(back, setting) << shape;
  }
  EXPECT_EQ(crypt_shape_of(settings[0]), "$y$j9T$ 22 $");
}

TEST(CryptShape, ThatIsNoneGivesNoSetting) {
  for (const std::string text :
       {"", " ", "  ", "$6$", "$6$ 8", "$6$8 $", "$6$ x $", "$6$ -1 $", "$6$ +8 $", "$6$ 8x $", "$6$ 384 $",
        "$6$ 99999999999999999999 $", "$6$ 8 $ ", "$6$  8 $"}) {
    std::size_t size = 99;
    EXPECT_EQ(setting_of_shape(text, size), crypto::CryptSetting()) << text;
    EXPECT_EQ(size, 0u) << text;
  }
}

}  // namespace
}  // namespace keyd::daemon
