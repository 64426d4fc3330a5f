#include "tools/console/password_prompt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "core/base/unique_fd.h"
#include "core/crypto/digest.h"

namespace keyd::console {
namespace {

volatile std::sig_atomic_t interrupted_by = 0;
void note_signal(int number) { interrupted_by = number; }

// No echo while it lives. A signal that ends or stops the program ends the reading first; it is raised again
// when the terminal is as it was, unless it was a ^C that ends the prompt alone. Such signals come only while the
// reader waits (ppoll): one that came just before a read would not end it.
class NoEcho {
 public:
  NoEcho(int terminal, OnInterrupt on_interrupt) : terminal_(terminal), on_interrupt_(on_interrupt) {
    interrupted_by = 0;
    struct sigaction action{};
    action.sa_handler = note_signal;  // without SA_RESTART
    sigset_t held;
    ::sigemptyset(&held);
    for (const int each : kSignals) ::sigaddset(&held, each);
    ::pthread_sigmask(SIG_BLOCK, &held, &saved_mask_);
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &saved_actions_[i]);
    changed_ = ::tcgetattr(terminal_, &saved_) == 0;
    if (!changed_) return;
    termios quiet = saved_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    quiet.c_lflag |= ECHONL;
    ::tcsetattr(terminal_, TCSAFLUSH, &quiet);
  }
  ~NoEcho() {
    if (changed_) ::tcsetattr(terminal_, TCSAFLUSH, &saved_);
    ::pthread_sigmask(SIG_SETMASK, &saved_mask_, nullptr);
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &saved_actions_[i], nullptr);
    const bool done = interrupted_by == SIGINT && on_interrupt_ == OnInterrupt::kEndPrompt;
    if (interrupted_by != 0 && !done) ::raise(interrupted_by);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;
  // Which signals come while the reader waits.
  [[nodiscard]] const sigset_t& while_waiting() const { return saved_mask_; }

 private:
  static constexpr std::array<int, 5> kSignals{SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP};
  int terminal_;
  OnInterrupt on_interrupt_;
  bool changed_ = false;
  sigset_t saved_mask_{};
  termios saved_{};
  std::array<struct sigaction, kSignals.size()> saved_actions_{};
};

UniqueFd open_terminal() { return UniqueFd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)); }

// As read(2); with `while_waiting` those signals come before there is something to read, and at no other time.
ssize_t read_some(int fd, std::uint8_t* out, std::size_t room, const sigset_t* while_waiting) {
  pollfd entry{fd, POLLIN, 0};
  if (while_waiting != nullptr && ::ppoll(&entry, 1, nullptr, while_waiting) < 0) return -1;
  return ::read(fd, out, room);
}

Result<secret::SecretBuffer> read_until(int fd, std::size_t limit, bool line, const sigset_t* while_waiting) {
  secret::SecretBuffer buffer(limit + 2);
  std::size_t have = 0;
  bool ended = false;
  while (!ended && have < buffer.size()) {
    // A line comes octet by octet, so that nothing behind it is taken from whoever reads on.
    const std::size_t room = line ? 1 : buffer.size() - have;
    const ssize_t got = read_some(fd, buffer.reveal().data() + have, room, while_waiting);
    if (got < 0 && errno == EINTR) {
      if (interrupted_by != 0) return fail(Code::kRefused, "interrupted");
      continue;
    }
    if (got < 0) return fail_errno(Code::kInvalid, "cannot read the secret");
    const std::uint8_t last = got == 0 ? 0 : buffer.reveal()[have];
    ended = got == 0 || (line && last == '\n');
    if (got > 0 && !(line && last == '\n')) have += static_cast<std::size_t>(got);
  }
  buffer.truncate(have);
  if (have == 0) return fail(Code::kInvalid, "the secret is empty");
  if (have > limit)
    return fail(Code::kInvalid, "the secret is longer than " + std::to_string(limit) + " octets");
  return buffer;
}

}  // namespace

Result<secret::SecretBuffer> read_secret(int fd, std::size_t limit, bool line) {
  return read_until(fd, limit, line, nullptr);
}

Result<secret::SecretBuffer> prompt(const std::string& question, std::size_t limit,
                                    OnInterrupt on_interrupt) {
  const UniqueFd terminal = open_terminal();
  if (!terminal.valid())
    return fail(Code::kUnreachable, "there is no terminal to ask at; hand the secret over on a descriptor");
  const NoEcho quiet(terminal.get(), on_interrupt);
  (void)!::write(terminal.get(), question.data(), question.size());
  auto answer = read_until(terminal.get(), limit, true, &quiet.while_waiting());
  if (!answer)
    (void)!::write(terminal.get(), "\n", 1);  // after ^C or ^D the cursor stands behind the question
  return answer;
}

void tell(const std::string& line) {
  const UniqueFd terminal = open_terminal();
  if (terminal.valid()) (void)!::write(terminal.get(), (line + "\n").data(), line.size() + 1);
}

Result<secret::SecretBuffer> prompt_twice(const std::string& question, std::size_t limit) {
  auto first = prompt(question, limit);
  if (!first) return first;
  const auto second = prompt("The same again: ", limit);
  if (!second) return std::unexpected(second.error());
  if (!crypto::constant_time_equal(first->reveal(), second->reveal()))
    return fail(Code::kRefused, "the two answers differ; nothing was changed");
  return first;
}

}  // namespace keyd::console
