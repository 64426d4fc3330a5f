// What the programs at the client's end keep: one with libkeyclient, keyrun's command, keyadm at its prompt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/secrets/known_session.h"
#include "tests/secrets/memory_hunt.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {
namespace {

using ::testing::IsEmpty;

class SecretsInClient : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: keyrun and keyadm cannot be looked into by others";
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", password_);
    keyd_.set_credential("alice", "token", value_);
    hunt_.mark("password", bytes_of(password_));
    hunt_.mark("credential", bytes_of(value_));
    ::setenv("KEYD_RUNTIME_DIR", keyd_.runtime_dir().c_str(), 1);
  }
  void TearDown() override { ::unsetenv("KEYD_RUNTIME_DIR"); }
  [[nodiscard]] std::vector<Finding> in_environment_of(pid_t pid) const {
    auto found = hunt_.in_file("/proc/" + std::to_string(pid) + "/environ");
    auto more = hunt_.in_file("/proc/" + std::to_string(pid) + "/cmdline");
    found.insert(found.end(), more.begin(), more.end());
    return found;
  }

  PrivateKeyd keyd_;
  const std::string password_ = marked_text(24), value_ = marked_text(40);
  Hunt hunt_;
};

TEST_F(SecretsInClient, ALibraryForgetsThePasswordWhenItHasProvedIt) {
  BackgroundProcess client({program("hunted_client"), "alice"});
  client.write(password_ + "\n");
  ASSERT_EQ(client.read_line(), "in");
  EXPECT_THAT(hunt_.in_process(client.pid()), IsEmpty()) << text_of(hunt_.in_process(client.pid()));
  client.write("\n");
  ASSERT_EQ(client.read_line(), "closed");
  EXPECT_THAT(hunt_.in_process(client.pid()), IsEmpty()) << text_of(hunt_.in_process(client.pid()));
}

TEST_F(SecretsInClient, ALibraryForgetsAWrongPasswordToo) {
  const std::string wrong = marked_text(24);
  hunt_.mark("wrong password", bytes_of(wrong));
  BackgroundProcess client({program("hunted_client"), "alice"});
  client.write(wrong + "\n");
  ASSERT_EQ(client.read_line(), "out");
  EXPECT_THAT(hunt_.in_process(client.pid()), IsEmpty()) << text_of(hunt_.in_process(client.pid()));
}

TEST_F(SecretsInClient, KeyrunsCommandHasThemNeitherInMemoryNorInItsEnvironment) {
  BackgroundProcess command({program("keyrun"), "--runtime-dir", keyd_.runtime_dir(), "--user", "alice",
                             "--password-fd", "0", "--credential", "token", "--", "/bin/sh", "-c",
                             "echo here; read line; echo $line; read line"});
  command.write(password_ + "\n");
  ASSERT_EQ(command.read_line(), "here");
  EXPECT_THAT(hunt_.in_process(command.pid()), IsEmpty()) << text_of(hunt_.in_process(command.pid()));
  EXPECT_THAT(in_environment_of(command.pid()), IsEmpty());
}

// keyadm on a terminal of its own.
class AtATerminal {
 public:
  explicit AtATerminal(std::vector<std::string> arguments) {
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ != 0) return;
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ~AtATerminal() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(terminal_);
  }
  AtATerminal(const AtATerminal&) = delete;
  AtATerminal& operator=(const AtATerminal&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Reads until the terminal shows `what`; false when it does not within ten seconds.
  bool shows(const std::string& what) {
    for (int i = 0; i < 100 && shown_.find(what) == std::string::npos; ++i) {
      pollfd entry{terminal_, POLLIN, 0};
      char octets[256];
      if (::poll(&entry, 1, 100) != 1) continue;
      const ssize_t got = ::read(terminal_, octets, sizeof octets);
      if (got <= 0) break;
      shown_.append(octets, static_cast<std::size_t>(got));
    }
    return shown_.find(what) != std::string::npos;
  }
  void type(const std::string& line) const { (void)!::write(terminal_, line.data(), line.size()); }
  [[nodiscard]] const std::string& shown() const { return shown_; }
  int wait() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
  int terminal_ = -1;
  std::string shown_;
};

TEST_F(SecretsInClient, KeyadmHasWhatWasTypedInLockedMemoryAloneAndDoesNotShowIt) {
  const std::string typed = marked_text(24);
  AtATerminal keyadm({program("keyadm"), "--runtime-dir", keyd_.runtime_dir(), "user", "add", "grace"});
  Hunt hunt;
  hunt.mark("typed", bytes_of(typed));
  ASSERT_TRUE(keyadm.shows(": "));
  keyadm.type(typed + "\n");
  ASSERT_TRUE(keyadm.shows("The same again: ")) << keyadm.shown();
  auto found = hunt.in_process(keyadm.pid());
  EXPECT_FALSE(found.empty()) << "the hunt cannot see what must be there";
  std::erase_if(found, [](const Finding& f) { return f.locked; });
  EXPECT_THAT(found, IsEmpty()) << text_of(found);
  keyadm.type(typed + "\n");
  EXPECT_EQ(keyadm.wait(), 0) << keyadm.shown();
  EXPECT_EQ(keyadm.shown().find(typed), std::string::npos) << "the terminal echoed it";
  auto in_keyd = hunt.in_process(keyd_.pid());
  EXPECT_THAT(in_keyd, IsEmpty()) << text_of(in_keyd);
}

}  // namespace
}  // namespace keyd::testing
