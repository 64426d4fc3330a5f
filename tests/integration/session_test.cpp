// libkeyclient against a real keyd: what a session is for, and how it ends.
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <keyclient/keyclient.hpp>
#include <thread>

#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/sanitizers.h"

namespace keyd::testing {
namespace {

keyclient_login login_of(const char* user, const char* password) {
  keyclient_login login{};
  login.size = sizeof login;
  login.user = user;
  login.scheme = "challenge";
  login.password = password;
  login.password_size = std::strlen(password);
  return login;
}

class Session : public ::testing::Test {
 protected:
  explicit Session(const std::string& config = {}) : keyd_(config) {}
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
    client_ = open();
    ASSERT_NE(client_, nullptr);
  }
  void TearDown() override { keyclient_close(client_); }
  keyclient_t* open() {
    options_.size = sizeof options_;
    directory_ = keyd_.runtime_dir();
    options_.runtime_dir = directory_.c_str();
    options_.timeout_ms = 5000;
    keyclient_t* client = nullptr;
    EXPECT_EQ(keyclient_open(&options_, &client), KEYCLIENT_OK) << keyclient_error();
    return client;
  }
  void authenticate() {
    const auto login = login_of("alice", "right");
    ASSERT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_OK) << keyclient_error();
  }
  PrivateKeyd keyd_;
  keyclient_options options_{};
  std::string directory_;
  keyclient_t* client_ = nullptr;
};

// keyd waits 2 s for a proof; the user takes longer over the password.
class HurriedSession : public Session {
 protected:
  HurriedSession() : Session("[session]\npending_deadline = 2\n") {}
  static constexpr std::chrono::milliseconds kTooLong{3500};
};

