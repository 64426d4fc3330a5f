#include "libkeyclient/src/judgement_apart.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/secret/locked_pool.h"
#include "core/secret/secret.h"
#include "core/wire/limits.h"
#include "tests/support/descriptors.h"
#include "tests/support/forked.h"
#include "tests/support/refused_call.h"

namespace keyd::client {
namespace {

using ::testing::HasSubstr;

Outcome<void> accept(const char*, const char*) { return {}; }

// What a judge says of two passwords, "good" when it is content.
std::string judged(std::string_view fresh, std::string_view old, const Judge& judge,
                   std::chrono::milliseconds deadline = kLongestJudgement) {
  const auto verdict = judge_apart(bytes_of(fresh), bytes_of(old), judge, deadline);
  return verdict ? "good" : verdict.error().text;
}

TEST(JudgementApart, TheVerdictIsTheJudges) {
  EXPECT_EQ(judged("fresh", "old", accept), "good");
  const auto refused =
      judge_apart(bytes_of("fresh"), bytes_of("old"), [](const char*, const char*) -> Outcome<void> {
        return failed(KEYCLIENT_UNSUPPORTED, "no dictionary");
      });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, KEYCLIENT_UNSUPPORTED);
  EXPECT_EQ(refused.error().text, "no dictionary");
}

TEST(JudgementApart, ThePasswordsArriveAsTheyAre) {
  const auto echo = [](const char* fresh, const char* old) -> Outcome<void> {
    return failed(KEYCLIENT_INVALID, std::string(fresh) + "|" + old);
  };
  EXPECT_EQ(judged("a'b\"c\\d %s $(x)", "ä€𝄞\xff", echo), "a'b\"c\\d %s $(x)|ä€𝄞\xff");
  EXPECT_EQ(judged("fresh", "", echo), "fresh|");
  EXPECT_EQ(judged("fresh", std::string_view("o\0l\0d", 5), echo), "fresh|old");
  const std::string longest(wire::kMaxPassword, 'x');
  const auto sizes = [](const char* fresh, const char* old) -> Outcome<void> {
    return failed(KEYCLIENT_INVALID,
                  std::to_string(std::strlen(fresh)) + "+" + std::to_string(std::strlen(old)));
  };
  EXPECT_EQ(judged(longest, longest, sizes), "1024+1024");
}

TEST(JudgementApart, NoVerdictIsARefusal) {
  const std::vector<std::pair<const char*, Judge>> ends{
      {"leaves", [](const char*, const char*) -> Outcome<void> { ::_exit(0); }},
      {"throws", [](const char*, const char*) -> Outcome<void> { throw std::bad_alloc(); }},
      {"is killed",
       [](const char*, const char*) -> Outcome<void> {
         ::raise(SIGKILL);
         return {};
       }},
      {"says OK as a failure",
       [](const char*, const char*) -> Outcome<void> { return failed(KEYCLIENT_OK, ""); }},
      {"says too little",
       [](const char*, const char*) -> Outcome<void> { return failed(KEYCLIENT_INVALID, ""); }},
  };
  for (const auto& [how, judge] : ends) {
    const auto verdict = judge_apart(bytes_of("fresh"), bytes_of("old"), judge);
    ASSERT_FALSE(verdict) << how;
    EXPECT_EQ(verdict.error().status, KEYCLIENT_INTERNAL) << how;
  }
}

TEST(JudgementApart, AJudgeThatTakesTooLongIsKilled) {
  const auto verdict = judge_apart(
      bytes_of("fresh"), bytes_of("old"),
      [](const char*, const char*) -> Outcome<void> {
        for (;;) ::pause();
      },
      std::chrono::milliseconds(200));
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().status, KEYCLIENT_DEADLINE);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "it is still there";
  EXPECT_EQ(errno, ECHILD);
}

