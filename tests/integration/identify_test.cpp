// Who is at the other end of a socket, and whether it still is: everything that can happen to a peer between two
// looks at it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <keyclient/keyclient.hpp>
#include <thread>

#include "core/base/clock.h"
#include "core/kernel/pidfd.h"
#include "tests/support/descriptors.h"
#include "tests/support/eventually.h"
#include "tests/support/fork_as.h"
#include "tests/support/forked.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

// A tier, and the lines of keyd.toml's [daemon] that force it.
struct TierChoice {
  const char* name;
  const char* tier;
  const char* lines;
};

class Identify : public ::testing::TestWithParam<TierChoice> {
 protected:
  void SetUp() override {
    start();
    if (IsSkipped() || HasFatalFailure()) return;
    const std::string path = keyd_->directory() + "/service.sock";
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sun_family = AF_UNIX;
    path.copy(address_.sun_path, sizeof address_.sun_path - 1);
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_), 0);
    ASSERT_EQ(::listen(listener_.get(), 16), 0);
    who_.size = sizeof who_;
  }
  void TearDown() override {
    keyclient_peer_free(peer_);
    keyclient_close(client_);
  }
  void start() {
    keyd_ = std::make_unique<PrivateKeyd>("[daemon]\ntier = \"" + std::string(GetParam().tier) + "\"\n" +
                                          GetParam().lines);
    if (!keyd_->start()) {
      if (keyd_->log().find("cannot be reached") != std::string::npos) GTEST_SKIP() << keyd_->log();
      FAIL() << keyd_->log();
    }
    keyd_->enrol("alice", "right");
    open_client();
  }
  void open_client() {
    keyclient_close(client_);
    keyclient_options options{};
    options.size = sizeof options;
    const std::string directory = keyd_->runtime_dir();
    options.runtime_dir = directory.c_str();
    ASSERT_EQ(keyclient_open(&options, &client_), KEYCLIENT_OK) << keyclient_error();
  }
  [[nodiscard]] int connect() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0 ? fd : -1;
  }
  using Script = std::function<int(Forked::Child&, RawClient&)>;
  // A process that is authenticated and has connected to us. After a line it goes on with `then`.
  std::unique_ptr<Forked> authenticated(const Script& then = {}) {
    auto process = std::make_unique<Forked>([this, then](Forked::Child& child) {
      RawClient raw(keyd_->runtime_dir());
      const bool in = raw.authenticate("alice", "right") && connect() >= 0;
      child.say(in ? "in" : "out");
      child.hear();
      return then ? then(child, raw) : 0;
    });
    EXPECT_EQ(process->hear(), "in");
    accepted_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return process;
  }
  keyclient_status identify(int socket) {
    keyclient_peer_free(std::exchange(peer_, nullptr));
    return keyclient_identify(client_, socket, &peer_, &who_);
  }
  keyclient_status identify() { return identify(accepted_.get()); }
  // What the check says once it no longer says OK; OK when it goes on to.
  keyclient_status end_of_check() {
    keyclient_status status = KEYCLIENT_OK;
    (void)eventually([&] { return (status = keyclient_peer_check(peer_)) != KEYCLIENT_OK; });
    return status;
  }

  std::unique_ptr<PrivateKeyd> keyd_;
  keyclient_t* client_ = nullptr;
  keyclient_peer_t* peer_ = nullptr;
  keyclient_identity who_{};
  UniqueFd listener_, accepted_;
  sockaddr_un address_{};
};