TEST_F(Session, GivesTheUsersCredentialsAndNothingElse) {
  keyd_.enrol("bob", "other");
  keyd_.set_credential("alice", "token", std::string("a\0b", 3));
  keyd_.set_credential("bob", "secret-of-bob", "no");
  authenticate();
  std::array<char, 64> value{};
  std::size_t size = value.size();
  ASSERT_EQ(keyclient_credential(client_, "token", value.data(), &size), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(std::string(value.data(), size), std::string("a\0b", 3));
  size = value.size();
  EXPECT_EQ(keyclient_credential(client_, "secret-of-bob", value.data(), &size), KEYCLIENT_NOT_FOUND);
  size = 2;
  EXPECT_EQ(keyclient_credential(client_, "token", value.data(), &size), KEYCLIENT_TOO_SMALL);
  EXPECT_EQ(size, 3u);
  std::vector<std::string> names;
  ASSERT_EQ(keyclient_credential_names(
                client_,
                [](void* into, const char* name) {
                  static_cast<std::vector<std::string>*>(into)->emplace_back(name);
                },
                &names),
            KEYCLIENT_OK);
  EXPECT_EQ(names, std::vector<std::string>{"token"});
}

TEST_F(Session, CarriesTheLargestCredential) {
  std::string large(65536, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7);
  keyd_.set_credential("alice", "large", large);
  authenticate();
  std::vector<char> value(65536);
  std::size_t size = value.size();
  ASSERT_EQ(keyclient_credential(client_, "large", value.data(), &size), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(std::string(value.data(), size), large);
}

TEST_F(Session, KeepsCredentialsSealedAtRest) {
  const std::string marker = "marker-of-a-credential-4711";
  keyd_.set_credential("alice", "token", marker);
  keyd_.stop();
  for (const auto& entry : std::filesystem::directory_iterator(keyd_.state_dir())) {
    const std::string all = content_of(entry.path());
    EXPECT_EQ(all.find(marker), std::string::npos) << entry.path();
    EXPECT_EQ(all.find("right"), std::string::npos) << entry.path();
  }
}

TEST_F(Session, RefusesEverythingBeforeAuthentication) {
  std::size_t size = 0;
  EXPECT_EQ(keyclient_credential(client_, "token", nullptr, &size), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_EQ(keyclient_rekey(client_), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_EQ(keyclient_end(client_), KEYCLIENT_NOT_AUTHENTICATED);
  char key[32];
  EXPECT_EQ(keyclient_export_key(client_, "label", key, sizeof key), KEYCLIENT_NOT_AUTHENTICATED);
}

// Claims 6 and 10: the sealed channel carries, in both directions, over several epochs.
TEST_F(Session, EchoesOverSeveralEpochs) {
  authenticate();
  for (int epoch = 0; epoch < 4; ++epoch) {
    for (const std::size_t size : {0u, 1u, 1000u, 65536u}) {
      std::vector<char> sent(size, static_cast<char>('a' + epoch)), back(size);
      ASSERT_EQ(keyclient_echo(client_, sent.data(), size, back.data()), KEYCLIENT_OK) << keyclient_error();
      EXPECT_EQ(sent, back);
    }
    ASSERT_EQ(keyclient_rekey(client_), KEYCLIENT_OK) << keyclient_error();
  }
  keyclient_identity who{};
  who.size = sizeof who;
  ASSERT_EQ(keyclient_whoami(client_, &who), KEYCLIENT_OK);
  EXPECT_EQ(who.epoch, 4u);
  EXPECT_GT(who.records, 30u);
  EXPECT_GT(who.octets, 4u * 2 * 66537);
}

TEST_F(Session, ExportsKeysThatDependOnLabelAndSessionAlone) {
  authenticate();
  std::array<std::uint8_t, 32> a{}, again{}, b{}, longer{};
  ASSERT_EQ(keyclient_export_key(client_, "one", a.data(), a.size()), KEYCLIENT_OK);
  ASSERT_EQ(keyclient_rekey(client_), KEYCLIENT_OK);
  ASSERT_EQ(keyclient_export_key(client_, "one", again.data(), again.size()), KEYCLIENT_OK);
  ASSERT_EQ(keyclient_export_key(client_, "two", b.data(), b.size()), KEYCLIENT_OK);
  ASSERT_EQ(keyclient_export_key(client_, "one", longer.data(), 31), KEYCLIENT_OK);
  EXPECT_EQ(a, again);
  EXPECT_NE(a, b);
  EXPECT_NE(std::memcmp(a.data(), longer.data(), 31), 0);
  ASSERT_EQ(keyclient_end(client_), KEYCLIENT_OK);
  authenticate();
  ASSERT_EQ(keyclient_export_key(client_, "one", b.data(), b.size()), KEYCLIENT_OK);
  EXPECT_NE(a, b);
}

// Claims 6 and 10 for a program's own records.
TEST_F(Session, SealsRecordsThatOnlyTheOtherEndOpens) {
  authenticate();
  keyclient_channel_t *one = nullptr, *other = nullptr, *stranger = nullptr;
  ASSERT_EQ(keyclient_channel_new(client_, "pipe", KEYCLIENT_INITIATOR, &one), KEYCLIENT_OK);
  ASSERT_EQ(keyclient_channel_new(client_, "pipe", KEYCLIENT_RESPONDER, &other), KEYCLIENT_OK);
  ASSERT_EQ(keyclient_channel_new(client_, "another pipe", KEYCLIENT_RESPONDER, &stranger), KEYCLIENT_OK);
  const std::string text = "to the other end";
  std::vector<std::uint8_t> record(text.size() + KEYCLIENT_RECORD_OVERHEAD);
  std::string back(text.size(), '\0');
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(keyclient_seal(one, text.data(), text.size(), record.data()), KEYCLIENT_OK);
    ASSERT_EQ(keyclient_open_record(other, record.data(), record.size(), back.data()), KEYCLIENT_OK);
    EXPECT_EQ(back, text);
    ASSERT_EQ(keyclient_seal(other, text.data(), text.size(), record.data()), KEYCLIENT_OK);
    ASSERT_EQ(keyclient_open_record(one, record.data(), record.size(), back.data()), KEYCLIENT_OK);
  }
  ASSERT_EQ(keyclient_seal(one, text.data(), text.size(), record.data()), KEYCLIENT_OK);
  EXPECT_EQ(keyclient_open_record(stranger, record.data(), record.size(), back.data()), KEYCLIENT_INVALID);
  EXPECT_EQ(keyclient_open_record(one, record.data(), record.size(), back.data()),
            KEYCLIENT_INVALID);  // reflected
  EXPECT_EQ(keyclient_open_record(other, record.data(), record.size(), back.data()), KEYCLIENT_OK);
  EXPECT_EQ(keyclient_open_record(other, record.data(), record.size(), back.data()),
            KEYCLIENT_INVALID);  // replayed
  for (auto* channel : {one, other, stranger}) keyclient_channel_free(channel);
}

TEST_F(Session, SealsAndOpensWithinOneBufferOfTheProgram) {
  authenticate();
  keyclient_channel_t *one = nullptr, *other = nullptr;
  ASSERT_EQ(keyclient_channel_new(client_, "pipe", KEYCLIENT_INITIATOR, &one), KEYCLIENT_OK);
  ASSERT_EQ(keyclient_channel_new(client_, "pipe", KEYCLIENT_RESPONDER, &other), KEYCLIENT_OK);
  const std::string text(1000, 'w');
  std::string buffer(text.size() + 2 * KEYCLIENT_RECORD_OVERHEAD, '\0');
  // Wherever in the buffer text, record and text again begin.
  for (std::size_t at = 0; at <= KEYCLIENT_RECORD_OVERHEAD; ++at) {
    for (const std::size_t record : {std::size_t{0}, at, std::size_t{KEYCLIENT_RECORD_OVERHEAD}}) {
      buffer.replace(at, text.size(), text);
      ASSERT_EQ(keyclient_seal(one, buffer.data() + at, text.size(), buffer.data() + record), KEYCLIENT_OK);
      ASSERT_EQ(keyclient_open_record(other, buffer.data() + record, text.size() + KEYCLIENT_RECORD_OVERHEAD,
                                      buffer.data() + at),
                KEYCLIENT_OK);
      EXPECT_EQ(buffer.substr(at, text.size()), text) << at << " " << record;
    }
  }
  for (auto* channel : {one, other}) keyclient_channel_free(channel);
}

TEST_F(Session, EndsWhenItIsToldToAndTheHandleCanAuthenticateAgain) {
  authenticate();
  ASSERT_EQ(keyclient_end(client_), KEYCLIENT_OK);
  EXPECT_EQ(keyd_.state_of(::getpid()), "REVOKED");
  keyclient_identity who{};
  who.size = sizeof who;
  EXPECT_EQ(keyclient_whoami(client_, &who), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_STREQ(who.reason, "ended");
  authenticate();
  EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");
}

TEST_F(Session, RenewsOnTheSameHandle) {
  authenticate();
  authenticate();
  EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");
  const auto wrong = login_of("alice", "wrong");
  EXPECT_EQ(keyclient_authenticate(client_, &wrong), KEYCLIENT_DENIED);
  char c = 'x', back = 0;
  EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_OK)
      << "a failed renewal ended the session: " << keyclient_error();
}

TEST_F(Session, ARevocationShowsOnTheDescriptorAndInTheNextCall) {
  authenticate();
  pollfd entry{keyclient_descriptor(client_), POLLIN, 0};
  EXPECT_EQ(::poll(&entry, 1, 0), 0);
  const auto result = keyd_.keyadm({"revoke", std::to_string(::getpid())});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(::poll(&entry, 1, 2000), 1);
  char c = 'x', back = 0;
  EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_GONE);
  EXPECT_NE(std::string(keyclient_error()).find("administrator"), std::string::npos) << keyclient_error();
}

TEST_F(Session, EndsWithTheUser) {
  for (const auto& verb : {"disable", "remove"}) {
    authenticate();
    ASSERT_EQ(keyd_.keyadm({"user", verb, "alice"}).exit_code, 0);
    EXPECT_TRUE(keyd_.wait_for_state(::getpid(), "REVOKED"));
    char c = 'x', back = 0;
    EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_GONE);
    (void)keyd_.keyadm({"user", "enable", "alice"});
  }
}

TEST_F(Session, SaysClearlyThatKeydWasRestartedAndGoesOnAfterwards) {
  authenticate();
  keyd_.kill();
  char c = 'x', back = 0;
  EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_GONE);
  EXPECT_NE(std::string(keyclient_error()).find("restarted"), std::string::npos) << keyclient_error();
  const auto login = login_of("alice", "right");
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_UNREACHABLE);
  ASSERT_TRUE(keyd_.start());
  authenticate();
  EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_OK);
}

