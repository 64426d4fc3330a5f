// SIGHUP: what can change while keyd runs does, what cannot is told, and nobody who is served notices.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/unique_fd.h"
#include "tests/support/content.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tier_under_test.h"

namespace keyd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

class Reload : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(keyd_.start()) << keyd_.log();
    keyd_.enrol("alice", "right");
  }
  // Replaces the configuration, hangs up, and waits until the audit log tells of one more `event`.
  void reload(const std::string& config, const std::string& event = "audit config.reloaded") {
    const std::size_t before = count(keyd_.log(), event);
    std::ofstream(keyd_.config_file()) << config;
    ::kill(keyd_.pid(), SIGHUP);
    ASSERT_TRUE(eventually([&] { return count(keyd_.log(), event) > before; })) << keyd_.log();
  }
  nlohmann::json health() { return nlohmann::json::parse(keyd_.keyadm({"health", "-o", "json"}).out); }
  PrivateKeyd keyd_;
};

// Seconds that a session of this process has, from its own answer; 0 when there is none.
std::uint64_t lifetime_of_a_session(const PrivateKeyd& keyd) {
  RawClient raw(keyd.runtime_dir());
  if (!raw.start(RawClient::choice("alice")) || !raw.prove("right")) return 0;
  wire::SessionRequest whoami;
  whoami.mutable_whoami();
  const auto reply = raw.ask(whoami);
  return reply ? (reply->whoami().expires() - reply->whoami().complete_since()) / 1'000'000'000 : 0;
}

TEST_F(Reload, GivesNewSessionsTheNewTimes) {
  EXPECT_EQ(lifetime_of_a_session(keyd_), 43200u);
  reload("[session]\nlifetime = 77\n");
  EXPECT_EQ(lifetime_of_a_session(keyd_), 77u);
  reload("[session]\npending_deadline = 1\nlinger = 0\n");
  EXPECT_EQ(lifetime_of_a_session(keyd_), 43200u);  // what the file no longer says is the default again
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.start(RawClient::choice("alice")));
  EXPECT_TRUE(raw.closed_within(10));
  EXPECT_EQ(raw.last_packet.body_case(), wire::ServerPacket::kChallengeNumbers);
  EXPECT_THAT(keyd_.log(), HasSubstr("reason=\"deadline\""));
  // With no linger the failed record does not stay to be seen.
  EXPECT_TRUE(keyd_.wait_for_state(::getpid(), ""));
}

TEST_F(Reload, ShortensThePlanOfAnExecThatIsAnnouncedLater) {
  reload("[session]\nplan_deadline = 1\n");
  RawClient raw(keyd_.runtime_dir());
  ASSERT_TRUE(raw.authenticate("alice", "right"));
  wire::SessionRequest plan;
  plan.mutable_plan_exec()->set_random(std::string(32, 'r'));
  ASSERT_TRUE(raw.ask(plan));
  EXPECT_TRUE(eventually([&] { return keyd_.log().find("plan-expired") != std::string::npos; }, 8))
      << keyd_.log();
}

TEST_F(Reload, ChangesTheLimits) {
  // Somebody of this process's uid who has an exchange pending.
  const auto pending = [&] {
    return std::make_unique<Forked>([&](Forked::Child& child) {
      RawClient raw(keyd_.runtime_dir());
      const bool started = raw.start(RawClient::choice("alice"));
      child.say(started ? "pending" : raw.last_packet.refused().code() == wire::REFUSAL_BUSY ? "busy" : "?");
      child.hear();
      return 0;
    });
  };
  reload("[limits]\npending_per_uid = 1\n");
  {
    const auto first = pending();
    ASSERT_EQ(first->hear(), "pending");
    EXPECT_EQ(pending()->hear(), "busy");
    reload("[limits]\npending_per_uid = 2\n");
    EXPECT_EQ(pending()->hear(), "pending");
    reload("[limits]\nrecords_per_uid = 1\n");
    EXPECT_EQ(pending()->hear(), "busy");
  }
  reload("[limits]\nconnections_per_uid = 2\n");
  const auto let_in = [&](RawClient& raw) {
    wire::ClientPacket request;
    request.mutable_table();
    return raw.send(request) && raw.receive_message().has_table();
  };
  ASSERT_TRUE(eventually([&] { return health()["connections"] == 1; }, 5));
  RawClient one(keyd_.runtime_dir()), two(keyd_.runtime_dir()), three(keyd_.runtime_dir());
  EXPECT_TRUE(let_in(one));
  EXPECT_TRUE(let_in(two));
  EXPECT_FALSE(let_in(three));
}

