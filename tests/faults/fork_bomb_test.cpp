// One uid forks as fast as it may, and its children connect, exec or just end. Somebody else's hundred
// exchanges come through all the same. The bomb is bounded (RLIMIT_NPROC) and lives in a pid namespace, which
// goes with its first process.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>

#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

constexpr uid_t kBomber = 61183, kOther = 61184;
constexpr rlim_t kProcesses = 96;

struct Count {
  std::atomic<long> forks{0}, refused{0};
};

void become(uid_t uid) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(uid, uid, uid) != 0 || ::setresuid(uid, uid, uid) != 0)
    ::_exit(9);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // setresuid has taken it away
}

// What each of the bomb's processes comes to.
void be_a_nuisance(const std::string& runtime_dir, long number) {
  if (number % 3 == 0) {
    ::execl("/bin/true", "true", nullptr);
  } else if (number % 3 == 1) {
    RawClient raw(runtime_dir);
    (void)raw.send(wire::ClientPacket());
    if (raw.start(RawClient::choice("alice"))) (void)raw.closed_within(0.2);
  }
  ::_exit(0);
}

[[noreturn]] void bomb(const std::string& runtime_dir, Count& count) {
  const rlimit processes{kProcesses, kProcesses};
  ::setrlimit(RLIMIT_NPROC, &processes);
  become(kBomber);
  ::signal(SIGCHLD, SIG_IGN);  // nobody waits for them
  for (int i = 0; i < 4 && ::fork() != 0; ++i) continue;
  for (;;) {
    const long number = ++count.forks;
    const pid_t child = ::fork();
    if (child == 0) be_a_nuisance(runtime_dir, number);
    if (child < 0) ++count.refused;
  }
}

int exchange_as_other(const std::string& runtime_dir) {
  become(kOther);
  keyclient_options options{};
  options.size = sizeof options;
  options.runtime_dir = runtime_dir.c_str();
  keyclient_t* client = nullptr;
  if (const auto opened = keyclient_open(&options, &client); opened != KEYCLIENT_OK) return opened;
  keyclient_login login{};
  login.size = sizeof login;
  login.user = "alice";
  login.scheme = "challenge";
  login.password = "right";
  login.password_size = 5;
  // Tier watch says so when the bomb's own execs are more than it has read; it is for the client to ask again. That there
  // is no room for it is another matter: that is what the bomb must not bring about.
  keyclient_status done = KEYCLIENT_BUSY;
  (void)eventually([&] {
    done = keyclient_authenticate(client, &login);
    return done != KEYCLIENT_BUSY ||
           std::string(keyclient_error()).find("process events") == std::string::npos;
  });
  if (done != KEYCLIENT_OK) return done;
  std::string value(64, '\0');
  std::size_t size = value.size();
  return keyclient_credential(client, "token", value.data(), &size);
}

class ForkBomb : public ::testing::TestWithParam<const char*> {};

TEST_P(ForkBomb, OfOneUidLeavesAnotherItsHundredExchanges) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to be two other users";
  PrivateKeyd keyd("[daemon]\ntier = \"" + std::string(GetParam()) + "\"\n");
  if (!keyd.start()) GTEST_SKIP() << "this machine has no tier " << GetParam();
  keyd.enrol("alice", "right");
  keyd.set_credential("alice", "token", "value");
  void* const shared =
      ::mmap(nullptr, sizeof(Count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  Count& count = *new (shared) Count;
  int came_through = 0;
  {
    Forked bomber([&](Forked::Child& parent) {
      if (::unshare(CLONE_NEWPID) != 0) return 1;
      const pid_t first = ::fork();
      if (first == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        bomb(keyd.runtime_dir(), count);
      }
      parent.say("lit");
      int status = 0;
      return ::waitpid(first, &status, 0) == first ? 0 : 1;
    });
    ASSERT_EQ(bomber.hear(), "lit");
    while (count.refused == 0) ::sched_yield();  // until it has taken all it may
    for (int i = 0; i < 100; ++i) {
      Forked client([&](Forked::Child&) { return exchange_as_other(keyd.runtime_dir()); });
      const int status = client.wait();
      EXPECT_EQ(status, KEYCLIENT_OK)
          << "exchange " << i << ": " << keyclient_status_text(static_cast<keyclient_status>(status));
      came_through += status == KEYCLIENT_OK ? 1 : 0;
    }
  }
  const std::string log = keyd.log();
  int lost = 0;
  for (std::size_t at = 0; (at = log.find("watch-lost", at)) != std::string::npos; ++at) ++lost;
  std::printf("tier %s: %d of 100 exchanges beside %ld forks (%ld refused); watch-lost %d times\n",
              GetParam(), came_through, count.forks.load(), count.refused.load(), lost);
  RecordProperty("came_through", came_through);
  // And when it is over, the bomber is served as well.
  Forked after([&](Forked::Child&) {
    become(kBomber);
    RawClient raw(keyd.runtime_dir());
    return raw.authenticate("alice", "right") ? 0 : 1;
  });
  EXPECT_EQ(after.wait(), 0);
  ::munmap(shared, sizeof(Count));
}
INSTANTIATE_TEST_SUITE_P(InTier, ForkBomb, ::testing::Values("pidfd", "watch"),
                         [](const auto& tier) { return std::string(tier.param); });

}  // namespace
}  // namespace keyd::testing
