// What keyd still knows, and where: while sessions live, after they have ended, in its files and in a core.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "tests/secrets/known_session.h"
#include "tests/secrets/memory_hunt.h"
#include "tests/secrets/pool_kind.h"
#include "tests/support/content.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::IsEmpty;

wire::ChallengeStart historic(const std::string& user, wire::Transform transform) {
  auto start = RawClient::choice(user);
  start.set_suite(wire::SUITE_HISTORIC);
  start.set_transform(transform);
  return start;
}

// With a kind of pool. Of memfd_secret the hunt sees nothing: then no secret may be found at all.
class HuntedKeyd : public ::testing::Test {
 protected:
  HuntedKeyd(std::string scheme, std::string kind) : scheme_(std::move(scheme)), kind_(std::move(kind)) {}
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: keyd cannot be looked into by others";
    if (!has_kind(kind_)) GTEST_SKIP() << "no " << kind_ << " here";
    keyd_.start_under(with_kind(kind_, {}));
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    EXPECT_NE(keyd_.log().find("secrets lie in " + kind_), std::string::npos) << keyd_.log();
    expect_kind(keyd_.pid(), kind_);
    password_ = marked_text(24);
    value_ = marked_text(40);
    keyd_.enrol("alice", password_, {"--scheme", scheme_, "--allow-historic"});
    keyd_.set_credential("alice", "token", value_);
    hunt_.mark("password", bytes_of(password_));
    hunt_.mark("credential", bytes_of(value_));
    const std::string octets = content_of(keyd_.state_dir() + "/store.key");
    ASSERT_GE(octets.size(), 32u);
    hunt_.mark("store key", bytes_of(octets).last(32));
  }

  // Findings that are not in the locked pool, or are there without being `allowed`. The names are compared up
  // to their ends: "epoch 1 c2s" allows "alice epoch 1 c2s".
  [[nodiscard]] std::vector<Finding> beyond(const std::set<std::string>& allowed) const {
    auto found = hunt_.in_process(keyd_.pid());
    std::erase_if(found, [&](const Finding& f) {
      return f.locked &&
             std::ranges::any_of(allowed, [&](const std::string& end) { return f.secret.ends_with(end); });
    });
    return found;
  }
  // That the hunt sees what must be there, so that what it does not see is not: the secret where it lies in
  // pages that can be read, and what lies in the heap in any case.
  void expect_seen(const std::string& secret) const {
    expect_that_the_heap_is_seen(keyd_.pid(), keyd_.directory());
    const auto found = hunt_.in_process(keyd_.pid());
    const bool seen = std::ranges::any_of(found, [&](const Finding& f) { return f.secret == secret; });
    EXPECT_EQ(seen, kind_ == kMlock) << secret;
  }
  // keyd has heard that the session is over and has answered somebody since.
  void settle() const {
    EXPECT_TRUE(keyd_.wait_for_state(::getpid(), "REVOKED")) << keyd_.state_of(::getpid());
    (void)keyd_.keyadm({"health"});
  }

  // By the user's scheme and password.
  bool log_in(KnownSession& session, wire::Suite suite = wire::SUITE_MODERN) const {
    return session.log_in(scheme_, "alice", password_, suite);
  }

  const std::string scheme_, kind_;
  PrivateKeyd keyd_{"[historic]\nenabled = true\n"};
  std::string password_, value_;
  Hunt hunt_;
};

class SecretsInKeyd : public HuntedKeyd, public ::testing::WithParamInterface<std::string> {
 protected:
  SecretsInKeyd() : HuntedKeyd("challenge", GetParam()) {}
};
class SecretsInKeydByScheme : public HuntedKeyd, public ::testing::WithParamInterface<SchemeAndKind> {
 protected:
  SecretsInKeydByScheme() : HuntedKeyd(std::get<0>(GetParam()), std::get<1>(GetParam())) {}
};

// What may lie in locked memory, and when. Everything else nowhere.
const std::set<std::string> kAlways{"store key"};
std::set<std::string> live(const std::string& epoch) {
  return {"store key", epoch + " c2s", epoch + " s2c", epoch + " chain", "exporter"};
}

TEST_P(SecretsInKeydByScheme, EnrolmentLeavesTheStoreKeyAlone) {
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
  expect_seen("store key");
}

TEST_P(SecretsInKeydByScheme, ALiveSessionHasItsOwnKeysInLockedMemoryAndNothingElse) {
  KnownSession session(keyd_.runtime_dir(), hunt_, "alice");
  ASSERT_TRUE(log_in(session));
  EXPECT_THAT(beyond(live("epoch 0")), IsEmpty()) << text_of(beyond(live("epoch 0")));
  expect_seen("alice epoch 0 c2s");
  EXPECT_EQ(session.credential("token"), value_);
  EXPECT_THAT(beyond(live("epoch 0")), IsEmpty()) << text_of(beyond(live("epoch 0")));
}