TEST_P(Identify, SaysWhoAndGivesAPeerThatStands) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK) << keyclient_error();
  ASSERT_NE(peer_, nullptr);
  EXPECT_STREQ(who_.user, "alice");
  EXPECT_EQ(who_.pid, static_cast<std::uint32_t>(process->pid()));
  EXPECT_STREQ(who_.tier, GetParam().tier);
  // The strength is what the table says.
  keyclient_table table{};
  table.size = sizeof table;
  ASSERT_EQ(keyclient_table_info(client_, &table), KEYCLIENT_OK);
  EXPECT_EQ(who_.on_exec, table.on_exec);
  EXPECT_EQ(who_.on_exit, table.on_exit);
  EXPECT_EQ(who_.on_credentials, table.on_credentials);
  EXPECT_NE(who_.on_exit, KEYCLIENT_NEVER);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(keyclient_peer_check(peer_), KEYCLIENT_OK) << keyclient_error();
    ASSERT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_OK) << keyclient_error();
  }
  EXPECT_EQ(keyclient_peer_wait(peer_, 20), KEYCLIENT_DEADLINE);
  // The pidfd is of that process and closes with the peer.
  const auto pidfd = kernel::open_pidfd(process->pid());
  EXPECT_EQ(kernel::pidfs_inode(keyclient_peer_descriptor(peer_)), kernel::pidfs_inode(pidfd->get()));
  EXPECT_EQ(::fcntl(keyclient_peer_descriptor(peer_), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  const std::size_t before = descriptors_of();
  keyclient_peer_free(std::exchange(peer_, nullptr));
  EXPECT_EQ(descriptors_of(), before - 1);
}

TEST_P(Identify, GivesNoPeerForAnybodyElse) {
  const auto refused = [&](int socket) {
    const std::size_t before = descriptors_of();
    peer_ = reinterpret_cast<keyclient_peer_t*>(16);  // must not be left as it was
    const keyclient_status status = keyclient_identify(client_, socket, &peer_, &who_);
    EXPECT_EQ(peer_, nullptr);
    EXPECT_STREQ(who_.user, "");
    EXPECT_EQ(descriptors_of(), before);
    return status;
  };
  keyclient_identity first{};
  first.size = sizeof first;
  ASSERT_EQ(keyclient_whoami(client_, &first), KEYCLIENT_NOT_AUTHENTICATED);  // fetches the table
  {
    Forked nobody([&](Forked::Child& child) {
      child.say(connect() >= 0 ? "connected" : "not");
      child.hear();
      return 0;
    });
    ASSERT_EQ(nobody.hear(), "connected");
    const UniqueFd theirs(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_EQ(refused(theirs.get()), KEYCLIENT_NOT_AUTHENTICATED);
    nobody.kill();
    EXPECT_EQ(refused(theirs.get()), KEYCLIENT_NOT_AUTHENTICATED);
  }
  EXPECT_EQ(refused(STDIN_FILENO), KEYCLIENT_UNKNOWN);
  EXPECT_EQ(refused(-1), KEYCLIENT_UNKNOWN);
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  EXPECT_EQ(refused(pair[0]), KEYCLIENT_NOT_AUTHENTICATED) << "it was made by this process, which is nobody";
  ::close(pair[0]), ::close(pair[1]);
  EXPECT_EQ(keyclient_identify(client_, STDIN_FILENO, nullptr, &who_), KEYCLIENT_INVALID);
  who_.size = 4;
  EXPECT_EQ(keyclient_identify(client_, STDIN_FILENO, &peer_, &who_), KEYCLIENT_INVALID);
  who_.size = sizeof who_;
  EXPECT_EQ(keyclient_identify(nullptr, STDIN_FILENO, &peer_, &who_), KEYCLIENT_INVALID);
  EXPECT_EQ(keyclient_peer_check(nullptr), KEYCLIENT_INVALID);
  EXPECT_EQ(keyclient_peer_glance(nullptr), KEYCLIENT_INVALID);
  EXPECT_EQ(keyclient_peer_wait(nullptr, 0), KEYCLIENT_INVALID);
  EXPECT_EQ(keyclient_peer_descriptor(nullptr), -1);
  keyclient_peer_free(nullptr);
}

TEST_P(Identify, APendingOneIsNobodyYet) {
  Forked pending([&](Forked::Child& child) {
    RawClient raw(keyd_->runtime_dir());
    child.say(raw.start(RawClient::choice("alice")) && connect() >= 0 ? "pending" : "not");
    child.hear();
    child.say(raw.prove("right") ? "in" : "out");
    child.hear();
    return 0;
  });
  ASSERT_EQ(pending.hear(), "pending");
  accepted_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(identify(), KEYCLIENT_NOT_AUTHENTICATED);
  EXPECT_EQ(who_.state, KEYCLIENT_STATE_PENDING);
  EXPECT_EQ(peer_, nullptr);
  pending.say("prove");
  ASSERT_EQ(pending.hear(), "in");
  EXPECT_EQ(identify(), KEYCLIENT_OK) << keyclient_error();
}

TEST_P(Identify, IsGoneWhenThePeerExitsWhileItIsWaitedFor) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    process->kill();
  });
  EXPECT_EQ(keyclient_peer_wait(peer_, 10'000), KEYCLIENT_GONE);
  later.join();
  pollfd entry{keyclient_peer_descriptor(peer_), POLLIN, 0};
  EXPECT_EQ(::poll(&entry, 1, 5000), 1) << "the descriptor says so to an event loop";
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE);
  EXPECT_EQ(identify(), KEYCLIENT_NOT_AUTHENTICATED);
}

