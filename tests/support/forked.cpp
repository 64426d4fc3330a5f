#include "tests/support/forked.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace keyd::testing {
namespace {

void write_line(int fd, const std::string& line) {
  const std::string text = line + "\n";
  (void)!::write(fd, text.data(), text.size());
}

std::string read_line(int fd, int timeout_ms) {
  std::string line;
  char c = 0;
  pollfd entry{fd, POLLIN, 0};
  while (::poll(&entry, 1, timeout_ms) == 1 && ::read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

}  // namespace

void Forked::Child::say(const std::string& line) const { write_line(out_, line); }
std::string Forked::Child::hear() const { return read_line(in_, -1); }

Forked::Forked(const std::function<int(Child&)>& body) {
  std::array<int, 2> down{}, up{};
  if (::pipe2(down.data(), O_CLOEXEC) != 0 || ::pipe2(up.data(), O_CLOEXEC) != 0) ::abort();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(down[1]);
    ::close(up[0]);
    Child child(down[0], up[1]);
    ::_exit(body(child));
  }
  ::close(down[0]);
  ::close(up[1]);
  in_ = up[0];
  out_ = down[1];
}

Forked::~Forked() {
  if (!waited_) kill();
  ::close(in_);
  ::close(out_);
}

void Forked::say(const std::string& line) const { write_line(out_, line); }
std::string Forked::hear() const { return read_line(in_, 10000); }

void Forked::kill() {
  ::kill(pid_, SIGKILL);
  (void)wait();
}

int Forked::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  waited_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace keyd::testing
