// A real keyd in a directory of its own, and the real command-line programs beside it, for the integration
// tests.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace keyd::testing {

struct CommandResult {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out, err;
};

// Runs a program with `input` on its standard input; waits for its end (60 s at most, then it is killed).
CommandResult run(const std::vector<std::string>& arguments, const std::string& input = {});

// A program that runs beside the test; killed when it goes.
class BackgroundProcess {
 public:
  explicit BackgroundProcess(const std::vector<std::string>& arguments);
  ~BackgroundProcess();
  BackgroundProcess(const BackgroundProcess&) = delete;
  BackgroundProcess& operator=(const BackgroundProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void write(const std::string& input);  // to its standard input
  void close_input();
  std::string read_line();  // of its standard output; what there is at its end or after 10 s
  void signal(int number) const;
  int wait();  // its exit code, as above

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  bool waited_ = false;
};

// Where the build has put the programs.
std::string program(const std::string& name);

class PrivateKeyd {
 public:
  // Makes the directories; `config` is the text of its keyd.toml. Does not start it. Where the text names no
  // tier, the tier under test stands in a drop-in beside the file.
  explicit PrivateKeyd(std::string config = {});
  ~PrivateKeyd();
  PrivateKeyd(const PrivateKeyd&) = delete;
  PrivateKeyd& operator=(const PrivateKeyd&) = delete;

  // Starts keyd and waits until it is ready. False when it ended instead: then log() says why. A tier under test
  // that this machine does not have makes ctest count the test as skipped.
  bool start();
  // keyd is started by this command from now on, e.g. {"/usr/bin/prlimit", "--nofile=64"}. It must become
  // keyd (exec), so that pid() is keyd's.
  void start_under(std::vector<std::string> command) { launcher_ = std::move(command); }
  void stop();  // SIGTERM, and waits
  void kill();  // SIGKILL, and waits
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int exit_code() const { return exit_code_; }
  [[nodiscard]] std::string tier() const;  // that it has reached, e.g. "watch"

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string runtime_dir() const { return directory_ + "/run"; }
  [[nodiscard]] std::string state_dir() const { return directory_ + "/state"; }
  [[nodiscard]] std::string config_file() const { return directory_ + "/keyd.toml"; }
  [[nodiscard]] std::string log() const;
  // Waits up to `seconds` until the log says this: the line of a denial comes behind its answer.
  [[nodiscard]] bool wait_for_log(const std::string& text, double seconds = 30) const;

  // keyadm and keystat of this keyd.
  CommandResult keyadm(std::vector<std::string> arguments, const std::string& input = {}) const;
  CommandResult keystat(std::vector<std::string> arguments) const;
  // That keyd is live and ready, in a while: a disk that is slow at the moment makes it say otherwise.
  [[nodiscard]] bool is_healthy() const;
  // Enrols a user, or fails the test. Where `more` names no scheme, for challenge: most tests are not about a scheme,
  // and its exchange is the quickest.
  void enrol(const std::string& user, const std::string& password, std::vector<std::string> more = {}) const;
  void set_credential(const std::string& user, const std::string& name, const std::string& value) const;

  // The state that keystat shows for a process, e.g. "COMPLETE"; empty when it has no record.
  [[nodiscard]] std::string state_of(pid_t process) const;
  // Waits up to `seconds` for that state.
  [[nodiscard]] bool wait_for_state(pid_t process, const std::string& state, double seconds = 30) const;

 private:
  void reap();
  void choose_tier() const;
  [[nodiscard]] std::string tier_file() const { return config_file() + ".d/00-tier-under-test.toml"; }
  std::string directory_;
  std::vector<std::string> launcher_;
  pid_t pid_ = -1;
  int exit_code_ = -1;
};

}  // namespace keyd::testing
