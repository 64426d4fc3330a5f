#include "tools/console/password_prompt.h"

#include <fcntl.h>
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
// when the terminal is as it was, unless it was a ^C that ends the prompt alone.
class NoEcho {
 public:
  NoEcho(int terminal, OnInterrupt on_interrupt) : terminal_(terminal), on_interrupt_(on_interrupt) {
    interrupted_by = 0;
    struct sigaction action{};
    action.sa_handler = note_signal;  // without SA_RESTART: read(2) returns
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
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &saved_actions_[i], nullptr);
    const bool done = interrupted_by == SIGINT && on_interrupt_ == OnInterrupt::kEndPrompt;
    if (interrupted_by != 0 && !done) ::raise(interrupted_by);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  static constexpr std::array<int, 5> kSignals{SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP};
  int terminal_;
  OnInterrupt on_interrupt_;
  bool changed_ = false;
  termios saved_{};
  std::array<struct sigaction, kSignals.size()> saved_actions_{};
};

UniqueFd open_terminal() { return UniqueFd(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)); }

}  // namespace

Result<secret::SecretBuffer> read_secret(int fd, std::size_t limit, bool line) {
  secret::SecretBuffer buffer(limit + 2);
  std::size_t have = 0;
  bool ended = false;
  while (!ended && have < buffer.size()) {
    // A line comes octet by octet, so that nothing behind it is taken from whoever reads on.
    const std::size_t room = line ? 1 : buffer.size() - have;
    const ssize_t got = ::read(fd, buffer.reveal().data() + have, room);
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

Result<secret::SecretBuffer> prompt(const std::string& question, std::size_t limit,
                                    OnInterrupt on_interrupt) {
  const UniqueFd terminal = open_terminal();
  if (!terminal.valid())
    return fail(Code::kUnreachable, "there is no terminal to ask at; hand the secret over on a descriptor");
  const NoEcho quiet(terminal.get(), on_interrupt);
  (void)!::write(terminal.get(), question.data(), question.size());
  auto answer = read_secret(terminal.get(), limit, true);
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