TEST_P(SecretsInKeydByScheme, ARekeyedSessionHasTheNewKeysAlone) {
  KnownSession session(keyd_.runtime_dir(), hunt_, "alice");
  ASSERT_TRUE(log_in(session));
  ASSERT_TRUE(session.rekey());
  ASSERT_TRUE(session.rekey());
  EXPECT_THAT(beyond(live("epoch 2")), IsEmpty()) << text_of(beyond(live("epoch 2")));
  expect_seen("alice epoch 2 s2c");
}

TEST_P(SecretsInKeydByScheme, AnEndedSessionLeavesNothing) {
  KnownSession session(keyd_.runtime_dir(), hunt_, "alice");
  ASSERT_TRUE(log_in(session));
  EXPECT_EQ(session.credential("token"), value_);
  ASSERT_TRUE(session.rekey());
  ASSERT_TRUE(session.end());
  settle();
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
}

TEST_P(SecretsInKeyd, EveryTransformOfTheHistoricSuiteLeavesNothing) {
  for (const auto transform :
       {wire::TRANSFORM_MD5, wire::TRANSFORM_HMAC_MD5, wire::TRANSFORM_KEYED_MD5_RFC1828}) {
    KnownSession session(keyd_.runtime_dir(), hunt_, wire::Transform_Name(transform));
    ASSERT_TRUE(session.log_in(historic("alice", transform), password_));
    EXPECT_THAT(beyond(live("epoch 0")), IsEmpty()) << text_of(beyond(live("epoch 0")));
    ASSERT_TRUE(session.end());
    settle();
  }
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
}

TEST_P(SecretsInKeydByScheme, TheHistoricSuiteLeavesNothing) {
  KnownSession session(keyd_.runtime_dir(), hunt_, "alice");
  ASSERT_TRUE(log_in(session, wire::SUITE_HISTORIC));
  EXPECT_THAT(beyond(live("epoch 0")), IsEmpty()) << text_of(beyond(live("epoch 0")));
  expect_seen("alice epoch 0 c2s");
  ASSERT_TRUE(session.end());
  settle();
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
}

TEST_P(SecretsInKeydByScheme, ARenewalLeavesNothingOfTheOldSession) {
  KnownSession session(keyd_.runtime_dir(), hunt_, "old");
  ASSERT_TRUE(log_in(session));
  session.renews = true;
  session.name = "renewed";
  ASSERT_TRUE(log_in(session));
  auto allowed = live("renewed epoch 0");
  allowed.erase("exporter");
  allowed.insert("renewed exporter");
  EXPECT_THAT(beyond(allowed), IsEmpty()) << text_of(beyond(allowed));
}

TEST_P(SecretsInKeydByScheme, WrongPasswordsLeaveNothing) {
  for (int i = 0; i < 3; ++i) {
    KnownSession session(keyd_.runtime_dir(), hunt_, "wrong " + std::to_string(i));
    session.says = marked_text(24);
    hunt_.mark("what was said " + std::to_string(i), bytes_of(session.says));
    EXPECT_FALSE(log_in(session));
    EXPECT_TRUE(session.raw.last_packet.has_denied());
  }
  (void)keyd_.keyadm({"health"});
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
}

TEST_P(SecretsInKeydByScheme, AChangedPasswordAndARemovedCredentialAreForgotten) {
  const std::string next = marked_text(30);
  hunt_.mark("next password", bytes_of(next));
  ASSERT_EQ(keyd_.keyadm({"user", "passwd", "alice", "--password-fd", "0"}, next + "\n").exit_code, 0);
  ASSERT_EQ(keyd_.keyadm({"credential", "remove", "alice", "token"}).exit_code, 0);
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
}

// Both ways it is a packet of its own, and a number while it is looked at.
TEST_P(SecretsInKeyd, AVerifierThatComesAndGoesLeavesNothing) {
  const std::string v = marked_text(120);
  hunt_.mark("verifier", bytes_of(v));
  wire::AdminRequest in, out;
  in.set_secret_follows(true);
  in.mutable_verifier_import()->set_name("carol");
  in.mutable_verifier_import()->set_allow_historic(true);
  in.mutable_verifier_import()->set_salt("salt");
  in.mutable_verifier_import()->set_modulus(
      std::string(keyd::text_of(exchange::SrpGroup::listed(1024)->modulus_octets())));
  in.mutable_verifier_import()->set_generator("\x02");
  out.mutable_verifier_export()->set_name("carol");
  RawClient raw(keyd_.runtime_dir(), "admin.sock");
  ASSERT_TRUE(raw.send(wire::encode(in)) && raw.send(bytes_of(v)));
  wire::AdminReply reply;
  auto packet = raw.receive();
  ASSERT_TRUE(packet && wire::decode(*packet, reply) == wire::Decoded::kMessage);
  ASSERT_TRUE(reply.has_done()) << reply.ShortDebugString();
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
  ASSERT_TRUE(raw.send(wire::encode(out)));
  packet = raw.receive();
  ASSERT_TRUE(packet && wire::decode(*packet, reply) == wire::Decoded::kMessage);
  ASSERT_TRUE(reply.has_verifier() && reply.secret_follows()) << reply.ShortDebugString();
  packet = raw.receive();
  ASSERT_TRUE(packet);
  EXPECT_EQ(to_hex(*packet), to_hex(bytes_of(v)));
  (void)keyd_.keyadm({"health"});
  EXPECT_THAT(beyond(kAlways), IsEmpty()) << text_of(beyond(kAlways));
  EXPECT_THAT(hunt_.in_directory(keyd_.state_dir()),
              ::testing::Each(::testing::Field(&Finding::secret, "store key")));
}