TEST_P(Identify, TheCheckSeesAnExitBeforeKeydDoes) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  ASSERT_EQ(::kill(keyd_->pid(), SIGSTOP), 0);
  process->kill();  // and reaped
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE) << keyclient_error();
  EXPECT_EQ(keyclient_peer_glance(peer_),
            who_.on_exit == KEYCLIENT_SYNCHRONOUS ? KEYCLIENT_GONE : KEYCLIENT_OK);
  EXPECT_EQ(keyclient_lookup_socket(client_, accepted_.get(), &who_), KEYCLIENT_NOT_AUTHENTICATED);
  ASSERT_EQ(::kill(keyd_->pid(), SIGCONT), 0);
}

TEST_P(Identify, TheCheckSeesAZombieForWhatItIs) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  ASSERT_EQ(::kill(keyd_->pid(), SIGSTOP), 0);
  process->say("exit");
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(process->pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE) << keyclient_error();
  EXPECT_EQ(keyclient_lookup_socket(client_, accepted_.get(), &who_), KEYCLIENT_NOT_AUTHENTICATED);
  ASSERT_EQ(::kill(keyd_->pid(), SIGCONT), 0);
}

TEST_P(Identify, TheCheckSeesAChangeOfIdsBeforeKeydDoes) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  // Each id alone: the effective ones are in the record, the others are not.
  const std::function<int()> changes[] = {
      [] { return ::setresuid(65534, 65534, 65534); }, [] { return ::setresgid(65534, 65534, 65534); },
      [] { return ::setresuid(static_cast<uid_t>(-1), static_cast<uid_t>(-1), 65534); },
      [] { return ::setresgid(65534, static_cast<gid_t>(-1), static_cast<gid_t>(-1)); }};
  for (const auto& change : changes) {
    SCOPED_TRACE(&change - changes);
    const auto process = authenticated([&](Forked::Child& child, RawClient&) {
      child.say(change() == 0 ? "changed" : "not");
      child.hear();
      return 0;
    });
    ASSERT_EQ(identify(), KEYCLIENT_OK) << keyclient_error();
    ASSERT_EQ(::kill(keyd_->pid(), SIGSTOP), 0);
    process->say("change");
    EXPECT_EQ(process->hear(), "changed");
    EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE) << keyclient_error();
    EXPECT_EQ(keyclient_peer_glance(peer_),
              who_.on_credentials == KEYCLIENT_SYNCHRONOUS ? KEYCLIENT_GONE : KEYCLIENT_OK);
    ASSERT_EQ(::kill(keyd_->pid(), SIGCONT), 0);
  }
}