TEST_F(Reload, BoundsTheConnectionsInAll) {
  reload("[limits]\nconnections = 8\n");
  std::vector<std::unique_ptr<RawClient>> all;
  int in = 0;
  for (int i = 0; i < 12; ++i) {
    all.push_back(std::make_unique<RawClient>(keyd_.runtime_dir()));
    wire::ClientPacket request;
    request.mutable_table();
    all.back()->send(request);
    in += all.back()->receive_message().has_table();
  }
  EXPECT_GE(in, 1);
  EXPECT_LE(in, 8);
}

TEST_F(Reload, ChangesWhoIsGivenTheTable) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  const auto asked_by_nobody = [&] {
    return run({"/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                program("keystat"), "--runtime-dir", keyd_.runtime_dir()})
        .exit_code;
  };
  EXPECT_EQ(asked_by_nobody(), 0);
  reload("[table]\naccess = \"administrators\"\n");
  EXPECT_EQ(asked_by_nobody(), 1);
  EXPECT_EQ(keyd_.keystat({}).exit_code, 0);
  reload("");
  EXPECT_EQ(asked_by_nobody(), 0);
}

TEST_F(Reload, OffersTheHistoricSuiteOrNot) {
  keyd_.enrol("olaf", "right", {"--allow-historic"});
  const auto gets_in = [&] {
    Forked client([&](Forked::Child&) {
      auto choice = RawClient::choice("olaf");
      choice.set_suite(wire::SUITE_HISTORIC);
      choice.set_transform(wire::TRANSFORM_HMAC_MD5);
      choice.set_nonce_bits(128);
      RawClient raw(keyd_.runtime_dir());
      return raw.start(choice) && raw.prove("right") ? 0 : 1;
    });
    return client.wait() == 0;
  };
  EXPECT_FALSE(gets_in());
  reload("[historic]\nenabled = true\nresident_passwords = true\n");
  EXPECT_THAT(keyd_.log(), HasSubstr("historic.enabled,historic.resident_passwords"));
  EXPECT_TRUE(gets_in());
  EXPECT_TRUE(gets_in());  // now from the resident password
  reload("[historic]\nenabled = true\n");
  EXPECT_TRUE(gets_in());
  reload("");
  EXPECT_FALSE(gets_in());
}

TEST_F(Reload, ChangesTheLogLevelAndTheAuditFormat) {
  EXPECT_EQ(count(keyd_.log(), "was read again"), 0u);
  reload("");
  EXPECT_TRUE(eventually([&] { return count(keyd_.log(), "was read again") == 1; }, 5)) << keyd_.log();
  reload("[daemon]\nlog_level = \"error\"\n[audit]\nformat = \"json\"\n", "\"event\":\"config.reloaded\"");
  reload("[daemon]\nlog_level = \"error\"\n[audit]\nformat = \"json\"\n", "\"event\":\"config.reloaded\"");
  keyd_.enrol("bob", "right");
  EXPECT_THAT(keyd_.log(), HasSubstr("\"event\":\"admin.user-add\",\"user\":\"bob\""));
  EXPECT_LE(count(keyd_.log(), "was read again"), 2u);  // the third is below the level
}

TEST_F(Reload, OpensTheAuditLogAnewSoThatItCanBeRotated) {
  const auto config = [](const std::string& path) { return "[audit]\nfile = \"" + path + "\"\n"; };
  const std::string file = keyd_.directory() + "/audit.log", rotated = file + ".1";
  keyd_.stop();
  std::ofstream(keyd_.config_file()) << config(keyd_.directory() + "/before.log");
  ASSERT_TRUE(keyd_.start()) << keyd_.log();
  std::ofstream(keyd_.config_file()) << config(file);
  ::kill(keyd_.pid(), SIGHUP);
  ASSERT_TRUE(eventually([&] {
    return count(content_of(file), "config.reloaded object=\"audit.file\"") == 1;
  })) << keyd_.log();
  keyd_.enrol("bob", "right");
  std::filesystem::rename(file, rotated);
  keyd_.enrol("carol", "right");
  EXPECT_THAT(content_of(rotated), HasSubstr("carol"));  // as long as it has it open
  ::kill(keyd_.pid(), SIGHUP);
  ASSERT_TRUE(eventually([&] { return count(content_of(file), "config.reloaded") == 1; }));
  keyd_.enrol("dave", "right");
  EXPECT_THAT(content_of(file), HasSubstr("user=\"dave\""));
  EXPECT_THAT(content_of(rotated), Not(HasSubstr("dave")));
  struct stat st{};
  ASSERT_EQ(::stat(file.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(Reload, RefusesAnAuditLogInADirectoryThatItDidNotStartWith) {
  if (::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) <= 0)
    GTEST_SKIP() << "this kernel has no Landlock";
  if (kSanitized) GTEST_SKIP() << "sanitizers write their reports to /tmp, where this is too";
  const std::string file = keyd_.directory() + "/audit.log";
  reload("[session]\nlifetime = 5\n[audit]\nfile = \"" + file + "\"\n", "audit config.refused");
  EXPECT_THAT(keyd_.log(), HasSubstr("restart it"));
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_EQ(lifetime_of_a_session(keyd_), 43200u);
}

TEST(ReloadInTheBackground, OpensTheLogAnewSoThatItCanBeRotated) {
  PrivateKeyd place(in_a_steady_tier());
  const auto started = run({program("keyd"), "--config", place.config_file(), "--runtime-dir",
                            place.runtime_dir(), "--state-dir", place.state_dir()});
  ASSERT_EQ(started.out, "keyd: ready\n") << started.err;
  const std::string file = place.state_dir() + "/keyd.log", rotated = file + ".1";
  std::filesystem::rename(file, rotated);
  const pid_t keyd = std::stoi(run({"/usr/bin/pgrep", "-f", "state-dir " + place.state_dir()}).out);
  ::kill(keyd, SIGHUP);
  EXPECT_TRUE(eventually([&] { return content_of(file).find("was read again") != std::string::npos; }));
  EXPECT_THAT(content_of(rotated), Not(HasSubstr("was read again")));
  ::kill(keyd, SIGTERM);
  EXPECT_TRUE(eventually([&] { return content_of(file).find("stopped") != std::string::npos; }));
}

TEST_F(Reload, NamesWhatWaitsForTheNextStartAndKeepsIt) {
  reload("[daemon]\nserver_name = \"other\"\n[table]\ncapacity = 64\n[session]\nlifetime = 5\n");
  EXPECT_THAT(keyd_.log(), HasSubstr("daemon.server_name is set otherwise now"));
  EXPECT_THAT(keyd_.log(), HasSubstr("table.capacity is set otherwise now"));
  EXPECT_EQ(lifetime_of_a_session(keyd_), 5u);  // under the name that keyd still has
  const auto told = health();
  EXPECT_EQ(told["ready"], true);
  EXPECT_EQ(told["config"]["awaiting_restart"], (nlohmann::json{"daemon.server_name", "table.capacity"}));
  EXPECT_EQ(told["capacity"], 16384);
  reload("");
  EXPECT_TRUE(health()["config"]["awaiting_restart"].empty());
}

TEST_F(Reload, RefusesABrokenConfigurationAsAWhole) {
  reload("[session]\nlifetime = 50\n");
  const auto refused = [&](const std::string& config, const std::string& why) {
    reload(config, "audit config.refused");
    EXPECT_THAT(keyd_.log(), HasSubstr(why));
    EXPECT_EQ(lifetime_of_a_session(keyd_), 50u);
    const auto told = health();
    EXPECT_EQ(told["ready"], true);
    EXPECT_EQ(told["config"]["state"], "failed");
    EXPECT_THAT(told["config"]["problem"].get<std::string>(), HasSubstr(why));
    EXPECT_THAT(keyd_.keyadm({"health"}).out, HasSubstr("config:  failed"));
  };
  refused("[session]\nlifetime = 60\npending_deadline = 0\n", "session.pending_deadline needs 1 to 600");
  refused("[session]\nlifetime = 60\n[daemon\n", "keyd.toml:3");
  refused("[session]\nlifetime = 60\nlifetme = 60\n", "unknown key session.lifetme");
  refused("[session]\nlifetime = 60\n[audit]\nfile = \"/nonexistent/audit\"\n", "cannot open the audit log");
  reload("[session]\nlifetime = 60\n");
  EXPECT_EQ(health()["config"]["state"], "reloaded");
  EXPECT_EQ(lifetime_of_a_session(keyd_), 60u);
}

TEST_F(Reload, KeepsAConfigurationWhoseFileHasGone) {
  reload("[session]\nlifetime = 50\n");
  const std::size_t before = count(keyd_.log(), "audit config.refused");
  std::filesystem::remove(keyd_.config_file());
  ::kill(keyd_.pid(), SIGHUP);
  ASSERT_TRUE(eventually([&] { return count(keyd_.log(), "audit config.refused") > before; }));
  EXPECT_THAT(keyd_.log(), HasSubstr("no configuration file"));
  EXPECT_EQ(lifetime_of_a_session(keyd_), 50u);
}

TEST(ReloadWithoutPrivileges, SaysThatItMayNotReadTheFile) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to start as root and become an account";
  PrivateKeyd keyd("[daemon]\nuser = \"nobody\"\n");
  ::chmod(keyd.config_file().c_str(), 0600);
  // The directories are made for the account by root.
  ASSERT_TRUE(keyd.start()) << keyd.log();
  ::kill(keyd.pid(), SIGHUP);
  EXPECT_TRUE(eventually([&] { return keyd.log().find("audit config.refused") != std::string::npos; }));
  EXPECT_THAT(keyd.log(), HasSubstr("cannot read " + keyd.config_file() + " as uid"));
  ::chmod(keyd.config_file().c_str(), 0644);
  ::kill(keyd.pid(), SIGHUP);
  EXPECT_TRUE(eventually([&] { return keyd.log().find("audit config.reloaded") != std::string::npos; }));
}

TEST(ReloadAndTheServiceManager, IsAnnouncedFromItsBeginningToItsEnd) {
  PrivateKeyd keyd;
  // What the service manager gives its services: a datagram socket.
  const std::string path = keyd.directory() + "/notify";
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const timeval patience{10, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto told = [&] {
    std::array<char, 512> octets{};
    const ssize_t got = ::recv(socket.get(), octets.data(), octets.size(), 0);
    return std::string(octets.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  };
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  const bool started = keyd.start();
  ::unsetenv("NOTIFY_SOCKET");
  ASSERT_TRUE(started) << keyd.log();
  const std::string ready = told();
  EXPECT_EQ(ready.find("READY=1\nSTATUS=tier "), 0u) << ready;
  ::kill(keyd.pid(), SIGHUP);
  EXPECT_EQ(told().find("RELOADING=1\nMONOTONIC_USEC="), 0u);
  EXPECT_EQ(told(), ready);
  std::ofstream(keyd.config_file()) << "broken";
  ::kill(keyd.pid(), SIGHUP);
  EXPECT_EQ(told().find("RELOADING=1"), 0u);
  EXPECT_THAT(told(), HasSubstr("READY=1\nSTATUS=tier "));  // it serves all the same
  EXPECT_THAT(keyd.log(), HasSubstr("audit config.refused"));
}

TEST_F(Reload, ManyUnderLoadAreNoticedByNobody) {
  const int rounds = ::getenv("KEYD_SOAK") != nullptr ? 100000 : 6000;
  std::atomic<bool> done{false};
  std::atomic<int> signals{0};
  std::thread hangups([&] {
    for (int i = 0; !done; ++i) {
      // One in three is broken, the good ones change limits and times to and fro.
      std::ofstream(keyd_.config_file() + ".new")
          << (i % 3 == 0   ? "[session\n"
              : i % 3 == 1 ? "[session]\nlifetime = 100\n[limits]\npending_per_uid = 40\n"
                           : "");
      std::rename((keyd_.config_file() + ".new").c_str(), keyd_.config_file().c_str());
      ::kill(keyd_.pid(), SIGHUP);
      ++signals;
      ::usleep(2000);
    }
  });
  {
    std::vector<std::unique_ptr<Forked>> clients;
    for (int i = 0; i < 3; ++i) {
      clients.push_back(std::make_unique<Forked>([&](Forked::Child& child) {
        for (int round = 0; round < rounds / 3; ++round) {
          RawClient raw(keyd_.runtime_dir());
          wire::SessionRequest whoami, end;
          whoami.mutable_whoami();
          end.mutable_end();
          if (raw.authenticate("alice", "right") && raw.ask(whoami) && raw.ask(end)) continue;
          child.say(fmt::format("round {}: answer {}, {}", round,
                                static_cast<int>(raw.last_packet.body_case()),
                                raw.last_packet.refused().text()));
          return 1;
        }
        child.say("all served");
        return 0;
      }));
    }
    for (const auto& client : clients) {
      (void)client->wait();
      EXPECT_EQ(client->hear(), "all served");
    }
  }
  done = true;
  hangups.join();
  EXPECT_GE(signals, 10);
  EXPECT_THAT(keyd_.log(), HasSubstr("audit config.reloaded"));
  EXPECT_THAT(keyd_.log(), HasSubstr("audit config.refused"));
  EXPECT_THAT(keyd_.log(), Not(HasSubstr("audit.lost")));
  EXPECT_TRUE(keyd_.is_healthy());
  std::printf("%d exchanges over %d hang-ups\n", rounds / 3 * 3, signals.load());
}

}  // namespace
}  // namespace keyd::testing
