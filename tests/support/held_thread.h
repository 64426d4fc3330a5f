// A thread of keyd that stands still while the others go on, as a dead disk or a starved processor would hold it.
#pragma once

#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace keyd::testing {

// The threads of a process that have this name.
[[nodiscard]] inline std::vector<pid_t> threads_of(pid_t process, const std::string& name) {
  std::vector<pid_t> found;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    std::ifstream file(entry.path() / "comm");
    std::string comm;
    if (std::getline(file, comm) && comm == name) found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

class HeldThread {
 public:
  // From where it is at this moment. It should be waiting for work: what it has locked stays so.
  explicit HeldThread(pid_t thread) : thread_(thread) {
    if (::ptrace(PTRACE_SEIZE, thread_, nullptr, nullptr) != 0) return;
    held_ = ::ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr) == 0 &&
            ::waitpid(thread_, nullptr, __WALL) == thread_;
  }
  ~HeldThread() { let_go(); }
  HeldThread(const HeldThread&) = delete;
  HeldThread& operator=(const HeldThread&) = delete;

  // False, with errno: this needs the right to trace it.
  [[nodiscard]] bool held() const { return held_; }
  // From the thread that has made this.
  void let_go() {
    if (held_) ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr);
    held_ = false;
  }

 private:
  pid_t thread_;
  bool held_ = false;
};

}  // namespace keyd::testing