TEST_P(Identify, AnExecIsSeenAsSoonAsTheStrengthSays) {
  const auto process = authenticated([](Forked::Child& child, RawClient& raw) {
    // Its connection stays open: where only that is heard, nothing is.
    ::fcntl(raw.descriptor(), F_SETFD, 0);
    child.say("now");
    ::execl("/bin/sleep", "sleep", "30", nullptr);
    return 1;
  });
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  const keyclient_revocation strength = who_.on_exec;
  if (strength == KEYCLIENT_SYNCHRONOUS) ::kill(keyd_->pid(), SIGSTOP);
  process->say("exec");
  ASSERT_EQ(process->hear(), "now");
  if (strength == KEYCLIENT_COOPERATIVE) {
    EXPECT_EQ(keyclient_peer_wait(peer_, 300), KEYCLIENT_DEADLINE) << "it did not co-operate";
    return;
  }
  EXPECT_EQ(keyclient_peer_wait(peer_, 10'000), KEYCLIENT_GONE);
  EXPECT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_GONE);
  (void)::kill(keyd_->pid(), SIGCONT);
}

TEST_P(Identify, IsGoneWhenTheSessionEndsAndAnotherOfTheSameUserDoesNotBringItBack) {
  const auto process = authenticated([&](Forked::Child& child, RawClient& raw) {
    wire::SessionRequest end;
    end.mutable_end();
    (void)raw.ask(end);
    child.say("ended");
    child.hear();
    RawClient again(keyd_->runtime_dir());
    child.say(again.authenticate("alice", "right") ? "in" : "out");
    child.hear();
    return 0;
  });
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  process->say("end");
  ASSERT_EQ(process->hear(), "ended");
  EXPECT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_GONE) << "keyd writes before it answers";
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE);
  process->say("again");
  ASSERT_EQ(process->hear(), "in");
  EXPECT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_GONE);
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE);
  EXPECT_EQ(keyclient_peer_wait(peer_, 0), KEYCLIENT_GONE);
  EXPECT_EQ(identify(), KEYCLIENT_OK) << "who identifies it anew finds it";
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_OK);
}

TEST_P(Identify, AnAdministratorsWordEndsIt) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  std::atomic<bool> done = false;
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(keyd_->keyadm({"revoke", "--user", "alice"}).exit_code, 0);
    done = true;
  });
  EXPECT_EQ(keyclient_peer_wait(peer_, 10'000), KEYCLIENT_GONE);
  later.join();
  EXPECT_TRUE(done);
  EXPECT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_GONE);
}

TEST_P(Identify, ARenewalLeavesItStandingThroughout) {
  const auto process = authenticated([&](Forked::Child& child, RawClient& raw) {
    const auto self = ::keyclient::Client(keyd_->runtime_dir()).whoami();
    auto choice = RawClient::choice("alice");
    choice.set_renews(std::string(reinterpret_cast<const char*>(self->session_id), 16));
    child.say(raw.start(choice) ? "renewing" : "not");
    child.hear();
    child.say(raw.prove("right") ? "renewed" : "not");
    child.hear();
    return 0;
  });
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  process->say("renew");
  ASSERT_EQ(process->hear(), "renewing");
  ASSERT_EQ(keyclient_lookup_socket(client_, accepted_.get(), &who_), KEYCLIENT_OK);
  EXPECT_EQ(who_.flags, KEYCLIENT_FLAG_REAUTHENTICATING);
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_OK) << keyclient_error();
  EXPECT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_OK);
  process->say("prove");
  ASSERT_EQ(process->hear(), "renewed");
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_OK) << keyclient_error();
}