TEST_F(Session, AForkedChildIsToldSoAndTheParentsSessionLives) {
  authenticate();
  Forked child([&](Forked::Child&) {
    char c = 'x', back = 0;
    if (keyclient_echo(client_, &c, 1, &back) != KEYCLIENT_FORKED) return 1;
    keyclient_close(client_);
    keyclient_t* own = open();  // a handle of its own works
    const auto login = login_of("alice", "right");
    const bool in = own != nullptr && keyclient_authenticate(own, &login) == KEYCLIENT_OK;
    keyclient_close(own);
    return in ? 0 : 2;
  });
  EXPECT_EQ(child.wait(), 0);
  char c = 'x', back = 0;
  EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_OK) << keyclient_error();
}

// clone(2) as a container's starter calls it: no handler of pthread_atfork(3) has run, and the pool's pages are not
// there.
TEST_F(Session, AChildOfABareCloneIsToldSoTooMayCloseTheHandleAndOpenItsOwn) {
  authenticate();
  const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  ASSERT_GE(child, 0);
  if (child == 0) {
    char c = 'x', back = 0;
    if (keyclient_echo(client_, &c, 1, &back) != KEYCLIENT_FORKED) ::_exit(1);
    keyclient_close(client_);
    keyclient_t* own = open();
    const auto login = login_of("alice", "right");
    if (own == nullptr || keyclient_authenticate(own, &login) != KEYCLIENT_OK) ::_exit(2);
    if (keyclient_echo(own, &c, 1, &back) != KEYCLIENT_OK || back != 'x') ::_exit(3);
    keyclient_close(own);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  char c = 'x', back = 0;
  EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_OK) << keyclient_error();
}

