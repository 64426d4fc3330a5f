// Signals are blocked but in ppoll(2), so that none is lost between a look at it and the waiting.
#include "tools/keystat/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <string_view>

namespace keyd::keystat {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[2J";  // alternate screen, no cursor, clear
constexpr std::string_view kLeave = "\x1b[0m\x1b[?25h\x1b[?1049l";  // the same in reverse
constexpr int kEscapeMilliseconds = 50;  // an escape with nothing behind it for so long is the key

volatile std::sig_atomic_t end_signal = 0, stop_wanted = 0, picture_lost = 0;

void note_signal(int number) {
  switch (number) {
    case SIGTSTP: stop_wanted = 1; break;
    case SIGCONT: picture_lost = 2; break;  // the terminal's modes may be others now
    case SIGWINCH:
      if (picture_lost == 0) picture_lost = 1;
      break;
    default: end_signal = number;
  }
}

bool write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(STDOUT_FILENO, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {
      pollfd entry{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&entry, 1, 100);
      continue;
    }
    if (put <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

}  // namespace

bool Terminal::usable() {
  const char* const kind = ::getenv("TERM");
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && kind != nullptr && *kind != '\0' &&
         std::string_view(kind) != "dumb";
}

Terminal::Terminal() {
  end_signal = 0;
  stop_wanted = 0;
  picture_lost = 0;
  sigset_t ours;
  ::sigemptyset(&ours);
  for (const int number : kSignals) ::sigaddset(&ours, number);
  ::sigprocmask(SIG_BLOCK, &ours, &outside_);
  struct sigaction action{};
  action.sa_handler = note_signal;
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &saved_actions_[i]);
  ::tcgetattr(STDIN_FILENO, &saved_);
  enter();
}

Terminal::~Terminal() {
  leave();
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &saved_actions_[i], nullptr);
  ::sigprocmask(SIG_SETMASK, &outside_, nullptr);
  if (ended_by_ != 0) ::raise(ended_by_);
}

void Terminal::enter() {
  termios keys = saved_;
  keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // ISIG stays: ^C and ^Z are signals
  keys.c_cc[VMIN] = 1;
  keys.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
  (void)write_all(kEnter);
}

void Terminal::leave() {
  (void)write_all(kLeave);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_);
}

// Stops as if we had never caught the signal, and takes the terminal over again when the program goes on.
void Terminal::stop() {
  leave();
  struct sigaction ours{}, standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGTSTP, &standard, &ours);
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, SIGTSTP);
  ::raise(SIGTSTP);
  ::sigprocmask(SIG_UNBLOCK, &one, nullptr);  // here it stops, and here it goes on
  ::sigprocmask(SIG_BLOCK, &one, nullptr);
  ::sigaction(SIGTSTP, &ours, nullptr);
  enter();
}

Terminal::Event Terminal::wait(int milliseconds, Key& key) {
  const auto take = [&](bool idle) {
    auto taken = take_key(typed_, idle);
    if (taken) key = std::move(*taken);
    return taken.has_value();
  };
  if (take(false)) return Event::kKey;
  const bool half = !typed_.empty();
  const int patience = half ? std::min(milliseconds, kEscapeMilliseconds) : milliseconds;
  const timespec timeout{patience / 1000, patience % 1000 * 1'000'000L};
  pollfd entry{STDIN_FILENO, POLLIN, 0};
  const int ready = ::ppoll(&entry, 1, &timeout, &outside_);
  if (end_signal != 0) {
    ended_by_ = end_signal;
    return Event::kEnd;
  }
  if (stop_wanted != 0) {
    stop_wanted = 0;
    stop();
    return Event::kRedraw;
  }
  if (picture_lost != 0) {
    if (picture_lost == 2) enter();
    picture_lost = 0;
    return Event::kRedraw;
  }
  if (ready < 0) return errno == EINTR ? Event::kNothing : Event::kEnd;
  if (ready == 0) return half && take(true) ? Event::kKey : Event::kNothing;
  std::array<char, 256> octets;
  const ssize_t got = ::read(STDIN_FILENO, octets.data(), octets.size());
  if (got <= 0) return got < 0 && (errno == EINTR || errno == EAGAIN) ? Event::kNothing : Event::kEnd;
  typed_.append(octets.data(), static_cast<std::size_t>(got));
  return take(false) ? Event::kKey : Event::kNothing;
}

Terminal::Size Terminal::size() const {
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_row == 0 || window.ws_col == 0)
    return {24, 80};
  return {window.ws_row, window.ws_col};
}

bool Terminal::draw(const std::vector<std::string>& lines) {
  std::string frame = "\x1b[H";
  const std::size_t rows = std::min(lines.size(), size().rows);
  for (std::size_t i = 0; i < rows; ++i) {
    frame += lines[i];
    frame += "\x1b[0m\x1b[K";
    if (i + 1 < rows) frame += "\r\n";
  }
  if (rows < size().rows) frame += "\x1b[J";
  return write_all(frame);
}

}  // namespace keyd::keystat
