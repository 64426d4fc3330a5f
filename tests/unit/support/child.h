// Real processes for tests: a forked child that runs a function, and a pipe to keep the two in step.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "core/base/unique_fd.h"

namespace keyd::test {

// Runs `body` in a forked child, whose exit status is what it returns. Killed and reaped when this goes;
// killed too when its parent is, so that a test that fails leaves no process behind.
class Child {
 public:
  template <typename Body>
  explicit Child(Body&& body) : pid_(::fork()) {
    if (pid_ < 0) std::abort();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::_exit(std::forward<Body>(body)());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (reaped_) return;
    ::kill(pid_, SIGKILL);
    wait();
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  void kill() { ::kill(pid_, SIGKILL); }
  // Waits until it has exited and leaves it a zombie.
  void wait_for_zombie() {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  // Reaps it: the exit status, or minus the signal that killed it.
  int wait() {
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) return -1000;
    reaped_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_;
  bool reaped_ = false;
};

// One side waits until the other has signalled, or has gone.
class Gate {
 public:
  Gate() {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    read_.reset(ends[0]);
    write_.reset(ends[1]);
  }
  void open() {
    const char octet = 1;
    if (::write(write_.get(), &octet, 1) != 1) std::abort();
  }
  void pass() {
    char octet = 0;
    write_.reset();
    while (::read(read_.get(), &octet, 1) < 0 && errno == EINTR) {
    }
  }

 private:
  UniqueFd read_, write_;
};

}  // namespace keyd::test
