// The next process with the same pid, as soon as that is free and within the same tick of its start time: it has
// nothing of the former's. With a number that is chosen in keyd's own pid namespace; in a child namespace that has
// so few numbers that they come round by themselves; and with keyd in that namespace too. A thousand of each whose
// start times are equal; fewer on a machine that hardly ever gets through one within a tick.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

#include "core/base/clock.h"
#include "core/kernel/pidfd.h"
#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/conversation.h"
#include "tests/support/eventually.h"
#include "tests/support/fork_as.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

constexpr int kRounds =
    kSanitized ? 100 : 1000;   // whose start times are equal; a sanitized client is too slow
constexpr int kFewPids = 320;  // the least that Linux grants is 301, and 300 are kept back

// fork_as() by waiting until the number comes round again. Numbers in between are given to processes that end at
// once and cost little.
pid_t fork_at(pid_t pid) {
  for (pid_t last = 0;;) {
    if (last == pid - 1) {
      const pid_t child = ::fork();
      if (child <= 0 || child == pid) return child;
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    last = ::vfork();
    if (last == 0) ::_exit(0);
    if (last < 0) return -1;
    ::waitpid(last, nullptr, 0);
  }
}

std::string start_time(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string field;
  for (int i = 0; i < 22; ++i) file >> field;  // the command's name here has no blank
  return field;
}

std::uint64_t inode_of(pid_t pid) {
  const auto pidfd = kernel::open_pidfd(pid);
  return pidfd ? kernel::pidfs_inode(pidfd->get()).value_or(0) : 0;
}

// Two processes, one after the other, with one number, in the pid namespace of whoever directs them.
class Successors {
 public:
  using Fork = pid_t (*)(pid_t);
  Successors(const PrivateKeyd& keyd, pid_t wanted, Fork fork)
      : keyd_(keyd), runtime_dir_(keyd.runtime_dir()), wanted_(wanted), fork_(fork) {
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk_.data()) != 0) ::abort();
    client_ = open_client();
  }
  ~Successors() {
    keyclient_close(client_);
    ::close(talk_[0]);
    ::close(talk_[1]);
  }
  Successors(const Successors&) = delete;
  Successors& operator=(const Successors&) = delete;

  // One after the other. Empty: the next one had nothing of the former's; else what went wrong.
  std::string round() {
    const pid_t former = spawn([&] { return be_former(); });
    if (former != wanted_) return "the former has another pid: " + std::to_string(former);
    const std::string its_start = start_time(former);
    const std::uint64_t its_inode = inode_of(former);
    Bytes packet(wire::kMaxPacket);
    wire::Received received;
    if (is_spoken_to()) received = wire::receive_packet(talk_[0], packet);
    keyclient_identity before{};
    const bool known = look_up(its_inode, before) && before.state == KEYCLIENT_STATE_COMPLETE;
    ::kill(former, SIGKILL);
    ::waitpid(former, nullptr, 0);
    if (!received.descriptor.valid()) return "the former did not authenticate";
    if (!known) return "the former has no record";
    const ByteView session = ByteView(packet).first(16),
                   sealed = ByteView(packet).subspan(16, received.size - 16);

    // Its connection lives on: this process and the next one hold it.
    const pid_t next = spawn([&] { return be_next(received.descriptor.get(), session, sealed); });
    if (next != wanted_) return "the next one has another pid: " + std::to_string(next);
    equal_starts += kSanitized || start_time(next) == its_start;
    std::string problem;
    std::array<std::uint8_t, 4> word{};
    keyclient_identity after{};
    if (is_spoken_to() && wire::receive_packet(talk_[0], word).size == 1) {
      const std::uint64_t inode = inode_of(next);
      if (inode == its_inode) problem = "two processes have one inode";
      if (!look_up(inode, after) || after.state != KEYCLIENT_STATE_PENDING)
        problem = "the next one is not PENDING";
      if (std::ranges::equal(after.session_id, before.session_id))
        problem = "the next one has the former's session";
      if (look_up(its_inode, after) && after.state == KEYCLIENT_STATE_COMPLETE)
        problem = "the former is COMPLETE";
      ::kill(next, SIGKILL);
    }
    int status = 0;
    ::waitpid(next, &status, 0);
    if (!WIFSIGNALED(status)) problem = "the next one ended at step " + std::to_string(WEXITSTATUS(status));
    return problem;
  }

  // Rounds until `wanted` of them had equal start times, or fifty times as many were made. Empty, or the first problem.
  // One in which keyd lost events (in tier watch, where the machine is busy with other processes) shows nothing: it
  // revokes everybody then.
  std::string rounds(int wanted) {
    for (made = 0; equal_starts < wanted; ++made) {
      if (made == 50 * wanted) return equal_starts > 0 ? "" : "start times are never equal";
      const auto told = std::filesystem::file_size(keyd_.directory() + "/log");
      const int before = equal_starts;
      const std::string problem = round();
      if (problem.empty()) continue;
      if (!eventually([&] { return keyd_.log().find("process events were lost", told) != std::string::npos; },
                      2))
        return "round " + std::to_string(made) + ": " + problem;
      equal_starts = before;
    }
    return {};
  }

  int made = 0, equal_starts = 0;

 private:
  template <typename Body>
  pid_t spawn(Body body) {
    const BootTime deadline = boot_now() + 120 * kSecond;
    for (;;) {
      const pid_t child = fork_(wanted_);
      if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::_exit(body());
      }
      if (child > 0 || boot_now() > deadline) return child;
    }
  }

  [[nodiscard]] bool is_spoken_to() const {
    pollfd entry{talk_[0], POLLIN, 0};
    return ::poll(&entry, 1, 10000) == 1;
  }
  [[nodiscard]] keyclient_t* open_client() const {
    keyclient_options options{};
    options.size = sizeof options;
    options.runtime_dir = runtime_dir_.c_str();
    keyclient_t* client = nullptr;
    return keyclient_open(&options, &client) == KEYCLIENT_OK ? client : nullptr;
  }
  bool look_up(std::uint64_t inode, keyclient_identity& out) const {
    out.size = sizeof out;
    const auto status = keyclient_lookup_inode(client_, inode, &out);
    return status == KEYCLIENT_OK || status == KEYCLIENT_NOT_AUTHENTICATED;
  }

  // Tries until keyd is not behind with the kernel's events any more: so it is told to.
  template <typename Try>
  static void until_not_behind(Try attempt) {
    (void)eventually([&] { return attempt().last_packet.refused().code() != wire::REFUSAL_BUSY; }, 5);
  }
  bool begins(std::optional<RawClient>& raw, const wire::ChallengeStart& choice) const {
    bool begun = false;
    until_not_behind([&]() -> const RawClient& {
      raw.emplace(runtime_dir_);
      begun = raw->start(choice);
      return *raw;
    });
    return begun;
  }

  // The former: authenticates, hands its connection and a sealed request over, and stays until it is killed.
  int be_former() {
    std::optional<Conversation> conversation;
    until_not_behind(
        [&]() -> const RawClient& { return conversation.emplace(runtime_dir_, Stage::kEstablished).raw; });
    wire::SessionRequest request;
    request.mutable_credential()->set_name("token");
    if (!conversation->reached()) return 1;
    const ByteView session = bytes_of(conversation->raw.machine->session_id());
    Bytes packet(session.begin(), session.end());
    const Bytes sealed = conversation->record(request);
    packet.insert(packet.end(), sealed.begin(), sealed.end());
    if (!wire::send_packet(talk_[1], packet, conversation->raw.descriptor())) return 2;
    ::pause();
    return 3;
  }

  // The next one: tries everything that the former had.
  int be_next(int connection, ByteView session, ByteView sealed) {
    keyclient_t* const client = open_client();
    keyclient_identity who{};
    who.size = sizeof who;
    if (client == nullptr) return 1;
    if (keyclient_whoami(client, &who) != KEYCLIENT_NOT_AUTHENTICATED || who.state != KEYCLIENT_STATE_NONE)
      return 2;
    // Its connection: ended, or ends when another process speaks on it.
    Bytes answer(wire::kMaxPacket);
    wire::ServerPacket said;
    if (wire::send_packet(connection, sealed)) {
      const auto heard = wire::receive_packet(connection, answer);
      if (heard.outcome == wire::ReceiveOutcome::kPacket &&
          (wire::decode(ByteView(answer).first(heard.size), said) != wire::Decoded::kMessage ||
           !said.has_refused())) {
        return 3;
      }
    }
    auto renewal = RawClient::choice("alice");
    renewal.set_renews(std::string(text_of(session)));
    std::optional<RawClient> renewing, own;
    if (begins(renewing, renewal) || renewing->last_packet.refused().code() != wire::REFUSAL_GONE) return 4;
    // And in its own right it begins like anybody.
    if (!begins(own, RawClient::choice("alice"))) return 5;
    if (keyclient_whoami(client, &who) != KEYCLIENT_NOT_AUTHENTICATED || who.state != KEYCLIENT_STATE_PENDING)
      return 6;
    const Bytes pending{'p'};
    if (!wire::send_packet(talk_[1], pending)) return 7;
    ::pause();
    return 8;
  }

  const PrivateKeyd& keyd_;
  std::string runtime_dir_;
  pid_t wanted_;
  Fork fork_;
  std::array<int, 2> talk_{};
  keyclient_t* client_ = nullptr;
};

