// Asking who is authenticated in another process.
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "core/kernel/pidfd.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

class Lookup : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
    keyclient_options options{};
    options.size = sizeof options;
    const std::string directory = keyd_.runtime_dir();
    options.runtime_dir = directory.c_str();
    ASSERT_EQ(keyclient_open(&options, &client_), KEYCLIENT_OK);
    who_.size = sizeof who_;
  }
  void TearDown() override { keyclient_close(client_); }

  // A process that is authenticated, until it hears a line; then it does `then`.
  std::unique_ptr<Forked> authenticated(const std::function<void(Forked::Child&)>& then = {}) {
    auto process = std::make_unique<Forked>([this, then](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      child.say(raw.authenticate("alice", "right") ? "in" : "out");
      child.hear();
      if (then) then(child);
      return 0;
    });
    EXPECT_EQ(process->hear(), "in");
    return process;
  }
  keyclient_status by_pid(pid_t pid) {
    return keyclient_lookup_pid(client_, static_cast<std::uint32_t>(pid), &who_);
  }
  // What look-ups say when they no longer say this; this, if they go on to.
  keyclient_status answer_after(keyclient_status present, pid_t pid) {
    keyclient_status status = present;
    (void)eventually([&] { return (status = by_pid(pid)) != present; });
    return status;
  }

  // A keyd that is stopped for seconds, while other tests start theirs, loses process events.
  PrivateKeyd keyd_{in_a_steady_tier()};
  keyclient_t* client_ = nullptr;
  keyclient_identity who_{};
};

TEST_F(Lookup, FindsByPidAndByInode) {
  const auto process = authenticated();
  ASSERT_EQ(by_pid(process->pid()), KEYCLIENT_OK) << keyclient_error();
  EXPECT_STREQ(who_.user, "alice");
  EXPECT_EQ(who_.state, KEYCLIENT_STATE_COMPLETE);
  EXPECT_EQ(who_.pid, static_cast<std::uint32_t>(process->pid()));
  EXPECT_NE(who_.on_exit, KEYCLIENT_NEVER);
  const auto pidfd = kernel::open_pidfd(process->pid());
  ASSERT_TRUE(pidfd);
  const std::uint64_t inode = *kernel::pidfs_inode(pidfd->get());
  EXPECT_EQ(who_.inode, inode);
  keyclient_identity again{};
  again.size = sizeof again;
  ASSERT_EQ(keyclient_lookup_inode(client_, inode, &again), KEYCLIENT_OK);
  EXPECT_STREQ(again.user, "alice");
  EXPECT_EQ(keyclient_lookup_inode(client_, inode + 1, &again), KEYCLIENT_NOT_AUTHENTICATED);
}

