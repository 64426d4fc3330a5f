// keyrun and the one exec that a record survives.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <keyclient/keyclient.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

class PlannedExec : public ::testing::Test {
 protected:
  static constexpr unsigned kPlanDeadline = 5;  // seconds; a busy machine executes a program within it
  void start(const std::string& tier) {
    keyd_ = std::make_unique<PrivateKeyd>("[daemon]\ntier = \"" + tier + "\"\n[session]\nplan_deadline = " +
                                          std::to_string(kPlanDeadline) + "\n");
    ASSERT_TRUE(keyd_->start()) << keyd_->log();
    keyd_->enrol("alice", "right");
    keyd_->set_credential("alice", "token", "the-value");
  }
  std::vector<std::string> keyrun(std::vector<std::string> options, std::vector<std::string> command) {
    std::vector<std::string> arguments{program("keyrun"), "--runtime-dir", keyd_->runtime_dir(),
                                       "--scheme",        "challenge",     "--user",
                                       "alice",           "--password-fd", "0"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back("--");
    arguments.insert(arguments.end(), command.begin(), command.end());
    return arguments;
  }
  nlohmann::json task(pid_t pid) {
    const auto json =
        nlohmann::json::parse(keyd_->keystat({std::to_string(pid), "-o", "json"}).out, nullptr, false);
    return json.is_discarded() || json["tasks"].empty() ? nlohmann::json::object() : json["tasks"][0];
  }
  std::unique_ptr<PrivateKeyd> keyd_;
};

TEST_F(PlannedExec, KeyrunsCommandReadsItsCredentialAndKeepsItsRecordAndASecondExecLosesIt) {
  const auto tiers = tiers_to_test(kTiersThatSeeExecs);
  if (tiers.empty()) GTEST_SKIP() << "no tier here sees execs";
  for (const std::string& tier : tiers) {
    SCOPED_TRACE(tier);
    start(tier);
    BackgroundProcess command(
        keyrun({"--credential", "token"},
               {"/bin/sh", "-c", "cat <&$KEYD_CREDENTIAL_TOKEN; echo; read line; exec sleep 30"}));
    command.write("right\n");
    EXPECT_EQ(command.read_line(), "the-value");
    ASSERT_TRUE(keyd_->wait_for_state(command.pid(), "COMPLETE"));
    EXPECT_EQ(task(command.pid())["exec_generation"], 1);
    EXPECT_EQ(task(command.pid())["command"], "sh");
    // Not adopted: past the plan's deadline the channel is dropped and the record stays.
    EXPECT_TRUE(keyd_->wait_for_log("exec.not-adopted", 3 * kPlanDeadline));
    EXPECT_EQ(keyd_->state_of(command.pid()), "COMPLETE");
    command.write("go on\n");
    EXPECT_TRUE(keyd_->wait_for_state(command.pid(), "REVOKED"));
    EXPECT_EQ(task(command.pid())["reason"], "exec");
  }
}

TEST_F(PlannedExec, ALibraryInTheCommandTakesTheSessionOver) {
  for (const std::string& tier : tiers_to_test()) {
    SCOPED_TRACE(tier);
    start(tier);
    BackgroundProcess command(keyrun({}, {program("adopting_client")}));
    command.write("right\n");
    EXPECT_EQ(command.read_line(), "adopt: done");
    EXPECT_EQ(command.read_line(), "echo: done hello");
    EXPECT_EQ(command.read_line(), "whoami: done alice generation 1");
    EXPECT_EQ(command.read_line(), "credential: done the-value");
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(command.pid()) + "/fd")) {
      const std::string file = std::filesystem::read_symlink(entry);
      EXPECT_EQ(file.find("secretmem"), std::string::npos) << "the keys are still open";
    }
    ::sleep(kPlanDeadline + 1);
    EXPECT_EQ(keyd_->state_of(command.pid()), "COMPLETE");
    command.write("end\n");
    EXPECT_EQ(command.wait(), 0);
    EXPECT_TRUE(keyd_->wait_for_state(command.pid(), "", 10.0));
  }
}

TEST_F(PlannedExec, TheImageAfterAnUnplannedExecGetsNothing) {
  for (const std::string& tier : tiers_to_test()) {
    SCOPED_TRACE(tier);
    start(tier);
    BackgroundProcess command(keyrun({}, {program("adopting_client"), "again"}));
    command.write("right\n");
    for (int i = 0; i < 4; ++i) (void)command.read_line();
    EXPECT_EQ(command.read_line(), "adopt: not found");  // the first image took the variable away
    EXPECT_TRUE(eventually([&] {
      const std::string state = keyd_->state_of(command.pid());
      return state == "REVOKED" || state.empty();
    }));
  }
}

TEST_F(PlannedExec, AShellThatExecutesTheAdopterIsOneExecTooMany) {
  const auto tiers = tiers_to_test(kTiersThatSeeExecs);
  if (tiers.empty()) GTEST_SKIP() << "no tier here sees execs";
  for (const std::string& tier : tiers) {
    SCOPED_TRACE(tier);
    start(tier);
    BackgroundProcess command(keyrun({}, {"/bin/sh", "-c", "exec " + program("adopting_client")}));
    command.write("right\n");
    EXPECT_EQ(command.read_line(), "adopt: the session is over");
  }
}

