// Code of a test that has to run in another process: a forked child with a line of talk in each direction.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace keyd::testing {

class Forked {
 public:
  // In the child: says a line to the parent, hears one from it, however long that takes (empty when the parent has
  // gone).
  class Child {
   public:
    Child(int in, int out) : in_(in), out_(out) {}
    void say(const std::string& line) const;
    std::string hear() const;

   private:
    int in_, out_;
  };

  // Forks; the child runs `body` and exits with what it returns.
  explicit Forked(const std::function<int(Child&)>& body);
  ~Forked();  // kills it if it still runs
  Forked(const Forked&) = delete;
  Forked& operator=(const Forked&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void say(const std::string& line) const;
  std::string hear() const;  // empty at the end, or after 10 s
  void kill();
  int wait();  // its exit code; 128 + signal

 private:
  pid_t pid_;
  int in_ = -1, out_ = -1;
  bool waited_ = false;
};

}  // namespace keyd::testing
