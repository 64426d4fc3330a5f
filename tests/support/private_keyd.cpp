#include "tests/support/private_keyd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using Clock = std::chrono::steady_clock;

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

// Forks and execs with the given descriptors as 0, 1 and 2. The child dies with the test.
pid_t spawn(const std::vector<std::string>& arguments, int in, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(err, 2);
    ::close_range(3, ~0U, 0);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  return child;
}

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) == 0) {
      read_end = ends[0];
      write_end = ends[1];
    }
  }
};

}  // namespace

CommandResult run(const std::vector<std::string>& arguments, const std::string& input) {
  Pipe in, out, err;
  const pid_t child = spawn(arguments, in.read_end, out.write_end, err.write_end);
  ::close(out.write_end);
  ::close(err.write_end);
  // Into a pipe that holds it all and has our own reader: neither does it wait, nor is there a SIGPIPE when the child ends
  // without reading.
  ::fcntl(in.write_end, F_SETPIPE_SZ, 1 << 20);
  (void)!::write(in.write_end, input.data(), input.size());
  ::close(in.read_end);
  ::close(in.write_end);
  CommandResult result;
  std::array<pollfd, 2> entries{pollfd{out.read_end, POLLIN, 0}, pollfd{err.read_end, POLLIN, 0}};
  const auto deadline = Clock::now() + std::chrono::seconds(60);
  for (int open = 2; open > 0;) {
    if (Clock::now() > deadline) ::kill(child, SIGKILL);
    ::poll(entries.data(), entries.size(), 1000);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].fd < 0 || entries[i].revents == 0) continue;
      std::array<char, 4096> buffer;
      const ssize_t got = ::read(entries[i].fd, buffer.data(), buffer.size());
      if (got <= 0) {
        ::close(entries[i].fd);
        entries[i].fd = -1;
        --open;
      } else {
        (i == 0 ? result.out : result.err).append(buffer.data(), static_cast<std::size_t>(got));
      }
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  result.exit_code = code_of(status);
  return result;
}

BackgroundProcess::BackgroundProcess(const std::vector<std::string>& arguments) {
  Pipe in, out;
  pid_ = spawn(arguments, in.read_end, out.write_end, STDERR_FILENO);
  ::close(in.read_end);
  ::close(out.write_end);
  in_ = in.write_end;
  out_ = out.read_end;
}

BackgroundProcess::~BackgroundProcess() {
  if (!waited_) {
    signal(SIGKILL);
    (void)wait();
  }
  close_input();
  ::close(out_);
}

void BackgroundProcess::write(const std::string& input) { (void)!::write(in_, input.data(), input.size()); }
void BackgroundProcess::close_input() {
  if (in_ >= 0) ::close(in_);
  in_ = -1;
}