TEST_F(PlannedExec, InTierPidfdARecordThatIsNotAdoptedFalls) {
  start("pidfd");
  BackgroundProcess command(keyrun({}, {"/bin/sleep", "30"}));
  command.write("right\n");
  ASSERT_TRUE(keyd_->wait_for_state(command.pid(), "COMPLETE"));
  EXPECT_TRUE(keyd_->wait_for_state(command.pid(), "REVOKED", 3 * kPlanDeadline));
  EXPECT_EQ(task(command.pid())["reason"], "plan-expired");
}

TEST_F(PlannedExec, ASetUidImageIsNotWhatWasPlanned) {
  const auto tiers = tiers_to_test(kTiersThatSeeExecs);
  if (tiers.empty()) GTEST_SKIP() << "no tier here sees execs";
  for (const std::string& tier : tiers) {
    SCOPED_TRACE(tier);
    start(tier);
    if (::getuid() != 0) GTEST_SKIP() << "needs root";
    // sleep, owned by root and set-uid, run by an ordinary user.
    const std::string image = keyd_->directory() + "/suid-sleep";
    std::filesystem::copy_file("/bin/sleep", image);
    ASSERT_EQ(::chmod(image.c_str(), 04755), 0);
    std::vector<std::string> arguments{"/usr/bin/setpriv", "--reuid", "65534",
                                       "--regid",          "65534",   "--clear-groups"};
    for (const auto& argument : keyrun({}, {image, "30"})) arguments.push_back(argument);
    BackgroundProcess command(arguments);
    command.write("right\n");
    EXPECT_TRUE(keyd_->wait_for_state(command.pid(), "REVOKED"));
    const auto result = run({"/bin/ps", "-o", "euid=", "-p", std::to_string(command.pid())});
    EXPECT_NE(result.out.find(" 0"), std::string::npos)
        << "the image did not become set-uid; the test shows nothing: " << result.out;
  }
}

TEST_F(PlannedExec, KeyrunRefusesClearlyAndRunsNothing) {
  start("pidfd");
  auto result = run(keyrun({}, {"/bin/echo", "ran"}), "wrong\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "keyrun: denied: wrong user name or password\n");
  result = run(keyrun({"--credential", "none"}, {"/bin/echo", "ran"}), "right\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("\"none\""), std::string::npos);
  result = run(keyrun({}, {"/no/such/program"}), "right\n");
  EXPECT_EQ(result.exit_code, 1);
  result = run(keyrun({}, {}), "right\n");
  EXPECT_EQ(result.exit_code, 2);
  result = run(keyrun({"--suite", "historic"}, {"/bin/echo", "ran"}), "right\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("historic"), std::string::npos);
  result =
      run({program("keyrun"), "--runtime-dir", "/nonexistent", "--user", "alice", "--", "/bin/true"}, "");
  EXPECT_EQ(result.exit_code, 3);
}

TEST_F(PlannedExec, TheCommandGetsNeitherThePasswordsDescriptorNorAnEarlierSession) {
  start("pidfd");
  const std::string file = keyd_->directory() + "/password";
  std::ofstream(file) << "right\n";
  const auto result = run(
      {"/bin/bash", "-c",
       "KEYD_SESSION=98:99 KEYD_CREDENTIAL_OLD=7 exec " + program("keyrun") + " --runtime-dir " +
           keyd_->runtime_dir() +
           " --user alice --scheme challenge --password-fd 7 -- /bin/sh -c 'ls -l /proc/self/fd; env' 7<" +
           file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find(file), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find("KEYD_CREDENTIAL_OLD"), std::string::npos);
  EXPECT_EQ(result.out.find("98:99"), std::string::npos);
}

// Who starts the program chooses the numbers: they may be those of a file of the program's user.
TEST_F(PlannedExec, AdoptionTakesKeysFromSecretMemoryAloneAndLeavesAnythingElseAlone) {
  start("pidfd");
  const std::string path = keyd_->directory() + "/precious", content(8192, 'p');
  std::ofstream(path) << content;
  Forked child([&](Forked::Child&) {
    int ends[2];
    const int file = ::open(path.c_str(), O_RDWR), empty = ::memfd_create("keys", 0);
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0 || file < 0 || empty < 0) return 1;
    for (const int keys : {file, empty, ends[1]}) {
      ::setenv("KEYD_SESSION", (std::to_string(ends[0]) + ":" + std::to_string(keys)).c_str(), 1);
      keyclient_t* client = nullptr;
      if (keyclient_adopt(nullptr, &client) != KEYCLIENT_INVALID) return 2;
      if (::getenv("KEYD_SESSION") != nullptr) return 3;
      if (::fcntl(keys, F_GETFD) != 0 || ::fcntl(ends[0], F_GETFD) != 0) return 4;
    }
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(content_of(path), content);
}

TEST_F(PlannedExec, NothingSecretIsInTheCommandsEnvironment) {
  start("pidfd");
  const auto result = run(keyrun({"--credential", "token"}, {"/usr/bin/env"}), "right\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find("the-value"), std::string::npos);
  EXPECT_EQ(result.out.find("right"), std::string::npos);
  EXPECT_NE(result.out.find("KEYD_CREDENTIAL_TOKEN="), std::string::npos);
}

}  // namespace
}  // namespace keyd::testing
