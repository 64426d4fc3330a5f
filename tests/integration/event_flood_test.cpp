// Tier watch while somebody makes process events as fast as the machine can: whoever execs or changes its ids
// in a loop costs nobody else their record, and what ought to end a record still does. The rates are printed;
// KEYD_SOAK=1 goes on for longer.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/crypto/random.h"
#include "core/kernel/proc_connector.h"
#include "tests/support/connector_operations.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::seconds duration() { return std::chrono::seconds(::getenv("KEYD_SOAK") != nullptr ? 20 : 3); }

std::chrono::seconds flood_of_operations() {
  return std::chrono::seconds(::getenv("KEYD_SOAK") != nullptr ? 20 : 1);
}

// Processes that repeat something until they are killed, and count it.
class Flood {
 public:
  template <typename Once>
  Flood(int processes, const Once& once) {
    counter_ = static_cast<std::atomic<std::uint64_t>*>(
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    for (int i = 0; i < processes; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (std::uint64_t n = 0;; ++n) {
          if (!once(n)) ::_exit(1);
          counter_->fetch_add(1, std::memory_order_relaxed);
        }
      }
      children_.push_back(child);
    }
  }
  ~Flood() {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    ::munmap(counter_, 4096);
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  [[nodiscard]] std::uint64_t count() const { return counter_->load(); }

 private:
  std::atomic<std::uint64_t>* counter_;
  std::vector<pid_t> children_;
};

bool exec_once(std::uint64_t) {
  const pid_t child = ::vfork();
  if (child == 0) {
    ::execl("/bin/true", "true", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

bool change_ids_once(std::uint64_t n) { return ::seteuid(n % 2 == 0 ? 65534 : 0) == 0; }

// As any user can: operations of the process connector, over and over.
class Operations {
 public:
  Operations() : socket_(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR)) {}
  bool say(std::uint32_t operation) {
    if (::geteuid() == 0 && (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0))
      return false;
    return say_to_connector(socket_.get(), operation);
  }

 private:
  UniqueFd socket_;
};
constexpr std::uint32_t kInvalid = 99;

class EventFlood : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    if (keyd_.keystat({}).out.find("watch") == std::string::npos) GTEST_SKIP() << "no tier watch here";
    keyd_.enrol("alice", "right");
  }

  // A client that logs in, then does what it is told.
  static int obey(const std::string& runtime_dir, Forked::Child& child) {
    RawClient raw(runtime_dir);
    child.say(raw.start(RawClient::choice("alice")) && raw.prove("right") ? "in" : "out");
    for (std::string order = child.hear(); !order.empty(); order = child.hear()) {
      if (order == "setgid") child.say(::setresgid(65534, 65534, 65534) == 0 ? "done" : "failed");
      if (order == "exec") {
        ::fcntl(raw.descriptor(), F_SETFD, 0);  // the record shall not fall by the connection's end
        ::execl("/bin/sleep", "sleep", "60", static_cast<char*>(nullptr));
      }
    }
    return 0;
  }

  // Exchanges as fast as they go, for the time; the number of them, or nothing when one failed.
  [[nodiscard]] std::optional<int> serve_during(std::chrono::seconds time) {
    int served = 0;
    for (const auto end = Clock::now() + time; Clock::now() < end; ++served) {
      RawClient raw(keyd_.runtime_dir());
      if (!raw.start(RawClient::choice("alice")) || !raw.prove("right")) return std::nullopt;
      wire::SessionRequest request;
      request.mutable_end();
      (void)raw.ask(request);
    }
    return served;
  }

  // Asks keyd whether it lives, for the time; the longest it took, or nothing when once it did not answer.
  [[nodiscard]] std::optional<double> lives_during(std::chrono::milliseconds time) {
    double longest = 0;
    for (const auto end = Clock::now() + time; Clock::now() < end;) {
      const auto asked = Clock::now();
      if (keyd_.keyadm({"health", "--live"}).exit_code != 0) return std::nullopt;
      longest = std::max(longest, std::chrono::duration<double>(Clock::now() - asked).count());
    }
    return longest;
  }

  static void report(const char* what, const Flood& flood, std::optional<int> served,
                     std::chrono::milliseconds time = duration()) {
    const double seconds = std::chrono::duration<double>(time).count();
    std::printf("  %s: %.0f a second; keyd served %.0f exchanges a second\n", what,
                static_cast<double>(flood.count()) / seconds, served.value_or(0) / seconds);
  }

  PrivateKeyd keyd_{"[daemon]\ntier = \"watch\"\n"};
};

TEST_F(EventFlood, ExecsOfOthersEndNobodysRecordAndOnesOwnStillDoes) {
  Forked bystander([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
  Forked leaver([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
  ASSERT_EQ(bystander.hear(), "in");
  ASSERT_EQ(leaver.hear(), "in");
  const Flood flood(4, exec_once);
  const auto served = serve_during(duration());
  report("execs", flood, served);
  ASSERT_TRUE(served);
  EXPECT_EQ(keyd_.state_of(bystander.pid()), "COMPLETE") << keyd_.log();
  EXPECT_EQ(keyd_.log().find("events were lost"), std::string::npos);
  leaver.say("exec");
  EXPECT_TRUE(keyd_.wait_for_state(leaver.pid(), "REVOKED", 10));
}

TEST_F(EventFlood, WhatOtherKeydsSayAtTheirStartKeepsNobodyWaiting) {
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(::kill(keyd_.pid(), SIGSTOP), 0);
    const auto another = kernel::ProcConnector::open(), third = kernel::ProcConnector::open();
    Forked client([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      exchange::ChallengeClient machine(RawClient::choice("alice"));
      child.say(raw.send(*machine.start(crypto::fill_random)) ? "sent" : "not sent");
      const auto answer = raw.receive_message();
      child.say(answer.has_challenge_numbers() ? "challenged" : answer.refused().text());
      return 0;
    });
    EXPECT_EQ(client.hear(), "sent");
    ASSERT_EQ(::kill(keyd_.pid(), SIGCONT), 0);
    ASSERT_TRUE(another && third);
    EXPECT_EQ(client.hear(), "challenged") << i;
  }
}

TEST_F(EventFlood, ChangesOfIdsOfOthersEndNobodysRecordAndOnesOwnStillDoes) {
  Forked bystander([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
  Forked leaver([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
  ASSERT_EQ(bystander.hear(), "in");
  ASSERT_EQ(leaver.hear(), "in");
  const Flood flood(2, change_ids_once);
  const auto served = serve_during(duration());
  report("changes of ids", flood, served);
  ASSERT_TRUE(served);
  EXPECT_EQ(keyd_.state_of(bystander.pid()), "COMPLETE") << keyd_.log();
  EXPECT_EQ(keyd_.log().find("events were lost"), std::string::npos);
  leaver.say("setgid");
  EXPECT_EQ(leaver.hear(), "done");
  EXPECT_TRUE(keyd_.wait_for_state(leaver.pid(), "REVOKED", 10)) << "its change was lost among the others'";
  EXPECT_EQ(keyd_.state_of(bystander.pid()), "COMPLETE");
}

TEST_F(EventFlood, InvalidOperationsOnTheConnectorCostNobodyAnything) {
  Forked bystander([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
  Forked leaver([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
  ASSERT_EQ(bystander.hear(), "in");
  ASSERT_EQ(leaver.hear(), "in");
  Operations operations;
  const Flood flood(2, [&](std::uint64_t) { return operations.say(kInvalid); });
  const auto time = flood_of_operations();
  const auto longest = lives_during(time);
  report("invalid operations", flood, std::nullopt, time);
  ASSERT_TRUE(longest) << keyd_.log();
  std::printf("  the longest keyadm health --live took %.3f s\n", *longest);
  const CommandResult shown = keyd_.keystat({});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_EQ(keyd_.state_of(bystander.pid()), "COMPLETE") << keyd_.log();
  EXPECT_EQ(keyd_.log().find("events were lost"), std::string::npos);
  leaver.say("exec");
  EXPECT_TRUE(keyd_.wait_for_state(leaver.pid(), "REVOKED", 10));
  EXPECT_EQ(keyd_.state_of(bystander.pid()), "COMPLETE") << keyd_.log();
}

// Every second pair gives back what the one before it has taken: to whoever reckons that is the same, and the
// machine's other keyds are not silenced in earnest.
TEST_F(EventFlood, OperationsThatCouldSilenceTheConnectorLeaveNoRecordToAnotherProgram) {
  Operations operations;
  const Flood flood(1, [&](std::uint64_t n) {
    return operations.say(kInvalid) &&
           operations.say(n % 2 == 0 ? PROC_CN_MCAST_LISTEN : PROC_CN_MCAST_IGNORE);
  });
  const auto time = flood_of_operations();
  const auto begun = Clock::now();
  std::optional<double> longest = 0;
  int in = 0, refused = 0;
  while (longest && Clock::now() - begun < time) {
    Forked client([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
    ++(client.hear() == "in" ? in : refused);
    client.say("exec");
    const std::string image = "/proc/" + std::to_string(client.pid()) + "/exe";
    for (int i = 0; i < 1000 && std::filesystem::read_symlink(image).filename() != "sleep"; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const auto settled = Clock::now() + std::chrono::seconds(10);
    while (keyd_.state_of(client.pid()) == "COMPLETE") ASSERT_LT(Clock::now(), settled) << keyd_.log();
    const auto took = lives_during(std::chrono::milliseconds(1));
    longest = took ? std::optional(std::max(*longest, *took)) : std::nullopt;
  }
  report("pairs of operations", flood, std::nullopt, time);
  ASSERT_TRUE(longest) << keyd_.log();
  std::printf("  the longest keyadm health --live took %.3f s; %d clients came in, %d were refused\n",
              *longest, in, refused);
}

TEST_F(EventFlood, WhatAStoppedKeydWasToldIsDoneWhenItGoesOn) {
  // The buffer holds more execs than the old one did, and the one that counts among them.
  Forked leaver([&](Forked::Child& child) { return obey(keyd_.runtime_dir(), child); });
  ASSERT_EQ(leaver.hear(), "in");
  ASSERT_EQ(::kill(keyd_.pid(), SIGSTOP), 0);
  leaver.say("exec");
  {
    const Flood flood(2, exec_once);
    for (const auto end = Clock::now() + std::chrono::seconds(10); flood.count() < 2000;) {
      ASSERT_LT(Clock::now(), end);
      std::this_thread::yield();
    }
  }
  ASSERT_EQ(::kill(keyd_.pid(), SIGCONT), 0);
  EXPECT_TRUE(keyd_.wait_for_state(leaver.pid(), "REVOKED", 10));
}

}  // namespace
}  // namespace keyd::testing
