#include "libkeyclient/src/judgement_apart.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/unique_fd.h"
#include "core/kernel/pidfd.h"
#include "core/secret/secret.h"
#include "core/wire/limits.h"

namespace keyd::client {
namespace {

using Clock = std::chrono::steady_clock;

// The question: fresh | 0 | old | 0. The verdict: kAccepted alone; or a keyclient_status and the text.
constexpr std::size_t kLongestQuestion = 2 * (wire::kMaxPassword + 1), kLongestVerdict = 512;  // octets
constexpr std::uint8_t kAccepted = 0xa5;

secret::SecretBuffer question_of(ByteView fresh, ByteView old) {
  secret::SecretBuffer question(fresh.size() + old.size() + 2);  // all zero
  const MutableByteView all = question.reveal();
  std::ranges::copy(fresh, all.begin());
  const auto is_character = [](std::uint8_t octet) { return octet != 0; };
  const auto end = std::ranges::copy_if(old, all.subspan(fresh.size() + 1).begin(), is_character).out;
  question.truncate(static_cast<std::size_t>(end - all.begin()) + 1);
  return question;
}

Outcome<void> verdict_of(ByteView verdict) {
  if (verdict.size() == 1 && verdict[0] == kAccepted) return {};
  if (verdict.size() > 1 && verdict[0] > KEYCLIENT_OK && verdict[0] <= KEYCLIENT_THROTTLED)
    return failed(static_cast<keyclient_status>(verdict[0]), std::string(text_of(verdict.subspan(1))));
  return failed(KEYCLIENT_INTERNAL, "the password could not be judged: the process that judges it ended");
}

Failure busy(const char* what) {
  return {KEYCLIENT_BUSY,
          std::string("the password could not be judged: ") + what + ": " + std::strerror(errno)};
}

// ---- in the child

// So that nothing of the program's runs here, and nothing of what runs here stays.
void cut_off(int channel) {
  const rlimit none{0, 0};
  if (::prctl(PR_SET_DUMPABLE, 0) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0) ::_exit(1);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_UNBLOCK, &all, nullptr);
  // Should the parent be gone.
  const itimerval end{{}, {.tv_sec = kLongestJudgement.count() + 1, .tv_usec = 0}};
  ::setitimer(ITIMER_REAL, &end, nullptr);
  // No standard output either: the libraries complain there.
  if (::dup2(channel, STDERR_FILENO + 1) < 0) ::_exit(1);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) ::close(fd);
  ::closefrom(STDERR_FILENO + 2);
}

void answer(int channel, const Judge& judge) {
  secret::SecretBuffer question(kLongestQuestion);
  const ssize_t got = ::recv(channel, question.reveal().data(), question.size(), 0);
  if (got < 2) return;
  question.truncate(static_cast<std::size_t>(got));
  const auto* const fresh = reinterpret_cast<const char*>(question.reveal().data());
  const auto verdict = judge(fresh, fresh + std::strlen(fresh) + 1);
  std::string said(1, static_cast<char>(kAccepted));
  if (!verdict) said = static_cast<char>(verdict.error().status) + verdict.error().text;
  (void)!::send(channel, said.data(), std::min(said.size(), kLongestVerdict), MSG_NOSIGNAL);
}

[[noreturn]] void be_judge(int channel, const Judge& judge) noexcept {
  try {
    cut_off(channel);
    answer(STDERR_FILENO + 1, judge);
  } catch (...) {  // no verdict
  }
  ::_exit(0);
}

// ---- in the parent

class ChildProcess {
 public:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  ~ChildProcess() {
    if (!pidfd_.valid()) {
      reap(P_PID, static_cast<id_t>(pid_));
      return;
    }
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    pollfd ended{pidfd_.get(), POLLIN, 0};
    int ready = 0;
    do {
      ready = ::poll(&ended, 1, kDying);
    } while (ready < 0 && errno == EINTR);
    if (ready == 1) reap(P_PIDFD, static_cast<id_t>(pidfd_.get()));
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // By its pid nobody may be killed: the program may have reaped it, and the number be another's. Until it has the
  // question it waits for that, so what is opened here is the child.
  [[nodiscard]] Result<void> open() {
    auto opened = kernel::open_pidfd(pid_);
    if (!opened) return std::unexpected(opened.error());
    pidfd_ = std::move(*opened);
    return {};
  }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }

 private:
  // One that waits for a broken disk is dead later.
  static constexpr int kDying = 2000;  // ms

  static void reap(idtype_t kind, id_t id) {
    siginfo_t end;
    while (::waitid(kind, id, &end, WEXITED) != 0 && errno == EINTR) {  // ECHILD: the program was there first
    }
  }

  pid_t pid_;
  UniqueFd pidfd_;
};

// Gives 0 in the child, which starts with all signals blocked.
pid_t fork_quietly() {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  const pid_t pid = ::fork();
  const int error = errno;
  if (pid != 0) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

Outcome<void> await_verdict(int channel, int pidfd, Clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0)
      return failed(KEYCLIENT_DEADLINE, "the password could not be judged in time; try again");
    // The child's end of the channel may be open in other children of the program: the process itself counts too.
    std::array<pollfd, 2> either{pollfd{channel, POLLIN, 0}, pollfd{pidfd, POLLIN, 0}};
    const int ready = ::poll(either.data(), either.size(), static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return std::unexpected(busy("poll"));
    if (ready <= 0) continue;
    std::array<std::uint8_t, kLongestVerdict> verdict{};
    const ssize_t got = ::recv(channel, verdict.data(), verdict.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    return verdict_of(ByteView(verdict).first(static_cast<std::size_t>(std::max<ssize_t>(got, 0))));
  }
}

}  // namespace

Outcome<void> judge_apart(ByteView fresh, ByteView old, const Judge& judge,
                          std::chrono::milliseconds deadline) {
  const auto until = Clock::now() + deadline;
  const secret::SecretBuffer question = question_of(fresh, old);
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return std::unexpected(busy("no sockets"));
  UniqueFd ours(ends[0]), its(ends[1]);
  const pid_t pid = fork_quietly();
  if (pid < 0) return std::unexpected(busy("no process"));
  if (pid == 0) be_judge(its.get(), judge);
  ChildProcess child(pid);
  its.reset();
  if (const auto opened = child.open(); !opened) {
    ours.reset();  // it reads an end, and goes
    return failed(KEYCLIENT_BUSY, "the password could not be judged: " + opened.error().message());
  }
  if (::send(ours.get(), question.reveal().data(), question.size(), MSG_NOSIGNAL) < 0)
    return errno == EPIPE ? verdict_of({}) : std::unexpected(busy("it cannot be sent"));
  return await_verdict(ours.get(), child.pidfd(), until);
}

}  // namespace keyd::client