TEST_F(Session, ServesSeveralThreadsOfOneHandle) {
  authenticate();
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const int sent = t * 1000 + i;
        int back = -1;
        keyclient_identity who{};
        who.size = sizeof who;
        if (keyclient_echo(client_, &sent, sizeof sent, &back) != KEYCLIENT_OK || back != sent) continue;
        // The other threads' echoes have keyd write this record. A look-up does not wait for it: one that
        // comes while keyd has lost the processor in the middle cannot tell, and is asked again.
        keyclient_status status = KEYCLIENT_UNKNOWN;
        (void)eventually([&] {
          status = keyclient_lookup_pid(client_, static_cast<std::uint32_t>(::getpid()), &who);
          return status != KEYCLIENT_UNKNOWN;
        });
        if (status == KEYCLIENT_OK) ++good;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 800);
}

TEST_F(HurriedSession, RunsTheExchangeOnceMoreWhenThePasswordTookTooLong) {
  keyclient_login login{};
  login.size = sizeof login;
  login.user = "alice";
  login.scheme = "challenge";
  int asked = 0;
  login.password_context = &asked;
  login.password_callback = [](void* context, char* buffer, std::size_t, std::size_t* length) {
    ++*static_cast<int*>(context);
    std::this_thread::sleep_for(kTooLong);
    std::memcpy(buffer, "right", 5);
    *length = 5;
    return 0;
  };
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(asked, 1);
}

TEST_F(Session, ACancelledPasswordLeavesNothing) {
  keyclient_login login{};
  login.size = sizeof login;
  login.user = "alice";
  login.scheme = "challenge";
  login.password_callback = [](void*, char*, std::size_t, std::size_t*) { return 1; };
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_CANCELLED);
  EXPECT_TRUE(keyd_.wait_for_state(::getpid(), "REVOKED"));  // its connection is closed
}

