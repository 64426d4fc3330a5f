// keyd with few descriptors, little memory, little locked memory: it serves fewer, or says in one line why it
// does not start. It never ends in the middle, and what it lacked for some it has again when they have gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>

#include <algorithm>
#include <map>
#include <memory>

#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;

// Authenticates as alice and fetches a credential, says what it came to, and stays until it is told to go.
int client_main(const std::string& runtime_dir, const Forked::Child& parent) {
  keyclient_options options{};
  options.size = sizeof options;
  options.runtime_dir = runtime_dir.c_str();
  keyclient_t* client = nullptr;
  keyclient_status status = keyclient_open(&options, &client);
  keyclient_login login{};
  login.size = sizeof login;
  login.user = "alice";
  login.scheme = "challenge";
  login.password = "right";
  login.password_size = 5;
  if (status == KEYCLIENT_OK) status = keyclient_authenticate(client, &login);
  std::string value(64, '\0');
  std::size_t size = value.size();
  if (status == KEYCLIENT_OK) status = keyclient_credential(client, "token", value.data(), &size);
  parent.say(std::to_string(status));
  (void)parent.hear();
  keyclient_close(client);
  return 0;
}

class ScarceResources : public ::testing::Test {
 protected:
  static constexpr int kClients = 40;
  void prepare() {
    ASSERT_TRUE(keyd_.start());
    keyd_.enrol("alice", "right");
    keyd_.enrol("dora", "right", {"--scheme", "kryptoknight", "--scheme", "srp", "--allow-historic"});
    keyd_.set_credential("alice", "token", "value");
    keyd_.stop();
  }
  std::map<int, int> statuses_of(int count) {
    std::vector<std::unique_ptr<Forked>> clients;
    std::map<int, int> statuses;
    for (int i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<Forked>(
          [&](Forked::Child& parent) { return client_main(keyd_.runtime_dir(), parent); }));
      ++statuses[std::stoi("0" + clients.back()->hear())];
    }
    // What an administrator looks at meanwhile is told, or refused; it ends nothing.
    for (int i = 0; i < 5; ++i) (void)keyd_.keyadm({"user", "show", "dora"});
    for (const auto& client : clients) client->say("go");
    for (const auto& client : clients) client->wait();
    return statuses;
  }
  // keyd hears in its own time that those who were there have gone.
  bool comes_to_serve_one() {
    return eventually([&] { return statuses_of(1)[KEYCLIENT_OK] == 1; });
  }
  // Forty at once: some are served, the others are told that it is busy; then they go, and one is served.
  void expect_that_it_serves_some_and_recovers() {
    auto statuses = statuses_of(kClients);
    EXPECT_GT(statuses[KEYCLIENT_OK], 0);
    EXPECT_EQ(statuses[KEYCLIENT_OK] + statuses[KEYCLIENT_BUSY], kClients)
        << ::testing::PrintToString(statuses);
    EXPECT_TRUE(comes_to_serve_one());
    EXPECT_EQ(keyd_.keyadm({"user", "show", "alice"}).exit_code, 0);
  }
  // Started with less and less: refused with one line, or serving.
  int starts_below(const std::string& option, std::initializer_list<long> kibibytes,
                   std::vector<std::string> before = {}) {
    int started = 0;
    for (const long size : kibibytes) {
      SCOPED_TRACE(option + std::to_string(size) + " KiB");
      const std::string octets = std::to_string(size * 1024);
      std::vector<std::string> command = before;
      command.insert(command.end(), {"/usr/bin/prlimit", option + octets + ":" + octets});
      keyd_.start_under(command);
      const std::size_t log = keyd_.log().size();
      if (!keyd_.start()) {
        const std::string said = keyd_.log().substr(log);
        // Or it was not even begun: the loader, or a library's own initialization, had too little.
        EXPECT_TRUE(keyd_.exit_code() == 1 || said.find("error while loading") != std::string::npos ||
                    said == "terminate called without an active exception\n")
            << "it ended with " << keyd_.exit_code() << ": " << said;
        EXPECT_FALSE(said.empty());
        continue;
      }
      ++started;
      expect_that_it_serves_some_and_recovers();
      keyd_.stop();
      EXPECT_EQ(keyd_.exit_code(), 0);
    }
    return started;
  }
  PrivateKeyd keyd_{in_a_steady_tier() + "[table]\ncapacity = 1024\n"};
};

TEST_F(ScarceResources, With64DescriptorsItServesAFewTellsTheOthersAndRecovers) {
  prepare();
  keyd_.start_under({"/usr/bin/prlimit", "--nofile=64:64"});
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  auto statuses = statuses_of(kClients);
  EXPECT_GT(statuses[KEYCLIENT_OK], 0);
  EXPECT_GT(statuses[KEYCLIENT_BUSY], 0);
  std::printf("64 descriptors: %d of %d at a time\n", statuses[KEYCLIENT_OK], kClients);
  expect_that_it_serves_some_and_recovers();
}

TEST_F(ScarceResources, WithLittleMemoryItServesOrDoesNotStart) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs more address space than there is";
  prepare();
  EXPECT_GT(starts_below("--as=", {8192, 16384, 20480, 24576, 28672, 30720, 32768, 34816, 36864, 38912, 40960,
                                   45056, 49152, 65536, 98304, 131072, 196608, 262144, 524288}),
            0);
}

TEST_F(ScarceResources, WithLittleLockedMemoryItServesOrDoesNotStart) {
  if (!kMlockWorks) GTEST_SKIP() << "a sanitizer has replaced mlock by nothing";
  prepare();
  const std::vector<std::string> without_the_right_to_lock{"/usr/bin/setpriv", "--bounding-set", "-ipc_lock"};
  if (run({"/usr/bin/setpriv", "--bounding-set", "-ipc_lock", "/bin/true"}).exit_code != 0)
    GTEST_SKIP() << "needs root to give a capability up";
  EXPECT_EQ(starts_below("--memlock=", {0, 4}, without_the_right_to_lock), 0);
  EXPECT_GT(starts_below("--memlock=", {64, 128, 192, 256, 384, 512, 1024}, without_the_right_to_lock), 0);
}

TEST_F(ScarceResources, WithALimitOnTheSizeOfItsFilesItRefusesChangesAndLives) {
  prepare();
  keyd_.start_under({"/usr/bin/prlimit", "--fsize=262144:262144"});
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  CommandResult result{.exit_code = 0, .out = {}, .err = {}};
  for (int i = 0; i < 30 && result.exit_code == 0; ++i) {
    result = keyd_.keyadm({"credential", "set", "alice", "c" + std::to_string(i), "--value-fd", "0"},
                          std::string(30000, 'v'));
  }
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("nothing was changed"));
  EXPECT_TRUE(comes_to_serve_one());
  keyd_.stop();
  EXPECT_EQ(keyd_.exit_code(), 0);
}

}  // namespace
}  // namespace keyd::testing