TEST_P(Identify, AKilledKeydsWordEndsAndItsSuccessorsTableIsAnotherOne) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  keyd_->kill();
  const keyclient_status after = end_of_check();  // by the heartbeat, or by the kernel's word
  EXPECT_TRUE(after == KEYCLIENT_UNKNOWN || after == KEYCLIENT_GONE) << after;
  EXPECT_EQ(keyclient_peer_glance(peer_), after);
  EXPECT_EQ(keyclient_peer_wait(peer_, 5000), after) << "nobody is left to wake us";
  ASSERT_TRUE(keyd_->start());
  EXPECT_EQ(keyclient_peer_check(peer_), after) << "what the dead one said is not what the new one says";
  EXPECT_TRUE(eventually([&] { return identify() == KEYCLIENT_NOT_AUTHENTICATED; }));
}

TEST_P(Identify, AStoppedKeydsPeersAreGoneForGood) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  keyd_->stop();
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE);
  EXPECT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_GONE);
}

TEST_P(Identify, IsUnknownWhileKeydDoesNotMoveAndThenStandsAgain) {
  keyclient_table table{};
  table.size = sizeof table;
  ASSERT_EQ(keyclient_table_info(client_, &table), KEYCLIENT_OK);
  if (table.kernel_keeps_down != 0) GTEST_SKIP() << "there a keyd that does not move is missed by nobody";
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  ASSERT_EQ(::kill(keyd_->pid(), SIGSTOP), 0);
  EXPECT_EQ(end_of_check(), KEYCLIENT_UNKNOWN);
  EXPECT_EQ(keyclient_peer_glance(peer_), KEYCLIENT_UNKNOWN);
  ASSERT_EQ(::kill(keyd_->pid(), SIGCONT), 0);
  EXPECT_TRUE(eventually([&] { return keyclient_peer_check(peer_) == KEYCLIENT_OK; }));
}

TEST_P(Identify, OutlivesItsClientAndServesAForkedChild) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  keyclient_close(std::exchange(client_, nullptr));
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_OK);
  Forked child([&](Forked::Child& parent) {
    if (keyclient_peer_check(peer_) != KEYCLIENT_OK) return 1;
    if (keyclient_peer_wait(peer_, 10) != KEYCLIENT_DEADLINE) return 2;
    parent.say("looked");
    parent.hear();
    if (keyclient_peer_check(peer_) != KEYCLIENT_GONE) return 3;
    keyclient_peer_free(peer_);
    return 0;
  });
  ASSERT_EQ(child.hear(), "looked");
  process->kill();
  child.say("look again");
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE);
}

TEST_P(Identify, ASocketThatAChildHasInheritedNamesTheOneThatConnected) {
  const auto process = authenticated([](Forked::Child& child, RawClient&) {
    const pid_t heir = ::fork();
    if (heir == 0) {
      ::sleep(10);
      ::_exit(0);
    }
    child.say(std::to_string(heir));
    child.hear();
    return 0;
  });
  process->say("fork");
  const pid_t heir = std::stoi(process->hear());
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  EXPECT_EQ(who_.pid, static_cast<std::uint32_t>(process->pid()));
  process->kill();
  EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE) << "the heir has the socket, and is nobody";
  EXPECT_EQ(identify(), KEYCLIENT_NOT_AUTHENTICATED);
  ::kill(heir, SIGKILL);
}

TEST_P(Identify, PeersThatDieAtAnyMomentAreNeverSomebodyAfterwards) {
  // The kill comes before, between and after the steps of identify(): whatever it answers, a check that begins
  // after the death was seen does not say OK, and no descriptor is left.
  int found = 0;
  const std::size_t before = descriptors_of();
  for (int i = 0; i < 60; ++i) {
    auto process = authenticated();
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(i * 3));
      ::kill(process->pid(), SIGKILL);
    });
    keyclient_status status = KEYCLIENT_OK;
    // Where keyd has lost the processor in the middle of the record's change, nobody can tell.
    const auto told = [&] { return (status = identify()) != KEYCLIENT_UNKNOWN; };
    for (int k = 0; k < 50 && status == KEYCLIENT_OK; ++k) {
      (void)eventually(told);
      found += status == KEYCLIENT_OK;
    }
    EXPECT_TRUE(status == KEYCLIENT_OK || status == KEYCLIENT_NOT_AUTHENTICATED) << keyclient_error();
    killer.join();
    process->wait();
    if (peer_ != nullptr) {
      EXPECT_EQ(keyclient_peer_check(peer_), KEYCLIENT_GONE);
    }
    EXPECT_TRUE(eventually(told));
    EXPECT_EQ(status, KEYCLIENT_NOT_AUTHENTICATED);
    process.reset();
    accepted_.reset();
  }
  EXPECT_GT(found, 0);
  EXPECT_LE(descriptors_of(), before);
}