TEST(JudgementApart, NothingOfTheProgramIsOpenInTheChildAndNothingIsLeftOpenHere) {
  const std::size_t before = testing::descriptors_of();
  const auto count = [](const char*, const char*) -> Outcome<void> {
    std::size_t open = 0;
    for (int fd = 0; fd < 1024; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return failed(KEYCLIENT_INVALID, std::to_string(open));
  };
  EXPECT_EQ(judged("fresh", "old", count), "1");
  EXPECT_EQ(testing::descriptors_of(), before);
}

// A descriptor of the channel below 3, as in a program that has closed its standard ones.
TEST(JudgementApart, WorksWithoutStandardInputOutputAndError) {
  int kept[3];
  for (int fd = 0; fd < 3; ++fd) kept[fd] = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
  for (int fd = 0; fd < 3; ++fd) ::close(fd);
  const std::string verdict = judged("fresh", "old", accept);
  for (int fd = 0; fd < 3; ++fd) {
    ::dup2(kept[fd], fd);
    ::close(kept[fd]);
  }
  EXPECT_EQ(verdict, "good");
}

TEST(JudgementApart, TheChildCannotBeLookedIntoAndLeavesNoCore) {
  const auto look = [](const char*, const char*) -> Outcome<void> {
    rlimit core{};
    ::getrlimit(RLIMIT_CORE, &core);
    return failed(KEYCLIENT_INVALID,
                  std::to_string(::prctl(PR_GET_DUMPABLE)) + " " + std::to_string(core.rlim_max));
  };
  EXPECT_EQ(judged("fresh", "old", look), "0 0");
}

TEST(JudgementApart, ThePasswordsAreInTheChildsLockedMemory) {
  const auto look = [](const char* fresh, const char* old) -> Outcome<void> {
    const auto& pool = secret::LockedPool::instance();
    return failed(KEYCLIENT_INVALID,
                  std::string(pool.holds(fresh) ? "1" : "0") + (pool.holds(old) ? "1" : "0"));
  };
  EXPECT_EQ(judged("fresh", "old", look), "11");
}

std::atomic<int> children_noticed = 0;
std::atomic<pid_t> noticed_in = 0;

TEST(JudgementApart, AProgramThatReapsEveryChildDoesNoHarm) {
  struct sigaction reaping{}, before{};
  reaping.sa_handler = [](int) {
    const int kept = errno;
    while (::waitpid(-1, nullptr, WNOHANG) > 0) ++children_noticed;
    errno = kept;
  };
  ASSERT_EQ(::sigaction(SIGCHLD, &reaping, &before), 0);
  children_noticed = 0;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(judged("fresh", "old", accept), "good");
  ::sigaction(SIGCHLD, &before, nullptr);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  RecordProperty("reaped_by_the_handler", children_noticed);
}

TEST(JudgementApart, AProgramThatIgnoresItsChildrenDoesNoHarm) {
  const auto before = ::signal(SIGCHLD, SIG_IGN);
  EXPECT_EQ(judged("fresh", "old", accept), "good");
  EXPECT_NE(judged("fresh", "old", [](const char*, const char*) -> Outcome<void> { ::_exit(0); }), "good");
  ::signal(SIGCHLD, before);
}

TEST(JudgementApart, TheProgramsHandlersDoNotRunInTheChild) {
  struct sigaction noticing{}, before{};
  noticing.sa_handler = [](int) { noticed_in = ::getpid(); };
  ASSERT_EQ(::sigaction(SIGUSR1, &noticing, &before), 0);
  const auto raise = [](const char*, const char*) -> Outcome<void> {
    ::raise(SIGUSR1);  // ends it
    return {};
  };
  EXPECT_NE(judged("fresh", "old", raise), "good");
  ::raise(SIGUSR1);
  EXPECT_EQ(noticed_in, ::getpid());
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(JudgementApart, TheCallersSignalMaskIsAsItWas) {
  sigset_t mine, after;
  ::sigemptyset(&mine);
  ::sigaddset(&mine, SIGUSR2);
  ::pthread_sigmask(SIG_SETMASK, &mine, nullptr);
  EXPECT_EQ(judged("fresh", "old", accept), "good");
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  EXPECT_TRUE(::sigismember(&after, SIGUSR2));
  EXPECT_FALSE(::sigismember(&after, SIGINT));
  ::sigemptyset(&mine);
  ::pthread_sigmask(SIG_SETMASK, &mine, nullptr);
}

TEST(JudgementApart, WorksInAProgramWhoseThreadsAllocateAllTheTime) {
  std::atomic<bool> enough = false;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!enough) {
        std::vector<std::string> garbage;
        for (std::size_t size = 1; size < 200; ++size) garbage.emplace_back(size * 7, 'x');
        const secret::SecretBuffer locked(100);
      }
    });
  }
  const auto allocate = [](const char* fresh, const char*) -> Outcome<void> {
    std::vector<std::string> copies(100, fresh);
    return copies.back() == "fresh" ? Outcome<void>() : failed(KEYCLIENT_INVALID, "?");
  };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(judged("fresh", "old", allocate), "good");
  enough = true;
}

