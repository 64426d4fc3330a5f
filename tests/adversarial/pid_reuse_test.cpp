// The next process with the same pid, made with the number of the one before in keyd's own pid namespace as
// soon as that is free, mostly within the same tick of its start time: it has nothing of the former's.
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "core/base/clock.h"
#include "tests/adversarial/besieged_keyd.h"
#include "tests/adversarial/conversation.h"

namespace keyd::testing {
namespace {

// fork() with a pid of the caller's choice; -1 where it is taken.
pid_t fork_as(pid_t pid) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<std::uint64_t>(&pid);
  arguments.set_tid_size = 1;
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

std::string start_time(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string field;
  for (int i = 0; i < 22; ++i) file >> field;  // the command's name here has no blank
  return field;
}

class PidReuse : public BesiegedKeyd {
 protected:
  void SetUp() override {
    BesiegedKeyd::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk_.data()), 0);
    const pid_t probe = ::fork();
    if (probe == 0) ::_exit(0);
    ::waitpid(probe, nullptr, 0);
    wanted_ = probe;
    if (const pid_t child = fork_as(wanted_); child == 0) {
      ::_exit(0);
    } else if (child < 0 && errno != EEXIST) {
      GTEST_SKIP() << "needs CAP_CHECKPOINT_RESTORE to choose a pid";
    } else if (child > 0) {
      ::waitpid(child, nullptr, 0);
    }
  }
  void TearDown() override {
    ::close(talk_[0]);
    ::close(talk_[1]);
    BesiegedKeyd::TearDown();
  }

  // A process with the wanted pid that runs `body`; another pid is wanted when somebody else has it.
  template <typename Body>
  pid_t spawn(Body body) {
    const BootTime deadline = boot_now() + 5 * kSecond;
    for (;;) {
      const pid_t child = fork_as(wanted_);
      if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::_exit(body());
      }
      if (child > 0 || boot_now() > deadline) return child;
    }
  }

  // The former: authenticates, hands its connection and a sealed request over, and stays until it is killed.
  int be_former() {
    Conversation conversation(runtime_dir(), Stage::kEstablished);
    wire::SessionRequest request;
    request.mutable_credential()->set_name("token");
    if (!conversation.reached()) return 1;
    Bytes packet(bytes_of(conversation.raw.machine->session_id()).begin(),
                 bytes_of(conversation.raw.machine->session_id()).end());
    const Bytes sealed = conversation.record(request);
    packet.insert(packet.end(), sealed.begin(), sealed.end());
    if (!wire::send_packet(talk_[1], packet, conversation.raw.descriptor())) return 2;
    ::pause();
    return 3;
  }

  // The next one: tries everything that the former had. 0: all in vain.
  int be_next(int connection, ByteView session, ByteView sealed) {
    keyclient_options options{};
    options.size = sizeof options;
    const std::string directory = runtime_dir();
    options.runtime_dir = directory.c_str();
    keyclient_t* client = nullptr;
    keyclient_identity who{};
    who.size = sizeof who;
    if (keyclient_open(&options, &client) != KEYCLIENT_OK) return 1;
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
    RawClient renewing(directory);
    if (renewing.start(renewal) || renewing.last_packet.refused().code() != wire::REFUSAL_GONE) return 4;
    // And in its own right it begins like anybody.
    RawClient own(directory);
    if (!own.start(RawClient::choice("alice"))) return 5;
    if (keyclient_whoami(client, &who) != KEYCLIENT_NOT_AUTHENTICATED || who.state != KEYCLIENT_STATE_PENDING)
      return 6;
    const Bytes pending{'p'};
    if (!wire::send_packet(talk_[1], pending)) return 7;
    ::pause();
    return 8;
  }

  std::array<int, 2> talk_{};
  pid_t wanted_ = -1;
};

TEST_F(PidReuse, TheNextProcessWithThePidHasNothingOfTheFormers) {
  const int rounds = is_soak() ? 1000 : 100;
  int same_tick = 0;
  for (int i = 0; i < rounds && !HasFailure(); ++i) {
    SCOPED_TRACE(i);
    const pid_t former = spawn([&] { return be_former(); });
    ASSERT_EQ(former, wanted_);
    const std::string former_start = start_time(former);
    Bytes packet(wire::kMaxPacket);
    const auto received = wire::receive_packet(talk_[0], packet);
    ASSERT_TRUE(received.descriptor.valid());
    ASSERT_EQ(standing_of(former).state, KEYCLIENT_STATE_COMPLETE);
    const ByteView session = ByteView(packet).first(16),
                   sealed = ByteView(packet).subspan(16, received.size - 16);
    const Standing former_standing = standing_of(former);
    ::kill(former, SIGKILL);
    ::waitpid(former, nullptr, 0);
    // Its connection lives on: this process and the next one hold it.
    const pid_t next = spawn([&] { return be_next(received.descriptor.get(), session, sealed); });
    ASSERT_EQ(next, wanted_);
    same_tick += start_time(next) == former_start;
    std::array<std::uint8_t, 4> word{};
    pollfd entry{talk_[0], POLLIN, 0};
    if (::poll(&entry, 1, 10000) == 1 && wire::receive_packet(talk_[0], word).size == 1) {
      EXPECT_EQ(standing_of(next).state, KEYCLIENT_STATE_PENDING);
      EXPECT_NE(standing_of(next).session, former_standing.session);
      ::kill(next, SIGKILL);
    }
    int status = 0;
    ::waitpid(next, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "it ended with " << WEXITSTATUS(status);
    expect_unharmed(next, Standing());
  }
  RecordProperty("rounds", rounds);
  RecordProperty("same_start_tick", same_tick);
  EXPECT_EQ(keyd_.log().find("credential.released"), std::string::npos);
}

}  // namespace
}  // namespace keyd::testing