TEST_P(Identify, ManyThreadsMayAskOnePeer) {
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK);
  std::atomic<int> wrong = 0;
  std::atomic<bool> dead = false;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 2000; ++i) {
          const bool was_dead = dead;
          const keyclient_status status = t == 3   ? keyclient_peer_wait(peer_, 1)
                                          : t == 2 ? keyclient_peer_glance(peer_)
                                                   : keyclient_peer_check(peer_);
          const bool stands = status == KEYCLIENT_OK || status == KEYCLIENT_DEADLINE;
          // What keyd has yet to write, the glance cannot know.
          if (!stands && status != KEYCLIENT_GONE) ++wrong;
          if (stands && was_dead && t != 2) ++wrong;
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    process->kill();
    dead = true;
  }
  EXPECT_EQ(wrong, 0);
}

TEST_P(Identify, WhoDoesNotKnowThePeersNumbersSaysUnknownOrIsRight) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to make a pid namespace";
  const auto process = authenticated();
  keyclient_table table{};
  table.size = sizeof table;
  ASSERT_EQ(keyclient_table_info(client_, &table), KEYCLIENT_OK);
  // A service in a pid namespace below: the peer has no number there.
  Forked below([&](Forked::Child&) {
    if (::unshare(CLONE_NEWPID) != 0) return 90;
    Forked service([&](Forked::Child&) {
      const keyclient_status status = identify();
      if (status == KEYCLIENT_UNKNOWN) return table.on_credentials == KEYCLIENT_SYNCHRONOUS ? 1 : 0;
      return status == KEYCLIENT_OK && table.on_credentials == KEYCLIENT_SYNCHRONOUS ? 0 : 2;
    });
    return service.wait();
  });
  EXPECT_EQ(below.wait(), 0);
}

// A service that has looked at the table before it forks: its child, the first of a pid namespace, knows the table
// too, but its numbers are others. One of its own children has the number that the authenticated process has outside.
TEST_P(Identify, AChildInANamespaceOfItsOwnTakesNobodyForWhoHasThatNumberOutside) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root to make a pid namespace";
  const auto process = authenticated();
  ASSERT_EQ(identify(), KEYCLIENT_OK) << keyclient_error();
  ASSERT_EQ(keyclient_lookup_pid(client_, static_cast<std::uint32_t>(process->pid()), &who_), KEYCLIENT_OK);
  Forked below([&](Forked::Child&) {
    if (::unshare(CLONE_NEWPID) != 0) return 90;
    Forked service([&](Forked::Child&) {
      const pid_t number = process->pid();
      if (keyclient_lookup_pid(client_, static_cast<std::uint32_t>(number), &who_) != KEYCLIENT_UNSUPPORTED)
        return 1;
      const pid_t stranger = fork_as(number);
      if (stranger == 0) {
        (void)connect();
        ::pause();
      }
      if (stranger != number) return 91;
      const UniqueFd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const keyclient_status status = identify(accepted.get());
      ::kill(stranger, SIGKILL);
      return status == KEYCLIENT_NOT_AUTHENTICATED ? 0 : 2;
    });
    return service.wait();
  });
  EXPECT_EQ(below.wait(), 0);
}