TEST_P(SecretsInKeydByScheme, NoFileNorLogNorAuditNorTableHasAny) {
  {
    KnownSession stranger(keyd_.runtime_dir(), hunt_, "stranger"),
        session(keyd_.runtime_dir(), hunt_, "alice");
    stranger.says = marked_text(24);
    hunt_.mark("wrong password", bytes_of(stranger.says));
    EXPECT_FALSE(log_in(stranger));
    ASSERT_TRUE(log_in(session));
    EXPECT_EQ(session.credential("token"), value_);
    ASSERT_TRUE(session.rekey());
    auto found = hunt_.in_directory(keyd_.directory());  // with the database's journal as it is
    std::erase_if(found, [&](const Finding& f) {
      return f.secret == "store key" && f.where.starts_with(keyd_.state_dir() + "/store.key ");
    });
    EXPECT_THAT(found, IsEmpty()) << text_of(found);
    const std::string proc = "/proc/" + std::to_string(keyd_.pid());
    EXPECT_THAT(hunt_.in_file(proc + "/cmdline"), IsEmpty());
    EXPECT_THAT(hunt_.in_file(proc + "/environ"), IsEmpty());
  }
  EXPECT_TRUE(std::filesystem::exists(keyd_.state_dir() + "/keyd.db"));
  keyd_.stop();
  auto found = hunt_.in_directory(keyd_.directory());
  std::erase_if(found, [](const Finding& f) { return f.secret == "store key"; });
  EXPECT_THAT(found, IsEmpty()) << text_of(found);
}

INSTANTIATE_TEST_SUITE_P(In, SecretsInKeyd, pool_kinds(), [](const auto& kind) { return kind.param; });
INSTANTIATE_TEST_SUITE_P(In, SecretsInKeydByScheme, schemes_and_pool_kinds(), name_of_both);

// ---- cores

TEST_P(SecretsInKeyd, ACrashLeavesNoCore) {
  // keyd's own limit is 0. Where we may lift it, that keyd is not dumpable has to do.
  rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (::prlimit(keyd_.pid(), RLIMIT_CORE, &unlimited, nullptr) != 0) {
    ASSERT_EQ(errno, EPERM);
  }
  KnownSession session(keyd_.runtime_dir(), hunt_, "alice");
  ASSERT_TRUE(log_in(session));
  const auto place = std::filesystem::read_symlink("/proc/" + std::to_string(keyd_.pid()) + "/cwd");
  ASSERT_EQ(::kill(keyd_.pid(), SIGSEGV), 0);
  ASSERT_TRUE(session.raw.closed_within(10));
  for (const auto& entry : std::filesystem::directory_iterator(place)) {
    const std::string name = entry.path().filename();
    if (!entry.is_regular_file()) continue;
    EXPECT_FALSE(name == "core" || name == "core." + std::to_string(keyd_.pid())) << entry.path();
  }
}

TEST_P(SecretsInKeyd, ACoreTakenByRootHasNone) {
  if (!std::filesystem::exists("/usr/bin/gcore")) GTEST_SKIP() << "no gcore (package gdb)";
  KnownSession session(keyd_.runtime_dir(), hunt_, "alice");
  ASSERT_TRUE(log_in(session));
  EXPECT_EQ(session.credential("token"), value_);
  const std::string prefix = keyd_.directory() + "/taken";
  const auto taken = run({"/usr/bin/gcore", "-o", prefix, std::to_string(keyd_.pid())});
  const std::string core = prefix + "." + std::to_string(keyd_.pid());
  ASSERT_TRUE(std::filesystem::exists(core)) << taken.out << taken.err;
  EXPECT_GT(std::filesystem::file_size(core), 1u << 20);
  Hunt heap;
  heap.mark("directory", bytes_of(keyd_.directory()));
  EXPECT_FALSE(heap.in_file(core).empty()) << "the core is not one of keyd's memory";
  EXPECT_THAT(hunt_.in_file(core), IsEmpty()) << text_of(hunt_.in_file(core));
}

}  // namespace
}  // namespace keyd::testing
