// A pidfd names one process for ever: while it lives, as a zombie, and after it was reaped.
#include "core/kernel/pidfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include <atomic>
#include <thread>

#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

class Pidfd : public testing::Test {
 protected:
  void SetUp() override {
    if (!process_identity_supported())
      GTEST_SKIP() << "this kernel has no pidfs inodes or no PIDFD_GET_INFO (6.13)";
  }
};

int pause_for_ever() {
  for (;;) ::pause();
}

TEST_F(Pidfd, TellsAboutTheProcessItself) {
  const auto self = open_pidfd(::getpid());
  ASSERT_TRUE(self);
  PidfdInfo info;
  ASSERT_EQ(query_pidfd(self->get(), info), PidfdOutcome::kAlive);
  EXPECT_EQ(info.pid, static_cast<std::uint32_t>(::getpid()));
  std::uint32_t r = 0, e = 0, s = 0;
  ASSERT_EQ(::getresuid(&r, &e, &s), 0);
  EXPECT_EQ(info.ids.ruid, r);
  EXPECT_EQ(info.ids.euid, e);
  EXPECT_EQ(info.ids.suid, s);
  EXPECT_FALSE(has_exited(self->get()));
}

TEST_F(Pidfd, TellsEveryIdApart) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  test::Gate changed;
  test::Child child([&] {
    if (::setresgid(1001, 1002, 1003) != 0 || ::setresuid(2001, 2002, 2003) != 0) return 1;
    changed.open();
    return pause_for_ever();
  });
  changed.pass();
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  PidfdInfo info;
  ASSERT_EQ(query_pidfd(pidfd->get(), info), PidfdOutcome::kAlive);
  EXPECT_EQ(info.ids, (TaskIds{.ruid = 2001,
                               .rgid = 1001,
                               .euid = 2002,
                               .egid = 1002,
                               .suid = 2003,
                               .sgid = 1003,
                               .fsuid = 2002,
                               .fsgid = 1002}));
}

TEST_F(Pidfd, SaysGoneOfAZombie) {
  test::Child child([] { return 0; });
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  child.wait_for_zombie();
  PidfdInfo info;
  info.pid = 12345;
  EXPECT_EQ(query_pidfd(pidfd->get(), info), PidfdOutcome::kGone);
  EXPECT_EQ(info.pid, 12345u) << "a refusal fills nothing in";
  EXPECT_TRUE(has_exited(pidfd->get()));
}

TEST_F(Pidfd, SaysGoneOfAReapedProcess) {
  test::Child child([] { return 0; });
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  child.wait();
  PidfdInfo info;
  EXPECT_EQ(query_pidfd(pidfd->get(), info), PidfdOutcome::kGone);
  EXPECT_TRUE(has_exited(pidfd->get()));
}

TEST_F(Pidfd, SaysGoneOfAKilledProcess) {
  test::Child child(pause_for_ever);
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  EXPECT_FALSE(has_exited(pidfd->get()));
  child.kill();
  child.wait();
  EXPECT_TRUE(has_exited(pidfd->get()));
}

TEST_F(Pidfd, KeepsItsInodeWhenTheProcessIsGone) {
  test::Child child([] { return 0; });
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  const auto alive = pidfs_inode(pidfd->get());
  child.wait();
  ASSERT_TRUE(alive);
  EXPECT_EQ(pidfs_inode(pidfd->get()), alive);
}

TEST_F(Pidfd, HasOneInodeForEveryDescriptorOfAProcess) {
  const auto first = open_pidfd(::getpid()), second = open_pidfd(::getpid());
  ASSERT_TRUE(first && second);
  EXPECT_EQ(pidfs_inode(first->get()), pidfs_inode(second->get()));
}

TEST_F(Pidfd, HasAnInodeOfItsOwnForEveryProcess) {
  const auto self = open_pidfd(::getpid());
  test::Child first([] { return pause_for_ever(); }), second([] { return pause_for_ever(); });
  const auto one = open_pidfd(first.pid()), two = open_pidfd(second.pid());
  ASSERT_TRUE(self && one && two);
  EXPECT_NE(pidfs_inode(one->get()), pidfs_inode(two->get()));
  EXPECT_NE(pidfs_inode(one->get()), pidfs_inode(self->get()));
}