TEST_F(Lookup, SaysNoForAProcessThatIsNotAuthenticatedOrOnlyPending) {
  EXPECT_EQ(by_pid(::getpid()), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_EQ(who_.state, KEYCLIENT_STATE_NONE);
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  EXPECT_EQ(by_pid(::getpid()), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_EQ(who_.state, KEYCLIENT_STATE_PENDING);
}

TEST_F(Lookup, NamesTheProcessBehindAConnectedSocket) {
  const std::string path = keyd_.directory() + "/service.sock";
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  const auto connect = [address] {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? fd : -1;
  };
  const auto process = authenticated([&](Forked::Child& child) {
    connect();
    child.say("connected");
    child.hear();
  });
  process->say("connect");
  const UniqueFd theirs(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_EQ(process->hear(), "connected");
  EXPECT_EQ(keyclient_lookup_socket(client_, theirs.get(), &who_), KEYCLIENT_OK) << keyclient_error();
  EXPECT_STREQ(who_.user, "alice");

  Forked nobody([&](Forked::Child& child) {
    connect();
    child.say("connected");
    child.hear();
    return 0;
  });
  const UniqueFd nobodys(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_EQ(nobody.hear(), "connected");
  EXPECT_EQ(keyclient_lookup_socket(client_, nobodys.get(), &who_), KEYCLIENT_NOT_AUTHENTICATED);
  nobody.kill();
  EXPECT_EQ(keyclient_lookup_socket(client_, nobodys.get(), &who_), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_EQ(keyclient_lookup_socket(client_, STDIN_FILENO, &who_), KEYCLIENT_UNKNOWN);
}

TEST_F(Lookup, AForkedChildOfAnAuthenticatedProcessIsNobody) {
  const auto process = authenticated([](Forked::Child& child) {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) {
      ::sleep(5);
      ::_exit(0);
    }
    child.say(std::to_string(grandchild));
    child.hear();
  });
  process->say("fork");
  const pid_t grandchild = std::stoi(process->hear());
  EXPECT_EQ(by_pid(process->pid()), KEYCLIENT_OK);
  EXPECT_EQ(by_pid(grandchild), KEYCLIENT_NOT_AUTHENTICATED);
}

TEST_F(Lookup, WakesWhoeverWaitsForAChange) {
  std::uint64_t seen = 0;
  (void)keyclient_wait_for_change(client_, &seen, 0);
  EXPECT_EQ(keyclient_wait_for_change(client_, &seen, 50), KEYCLIENT_DEADLINE);
  std::unique_ptr<Forked> process;
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    process = authenticated();
  });
  EXPECT_EQ(keyclient_wait_for_change(client_, &seen, 10000), KEYCLIENT_OK);
  later.join();
}

TEST_F(Lookup, ADeadKeydsTableCountsForNothing) {
  const auto process = authenticated();
  ASSERT_EQ(by_pid(process->pid()), KEYCLIENT_OK);
  keyd_.kill();
  EXPECT_EQ(answer_after(KEYCLIENT_OK, process->pid()), KEYCLIENT_UNKNOWN);  // the heartbeat is valid for 3 s
  ASSERT_TRUE(keyd_.start());
  // Look-ups find the new table without waiting for it.
  EXPECT_EQ(answer_after(KEYCLIENT_UNKNOWN, process->pid()), KEYCLIENT_NOT_AUTHENTICATED)
      << "a new keyd knows nobody";
  const auto another = authenticated();
  EXPECT_EQ(by_pid(another->pid()), KEYCLIENT_OK) << "the handle did not find the new table";
}

TEST_F(Lookup, NeverWaitsForAKeydThatDoesNotMove) {
  const auto process = authenticated();
  ASSERT_EQ(by_pid(process->pid()), KEYCLIENT_OK);
  // Where the kernel ends records by itself, a stopped keyd's table stays true (KernelTier.AStoppedKeyd…).
  const bool stays_true = keyd_.tier() == "kernel";
  ASSERT_EQ(::kill(keyd_.pid(), SIGSTOP), 0);
  const keyclient_status stopped = stays_true ? KEYCLIENT_OK : KEYCLIENT_UNKNOWN;
  if (!stays_true) {
    EXPECT_EQ(answer_after(KEYCLIENT_OK, process->pid()), stopped);
  }
  // A keyd that is stopped takes connections and answers none: 1000 look-ups that each waited for it, for the
  // shortest while, would take longer than the test may.
  int otherwise = 0;
  for (int i = 0; i < 1000; ++i) otherwise += by_pid(process->pid()) != stopped;
  ASSERT_EQ(::kill(keyd_.pid(), SIGCONT), 0);
  EXPECT_EQ(otherwise, 0);
  EXPECT_EQ(answer_after(KEYCLIENT_UNKNOWN, process->pid()), KEYCLIENT_OK)
      << "its record was true all the time";
}

TEST_F(Lookup, AStoppedKeydsTableCountsForNothingAfterItsHeartbeat) {
  const auto process = authenticated();
  ASSERT_EQ(by_pid(process->pid()), KEYCLIENT_OK);
  keyd_.stop();
  EXPECT_EQ(by_pid(process->pid()), KEYCLIENT_UNKNOWN) << "a clean end marks the table down at once";
}

TEST(LookupPolicy, TheTableCanBeKeptForAdministrators) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  PrivateKeyd keyd("[table]\naccess = \"administrators\"\n");
  ASSERT_TRUE(keyd.start());
  EXPECT_EQ(keyd.keystat({}).exit_code, 0);
  Forked stranger([&](Forked::Child&) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return 1;
    RawClient raw(keyd.runtime_dir());
    wire::ClientPacket request;
    request.mutable_table();
    raw.send(request);
    return raw.receive_message().refused().code() == wire::REFUSAL_POLICY ? 0 : 2;
  });
  EXPECT_EQ(stranger.wait(), 0);
}

}  // namespace
}  // namespace keyd::testing