// Whether a pid namespace has a pid_max of its own (Linux 6.14): elsewhere that is the whole machine's.
bool namespaces_have_a_pid_max() {
  utsname name{};
  int major = 0, minor = 0;
  return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 14));
}

// Runs `body` as the first process of a pid namespace with kFewPids numbers and its own /proc. What it returns.
std::string among_few_pids(const std::function<std::string()>& body) {
  Forked outside([&](Forked::Child& child) {
    if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) return 1;
    const pid_t first = ::fork();
    if (first == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::string said = "cannot set up the namespace";
      if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
          ::mount("proc", "/proc", "proc", 0, nullptr) == 0 &&
          (std::ofstream("/proc/sys/kernel/pid_max") << kFewPids << std::flush)) {
        said = body();
      }
      child.say(said.empty() ? "right" : said);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(first, &status, 0);
    if (status != 0) child.say("the first process ended with wait status " + std::to_string(status));
    return 0;
  });
  std::string said;
  for (int i = 0; i < 60 && said.empty(); ++i) said = outside.hear();
  return said;
}

class PidReuse : public BesiegedKeyd {};

TEST_F(PidReuse, TheNextProcessWithThePidHasNothingOfTheFormers) {
  const pid_t probe = ::fork();
  if (probe == 0) ::_exit(0);
  ::waitpid(probe, nullptr, 0);
  if (const pid_t child = fork_as(probe); child == 0) {
    ::_exit(0);
  } else if (child < 0 && errno != EEXIST) {
    GTEST_SKIP() << "needs CAP_CHECKPOINT_RESTORE to choose a pid";
  } else if (child > 0) {
    ::waitpid(child, nullptr, 0);
  }
  Successors successors(keyd_, probe, fork_as);
  EXPECT_EQ(successors.rounds(kRounds), "");
  std::printf("  %d successions, %d of them with equal start times\n", successors.made,
              successors.equal_starts);
  expect_unharmed(probe, Standing());
  EXPECT_EQ(keyd_.log().find("credential.released"), std::string::npos);
}