TEST_F(Pidfd, KeepsItsInodeOverAnExec) {
  test::Gate started;
  test::Child child([&] {
    started.pass();
    ::execl("/bin/sleep", "sleep", "60", static_cast<char*>(nullptr));
    return 1;
  });
  const auto before = open_pidfd(child.pid());
  ASSERT_TRUE(before);
  const auto inode = pidfs_inode(before->get());
  started.open();
  const std::string link = "/proc/" + std::to_string(child.pid()) + "/exe";
  char target[256] = {};
  while (std::string_view(target).find("sleep") == std::string_view::npos) {
    std::memset(target, 0, sizeof target);
    ASSERT_GT(::readlink(link.c_str(), target, sizeof target - 1), 0);
  }
  const auto after = open_pidfd(child.pid());
  ASSERT_TRUE(after);
  EXPECT_EQ(pidfs_inode(after->get()), inode);
}

TEST_F(Pidfd, SaysAliveWhileAnyThreadLives) {
  // The leader has exited, another thread runs on: the process is not gone.
  test::Gate leader_gone;
  test::Child child([&] {
    std::thread([&] {
      leader_gone.open();
      ::pause();
    }).detach();
    // The system call: pthread_exit unwinds the leader's stack, on which the other thread's closure and
    // gtest's handlers of exceptions are.
    ::syscall(SYS_exit, 0);
    return 0;
  });
  leader_gone.pass();
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_TRUE(pidfd);
  EXPECT_FALSE(has_exited(pidfd->get()));
}

TEST_F(Pidfd, SaysOtherNamespaceOfAProcessItHasNoNumberFor) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to make a pid namespace";
  // A child inside a new pid namespace looks at its parent's pidfd.
  const auto self = open_pidfd(::getpid());
  ASSERT_TRUE(self);
  test::Child child([&] {
    if (::unshare(CLONE_NEWPID) != 0) return 10;
    test::Child inside([&] {
      PidfdInfo info;
      const PidfdOutcome outcome = query_pidfd(self->get(), info);
      return outcome == PidfdOutcome::kOtherNamespace ? 0 : 20 + static_cast<int>(outcome);
    });
    return inside.wait();
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(Pidfd, RefusesWhatIsNoPidfd) {
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  PidfdInfo info;
  EXPECT_NE(query_pidfd(null.get(), info), PidfdOutcome::kAlive);
  EXPECT_NE(query_pidfd(-1, info), PidfdOutcome::kAlive);
  EXPECT_FALSE(pidfs_inode(-1));
}

TEST_F(Pidfd, NamesAProcessThatDoesNotExist) {
  test::Child child([] { return 0; });
  child.wait();
  const auto pidfd = open_pidfd(child.pid());
  ASSERT_FALSE(pidfd);
  EXPECT_EQ(pidfd.error().code, Code::kNotFound);
}

TEST_F(Pidfd, IsCloseOnExec) {
  const auto self = open_pidfd(::getpid());
  ASSERT_TRUE(self);
  EXPECT_EQ(::fcntl(self->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(Pidfd, ASignalToTheCallerIsNoExit) {
  // A program with signal handlers would else take a living process for a dead one now and then.
  const auto self = open_pidfd(::getpid());
  ASSERT_TRUE(self);
  static std::atomic<int> signals;
  struct sigaction note{}, before{};
  note.sa_handler = [](int) { ++signals; };
  ::sigaction(SIGUSR1, &note, &before);
  std::atomic<bool> done{false};
  std::thread sender([&done, target = ::pthread_self()] {
    while (!done) ::pthread_kill(target, SIGUSR1);
  });
  int looks = 0, exits = 0;
  while (signals < 1000) {
    exits += has_exited(self->get()) ? 1 : 0;
    ++looks;
  }
  done = true;
  sender.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_EQ(exits, 0) << "of " << looks;
}

}  // namespace
}  // namespace keyd::kernel