TEST_F(Session, ACancelledRenewalLeavesTheSessionAndCanBeTriedAgain) {
  authenticate();
  keyclient_login cancelled{};
  cancelled.size = sizeof cancelled;
  cancelled.user = "alice";
  cancelled.scheme = "challenge";
  cancelled.password_callback = [](void*, char*, std::size_t, std::size_t*) { return 1; };
  EXPECT_EQ(keyclient_authenticate(client_, &cancelled), KEYCLIENT_CANCELLED);
  authenticate();
  char c = 'x', back = 0;
  EXPECT_EQ(keyclient_echo(client_, &c, 1, &back), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");
}

TEST_F(HurriedSession, ARenewalWhosePasswordTookTooLongIsRunOnceMore) {
  authenticate();
  keyclient_login login{};
  login.size = sizeof login;
  login.user = "alice";
  login.scheme = "challenge";
  login.password_callback = [](void*, char* buffer, std::size_t, std::size_t* length) {
    std::this_thread::sleep_for(kTooLong);
    std::memcpy(buffer, "right", 5);
    *length = 5;
    return 0;
  };
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(keyd_.state_of(::getpid()), "COMPLETE");
}

TEST_F(Session, RefusesArgumentsThatMakeNoSense) {
  keyclient_login login = login_of("alice", "right");
  login.scheme = "rot13";
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_UNSUPPORTED);
  login = login_of("a\nb", "right");
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_INVALID);
  login = login_of("alice", "right");
  login.size = 3;
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_INVALID);
  login = login_of("alice", "right");
  login.suite = "historic";
  EXPECT_EQ(keyclient_authenticate(client_, &login), KEYCLIENT_REFUSED);  // not offered here
  EXPECT_EQ(keyclient_authenticate(nullptr, &login), KEYCLIENT_INVALID);
}

TEST_F(Session, TheCxxFaceDoesTheSame) {
  keyd_.enrol("carol", "right", {"--scheme", "srp"});
  keyd_.set_credential("carol", "token", "value");
  keyclient::Client client(keyd_.runtime_dir());
  client.authenticate("carol", [](char* buffer, std::size_t) {
    std::memcpy(buffer, "right", 5);
    return std::size_t{5};
  });
  const auto who = client.whoami();
  ASSERT_TRUE(who);
  EXPECT_STREQ(who->user, "carol");
  const auto value = client.credential("token");
  EXPECT_EQ(std::string(value.begin(), value.end()), "value");
  EXPECT_THROW((void)client.credential("none"), keyclient::Error);
}

TEST_F(Session, OutOfLockedMemoryIsARefusalAndNotTheEndOfKeyd) {
  if (!kMlockWorks) GTEST_SKIP() << "a sanitizer has replaced mlock(2): memory never runs out";
  keyd_.set_credential("alice", "large", std::string(60000, 'v'));
  keyd_.stop();  // its pool is what it could lock at its start
  std::vector<std::string> launcher{"/usr/bin/prlimit", "--memlock=131072:131072"};
  if (::geteuid() == 0)
    launcher.insert(launcher.begin(), {"/usr/bin/setpriv", "--bounding-set", "-ipc_lock"});
  keyd_.start_under(launcher);
  std::ofstream(keyd_.config_file(), std::ios::app)
      << "[srp]\npool = 0\n";  // there is no room for numbers ahead
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  authenticate();
  std::vector<char> value(65536);
  std::size_t size = value.size();
  EXPECT_NE(keyclient_credential(client_, "large", value.data(), &size), KEYCLIENT_OK);
  EXPECT_EQ(keyd_.log().find("credential.released"), std::string::npos) << "told as given away, and was not";
  EXPECT_TRUE(keyd_.is_healthy()) << "keyd is gone";
  authenticate();
}

TEST(SessionWithoutKeyd, OpenSaysThatKeydIsNotThere) {
  keyclient_options options{};
  options.size = sizeof options;
  options.runtime_dir = "/nonexistent";
  keyclient_t* client = nullptr;
  EXPECT_EQ(keyclient_open(&options, &client), KEYCLIENT_UNREACHABLE);
  EXPECT_EQ(client, nullptr);
}

}  // namespace
}  // namespace keyd::testing