TEST_P(Identify, TheFaceForCxxSaysTheSame) {
  const auto process = authenticated();
  ::keyclient::Client client(keyd_->runtime_dir());
  auto found = client.identify(accepted_.get());
  ASSERT_TRUE(found);
  EXPECT_STREQ(found->who.user, "alice");
  using Standing = ::keyclient::Peer::Standing;
  EXPECT_EQ(found->peer.check(), Standing::kStands);
  EXPECT_EQ(found->peer.glance(), Standing::kStands);
  EXPECT_EQ(found->peer.wait(1), Standing::kStands);
  EXPECT_GE(found->peer.descriptor(), 0);
  process->kill();
  EXPECT_EQ(found->peer.check(), Standing::kGone);
  EXPECT_FALSE(client.identify(accepted_.get()));
  EXPECT_THROW((void)client.identify(-1), ::keyclient::Error);
}

INSTANTIATE_TEST_SUITE_P(Tiers, Identify,
                         ::testing::Values(TierChoice{"pidfd", "pidfd", ""}, TierChoice{"watch", "watch", ""},
                                           TierChoice{"kernel", "kernel", ""},
                                           TierChoice{"kernel_every_syscall", "kernel",
                                                      "credentials = \"every-syscall\"\n"}),
                         [](const auto& tier) { return std::string(tier.param.name); });

// ---- a planned exec

class IdentifyPlannedExec : public ::testing::TestWithParam<const char*> {};

TEST_P(IdentifyPlannedExec, EndsThePeerWhenItHappensAndNotBefore) {
  PrivateKeyd keyd("[daemon]\ntier = \"" + std::string(GetParam()) + "\"\n");
  if (!keyd.start()) {
    if (keyd.log().find("cannot be reached") != std::string::npos) GTEST_SKIP() << keyd.log();
    FAIL() << keyd.log();
  }
  keyd.enrol("alice", "right", {"--scheme", "srp"});
  const std::string path = keyd.directory() + "/service.sock";
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  Forked process([&](Forked::Child& child) {
    ::keyclient::Client self(keyd.runtime_dir());
    self.authenticate("alice",
                      [](char* buffer, std::size_t) { return std::string("right").copy(buffer, 5); });
    const int service = ::socket(AF_UNIX, SOCK_STREAM, 0);  // stays over the exec
    if (::connect(service, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return 1;
    child.say("in");
    child.hear();
    if (keyclient_plan_exec(self.get(), nullptr, nullptr) != KEYCLIENT_OK) return 2;
    child.say("planned");
    child.hear();
    ::execl("/bin/sleep", "sleep", "30", nullptr);
    return 3;
  });
  ASSERT_EQ(process.hear(), "in");
  const UniqueFd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ::keyclient::Client client(keyd.runtime_dir());
  auto before = client.identify(accepted.get());
  ASSERT_TRUE(before);
  process.say("plan");
  ASSERT_EQ(process.hear(), "planned");
  EXPECT_EQ(before->peer.check(), ::keyclient::Peer::Standing::kStands);
  process.say("exec");
  EXPECT_EQ(before->peer.wait(10'000), ::keyclient::Peer::Standing::kGone);
  // The record has survived it: who is there now is somebody, and another program.
  auto after = client.identify(accepted.get());
  ASSERT_TRUE(after);
  EXPECT_STREQ(after->who.user, "alice");
  EXPECT_EQ(after->who.exec_generation, before->who.exec_generation + 1);
  EXPECT_EQ(after->peer.check(), ::keyclient::Peer::Standing::kStands);
  EXPECT_EQ(before->peer.check(), ::keyclient::Peer::Standing::kGone);
}

INSTANTIATE_TEST_SUITE_P(Tiers, IdentifyPlannedExec, ::testing::Values("watch", "kernel"),
                         [](const auto& tier) { return std::string(tier.param); });

}  // namespace
}  // namespace keyd::testing