std::string BackgroundProcess::read_line() {
  std::string line;
  char c = 0;
  pollfd entry{out_, POLLIN, 0};
  while (::poll(&entry, 1, 10000) == 1 && ::read(out_, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

void BackgroundProcess::signal(int number) const { ::kill(pid_, number); }

int BackgroundProcess::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  waited_ = true;
  return code_of(status);
}

std::string program(const std::string& name) {
  for (const char* folder :
       {"/keyd/", "/tools/keyadm/", "/tools/keypasswd/", "/tools/keyrun/", "/tools/keystat/", "/docs/",
        "/tests/integration/", "/tests/secrets/", "/tests/adversarial/", "/tests/races/"}) {
    std::string path = std::string(KEYD_BUILD_DIR) + folder + name;
    struct stat st{};
    if (::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode)) return path;
  }
  ADD_FAILURE() << "no program " << name << " in the build";
  return {};
}

PrivateKeyd::PrivateKeyd(std::string config) {
  std::string pattern = "/tmp/keyd-test.XXXXXX";
  directory_ = ::mkdtemp(pattern.data());
  ::chmod(directory_.c_str(), 0755);  // other users' clients get to its socket
  std::ofstream(config_file()) << config;
  choose_tier();
}

// A drop-in, so that the file is what the test has written, and a test that writes it anew for a reload stays in
// the tier.
void PrivateKeyd::choose_tier() const {
  const std::string tier = tier_under_test();
  if (tier == "auto") return;
  if (content_of(config_file()).find("tier = ") != std::string::npos) {
    std::filesystem::remove(tier_file());
    return;
  }
  std::filesystem::create_directory(config_file() + ".d");
  std::ofstream(tier_file()) << "[daemon]\ntier = \"" << tier << "\"\n";
}

PrivateKeyd::~PrivateKeyd() {
  if (pid_ > 0) stop();
  if (::testing::Test::HasFailure()) std::fputs(log().c_str(), stderr);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

bool PrivateKeyd::start() {
  choose_tier();  // the test may have written the file anew
  Pipe out;
  const int log_fd = ::open((directory_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  std::vector<std::string> command = launcher_;
  command.insert(command.end(), {program("keyd"), "-F", "--config", config_file(), "--runtime-dir",
                                 runtime_dir(), "--state-dir", state_dir()});
  pid_ = spawn(command, null, out.write_end, log_fd);
  ::close(out.write_end);
  ::close(log_fd);
  ::close(null);
  std::string said;
  char c = 0;
  while (said.find('\n') == std::string::npos && ::read(out.read_end, &c, 1) == 1) said += c;
  ::close(out.read_end);
  if (said == "keyd: ready\n") return true;
  reap();
  // What GoogleTest says of a test that is skipped, which is what ctest looks for.
  if (std::filesystem::exists(tier_file()) &&
      log().find("tier " + tier_under_test() + " cannot be reached") != std::string::npos) {
    std::printf("[  SKIPPED ] this machine has no tier %s\n", tier_under_test().c_str());
    std::fflush(stdout);
  }
  return false;
}

void PrivateKeyd::reap() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  exit_code_ = code_of(status);
  pid_ = -1;
}

void PrivateKeyd::stop() {
  ::kill(pid_, SIGTERM);
  reap();
}

void PrivateKeyd::kill() {
  ::kill(pid_, SIGKILL);
  reap();
}

std::string PrivateKeyd::log() const { return content_of(directory_ + "/log"); }

std::string PrivateKeyd::tier() const {
  const auto json = nlohmann::json::parse(keystat({"-o", "json"}).out, nullptr, false);
  if (json.is_discarded() || !json.contains("table")) return {};
  return json["table"]["tier"];
}

bool PrivateKeyd::wait_for_log(const std::string& text, double seconds) const {
  return eventually([&] { return log().find(text) != std::string::npos; }, seconds);
}

CommandResult PrivateKeyd::keyadm(std::vector<std::string> arguments, const std::string& input) const {
  arguments.insert(arguments.begin(), {program("keyadm"), "--runtime-dir", runtime_dir()});
  return run(arguments, input);
}

CommandResult PrivateKeyd::keystat(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {program("keystat"), "--runtime-dir", runtime_dir()});
  return run(arguments);
}

void PrivateKeyd::enrol(const std::string& user, const std::string& password,
                        std::vector<std::string> more) const {
  std::vector<std::string> arguments{"user", "add", user, "--password-fd", "0"};
  if (std::ranges::find(more, "--scheme") == more.end())
    arguments.insert(arguments.end(), {"--scheme", "challenge"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto result = keyadm(arguments, password + "\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
}

void PrivateKeyd::set_credential(const std::string& user, const std::string& name,
                                 const std::string& value) const {
  const auto result = keyadm({"credential", "set", user, name, "--value-fd", "0"}, value);
  ASSERT_EQ(result.exit_code, 0) << result.err;
}

std::string PrivateKeyd::state_of(pid_t process) const {
  const auto result = keystat({std::to_string(process), "-o", "json"});
  const auto json = nlohmann::json::parse(result.out, nullptr, false);
  if (json.is_discarded() || json["tasks"].empty()) return {};
  return json["tasks"][0]["state"];
}

bool PrivateKeyd::is_healthy() const {
  return eventually([&] { return keyadm({"health"}).exit_code == 0; });
}

bool PrivateKeyd::wait_for_state(pid_t process, const std::string& state, double seconds) const {
  return eventually([&] { return state_of(process) == state; }, seconds);
}

}  // namespace keyd::testing