TEST(JudgementApart, TwoThreadsMayAskAtOnce) {
  std::vector<std::jthread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::string mine = "fresh" + std::to_string(i);
      const auto compare = [&](const char* fresh, const char*) -> Outcome<void> {
        return fresh == mine ? Outcome<void>() : failed(KEYCLIENT_INVALID, "another's");
      };
      for (int times = 0; times < 10; ++times) good += judged(mine, "old", compare) == "good" ? 1 : 0;
    });
  }
  threads.clear();
  EXPECT_EQ(good, 40);
}

// One descriptor more each time: without two the answer is a refusal, and what was had is given back.
TEST(JudgementApart, WithoutDescriptorsIsARefusal) {
  EXPECT_EQ(judged("fresh", "old", accept), "good");  // the pool has what it needs
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);
  ::close(next);
  std::vector<std::string> verdicts;
  std::vector<keyclient_status> statuses;
  for (int more = 0; more <= 2; ++more) {
    const rlimit few{static_cast<rlim_t>(next + more), before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    const auto verdict = judge_apart(bytes_of("fresh"), bytes_of("old"), accept);
    ::setrlimit(RLIMIT_NOFILE, &before);
    statuses.push_back(verdict ? KEYCLIENT_OK : verdict.error().status);
    verdicts.push_back(verdict ? "" : verdict.error().text);
    const int now = ::dup(0);
    ::close(now);
    EXPECT_EQ(now, next) << "after " << more;
  }
  EXPECT_THAT(statuses, ::testing::ElementsAre(KEYCLIENT_BUSY, KEYCLIENT_BUSY, KEYCLIENT_OK))
      << verdicts[0] << "; " << verdicts[1] << "; " << verdicts[2];
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

// As under a filter of system calls that is too narrow, or on an old kernel.
TEST(JudgementApart, WithoutASystemCallIsARefusal) {
  struct Refused {
    long call;
    int error;
    keyclient_status comes_to;
  };
  for (const Refused& refused : {
           Refused{SYS_socketpair, EPERM, KEYCLIENT_BUSY}, Refused{SYS_clone, EAGAIN, KEYCLIENT_BUSY},
           Refused{SYS_pidfd_open, ENOSYS, KEYCLIENT_BUSY}, Refused{SYS_sendto, EPERM, KEYCLIENT_BUSY},
           Refused{SYS_recvfrom, EPERM, KEYCLIENT_INTERNAL}, Refused{SYS_dup2, EPERM, KEYCLIENT_INTERNAL},
           Refused{SYS_prctl, EPERM, KEYCLIENT_INTERNAL}, Refused{SYS_prlimit64, EPERM, KEYCLIENT_INTERNAL},
           Refused{SYS_close_range, ENOSYS, KEYCLIENT_OK},  // there is another way
       }) {
    testing::Forked process([&](testing::Forked::Child& parent) {
      secret::LockedPool::instance().reserve();
      if (!testing::refuse_call(refused.call, refused.error)) return 1;
      const auto verdict = judge_apart(bytes_of("fresh"), bytes_of("old"), accept);
      parent.say(std::to_string(verdict ? KEYCLIENT_OK : verdict.error().status));
      return ::waitpid(-1, nullptr, WNOHANG) == -1 ? 0 : 2;
    });
    EXPECT_EQ(process.hear(), std::to_string(refused.comes_to)) << refused.call;
    EXPECT_EQ(process.wait(), 0) << refused.call;
  }
}

}  // namespace
}  // namespace keyd::client