TEST_F(PidReuse, NorHasItInANamespaceWhoseFewNumbersComeRound) {
  if (!namespaces_have_a_pid_max()) GTEST_SKIP() << "pid_max is the machine's before Linux 6.14";
  EXPECT_EQ(among_few_pids([&]() -> std::string {
              Successors successors(keyd_, kFewPids - 5, fork_at);
              return successors.rounds(kRounds);
            }),
            "right");
  expect_unharmed(::getpid(), Standing());
  EXPECT_EQ(keyd_.log().find("credential.released"), std::string::npos);
}

TEST(PidReuseWithin, AKeydWhoseOwnNamespaceHasFewNumbersTakesNobodyForAnother) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to make a namespace";
  if (!namespaces_have_a_pid_max()) GTEST_SKIP() << "pid_max is the machine's before Linux 6.14";
  EXPECT_EQ(among_few_pids([]() -> std::string {
              PrivateKeyd keyd(lenient_config(in_a_steady_tier()));  // watch does not hold in here
              if (!keyd.start()) return "keyd does not start: " + keyd.log();
              keyd.enrol("alice", "right");
              keyd.set_credential("alice", "token", "the-value");
              Successors successors(keyd, kFewPids - 5, fork_at);
              std::string problem = successors.rounds(kRounds);
              if (keyd.log().find("credential.released") != std::string::npos)
                problem = "a credential was given away";
              return problem;
            }),
            "right");
}

}  // namespace
}  // namespace keyd::testing
