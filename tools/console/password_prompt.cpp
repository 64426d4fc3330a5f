#include "tools/console/password_prompt.h"

#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "core/base/unique_fd.h"
#include "core/crypto/digest.h"

namespace keyd::console {
namespace {

// No echo while it lives, also when the user interrupts: the signal waits until the terminal is as it was.
class NoEcho {
 public:
  explicit NoEcho(int terminal) : terminal_(terminal) {
    sigset_t wanted;
    ::sigemptyset(&wanted);
    for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGHUP}) ::sigaddset(&wanted, signal);
    ::sigprocmask(SIG_BLOCK, &wanted, &mask_);
    changed_ = ::tcgetattr(terminal_, &saved_) == 0;
    if (!changed_) return;
    termios quiet = saved_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    quiet.c_lflag |= ECHONL;
    ::tcsetattr(terminal_, TCSAFLUSH, &quiet);
  }
  ~NoEcho() {
    if (changed_) ::tcsetattr(terminal_, TCSAFLUSH, &saved_);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  int terminal_;
  bool changed_ = false;
  termios saved_{};
  sigset_t mask_{};
};

constexpr std::uint8_t kInterrupt = 3, kQuit = 28;  // ^C and ^\ as characters, for ISIG is off

}  // namespace

Result<secret::SecretBuffer> read_secret(int fd, std::size_t limit, bool line) {
  secret::SecretBuffer buffer(limit + 2);
  std::size_t have = 0;
  bool ended = false;
  while (!ended && have < buffer.size()) {
    // A line comes octet by octet, so that nothing behind it is taken from whoever reads on.
    const std::size_t room = line ? 1 : buffer.size() - have;
    const ssize_t got = ::read(fd, buffer.reveal().data() + have, room);
    if (got < 0 && errno == EINTR) continue;
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

Result<secret::SecretBuffer> prompt(const std::string& question, std::size_t limit) {
  const UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal.valid())
    return fail(Code::kUnreachable, "there is no terminal to ask at; hand the secret over on a descriptor");
  const NoEcho quiet(terminal.get());
  (void)!::write(terminal.get(), question.data(), question.size());
  auto answer = read_secret(terminal.get(), limit, true);
  if (answer) {
    for (const std::uint8_t octet : answer->reveal()) {
      if (octet == kInterrupt || octet == kQuit) return fail(Code::kRefused, "interrupted");
    }
  }
  return answer;
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
