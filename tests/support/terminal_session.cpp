#include "tests/support/terminal_session.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cwchar>

#include "core/base/untrusted_text.h"

namespace keyd::testing {

// ---- the picture

void ScreenPicture::resize(std::size_t rows, std::size_t columns) {
  rows_ = rows;
  columns_ = columns;
  for (Page* page : {&page_, &main_page_}) {
    page->resize(rows);
    for (auto& line : *page) line.resize(columns, " ");
  }
  y_ = std::min(y_, rows - 1);
  x_ = std::min(x_, columns - 1);
}

std::string ScreenPicture::row(std::size_t number) const {
  std::string line;
  for (const std::string& cell : page_.at(number)) line += cell;
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string ScreenPicture::text() const {
  std::string all;
  for (std::size_t i = 0; i < rows_; ++i) all += row(i) + "\n";
  return all;
}

void ScreenPicture::feed(const std::string& octets) {
  pending_ += octets;
  for (;;) {
    if (pending_.empty()) return;
    const auto first = static_cast<unsigned char>(pending_.front());
    std::size_t length = 1;
    if (first == 0x1b) {
      if (pending_.size() < 3) return;
      if (pending_[1] != '[') {
        pending_.erase(0, 2);
        continue;
      }
      while (length < pending_.size() && (length < 2 || pending_[length] < 0x40)) ++length;
      if (length == pending_.size()) return;
      control(pending_.substr(2, length - 2), pending_[length]);
      pending_.erase(0, length + 1);
      continue;
    }
    if (first >= 0xc0) length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (pending_.size() < length) return;
    put(pending_.substr(0, length));
    pending_.erase(0, length);
  }
}

void ScreenPicture::control(const std::string& parameters, char final) {
  const auto clear = [this](std::size_t line, std::size_t from) {
    static const std::string blank = " ";  // a literal here makes g++ 12 warn at -O3
    std::fill(page_[line].begin() + static_cast<std::ptrdiff_t>(from), page_[line].end(), blank);
  };
  if (final == 'H') y_ = x_ = 0;
  if (final == 'K') clear(y_, x_);
  if (final == 'J') {
    clear(y_, parameters == "2" ? 0 : x_);
    for (std::size_t line = parameters == "2" ? 0 : y_ + 1; line < rows_; ++line) clear(line, 0);
  }
  if (final == 'm' && parameters != "0" && !parameters.empty()) coloured_ = true;
  if ((final == 'h' || final == 'l') && parameters == "?25") cursor_ = final == 'h';
  if ((final == 'h' || final == 'l') && parameters == "?1049" && alternate_ != (final == 'h')) {
    std::swap(page_, main_page_);
    alternate_ = final == 'h';
  }
}

void ScreenPicture::new_line() {
  if (y_ + 1 < rows_) {
    ++y_;
    return;
  }
  page_.erase(page_.begin());
  page_.emplace_back(columns_, " ");
}

void ScreenPicture::put(const std::string& character) {
  if (character == "\r") x_ = 0;
  if (character == "\n") new_line();
  if (character == "\b" && x_ > 0) --x_;
  if (static_cast<unsigned char>(character.front()) < 0x20) return;
  static const bool utf8 = std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr;
  std::mbstate_t state{};
  wchar_t wide = 0;
  const bool decoded = utf8 && std::mbrtowc(&wide, character.data(), character.size(), &state) <= 4;
  const auto width = static_cast<std::size_t>(decoded ? std::max(::wcwidth(wide), 0) : 1);
  if (width == 0) return;
  if (x_ + width > columns_) {  // a line that is too long shows as one
    x_ = 0;
    new_line();
  }
  page_[y_][x_] = character;
  if (width == 2) page_[y_][x_ + 1] = "";
  x_ += width;
}

// ---- the session

TerminalSession::TerminalSession(const std::vector<std::string>& arguments, std::size_t rows,
                                 std::size_t columns, const std::vector<std::string>& environment)
    : picture_(rows, columns) {
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  std::vector<char*> argv, envp;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  for (const std::string& variable : environment) envp.push_back(const_cast<char*>(variable.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_ = ::forkpty(&master_, nullptr, nullptr, &size);
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close_range(3, ~0U, 0);
  ::execve(argv[0], argv.data(), envp.data());
  ::_exit(127);
}

TerminalSession::~TerminalSession() {
  if (!waited_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(master_);
}

void TerminalSession::type(const std::string& keys) const {
  (void)!::write(master_, keys.data(), keys.size());
}

void TerminalSession::resize(std::size_t rows, std::size_t columns) {
  picture_.resize(rows, columns);
  winsize size{};
  size.ws_row = static_cast<unsigned short>(rows);
  size.ws_col = static_cast<unsigned short>(columns);
  ::ioctl(master_, TIOCSWINSZ, &size);
}

bool TerminalSession::until(const std::function<bool(const ScreenPicture&)>& holds, double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (;;) {
    if (holds(picture_)) return true;
    if (std::chrono::steady_clock::now() > end) return false;
    pollfd entry{master_, POLLIN, 0};
    if (::poll(&entry, 1, 50) != 1) continue;
    std::array<char, 4096> octets;
    const ssize_t got = ::read(master_, octets.data(), octets.size());
    if (got <= 0) return holds(picture_);  // the other end has gone
    picture_.feed({octets.data(), static_cast<std::size_t>(got)});
  }
}

bool TerminalSession::cooked() const {
  termios modes{};
  return ::tcgetattr(master_, &modes) == 0 && (modes.c_lflag & ICANON) != 0 && (modes.c_lflag & ECHO) != 0;
}

int TerminalSession::wait() {
  (void)until([](const ScreenPicture&) { return false; }, 10);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  waited_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace keyd::testing
