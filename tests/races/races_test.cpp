// Whatever ends a record against whoever reads it: execs of every kind, exits, changes of credentials, the death of
// keyd. Where keyd claims that a cause is synchronous, not one read of a state that should be gone is allowed; where
// it does not, how long such a state could be read is counted and printed, and asserted is only what the tier does
// promise. All exchanges are real ones, with a real keyd. KEYD_RACE_TRIES sets the tries of a case; KEYD_SOAK=1 has
// ten times as many, a million in a tier that claims to be synchronous.
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "core/base/clock.h"
#include "core/kernel/pidfd.h"
#include "tests/races/own_looks.h"
#include "tests/races/race_arena.h"
#include "tests/races/race_clients.h"
#include "tests/support/sanitizers.h"
#include "tests/support/tier_under_test.h"

namespace keyd::races {
namespace {

using table::Revocation;
using testing::RawClient;

constexpr unsigned kStranger = 65534;

bool is_soak() { return std::getenv("KEYD_SOAK") != nullptr; }

// Of a case whose cause keyd claims to see like this. Where there is a window, a tenth measures it.
std::uint64_t tries(Revocation claimed) {
  if (const char* const value = std::getenv("KEYD_RACE_TRIES")) return std::strtoull(value, nullptr, 10);
  if (testing::kSanitized) return 200;
  return (is_soak() ? 10'000u : 1'000u) * (claimed == Revocation::kSynchronous ? 10u : 1u);
}
// For a case whose every try takes seconds.
std::uint64_t few() { return is_soak() ? 20 : 4; }

pid_t child_that(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(1);
  }
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

void spin_for(std::uint64_t nanoseconds) {
  for (const BootTime end = boot_now() + nanoseconds; boot_now() < end;) {
  }
}

bool is_finished(const RaceBoard& board) {
  wire::ServerPacket answer;
  return wire::decode(ByteView(board.answer).first(board.answer_size), answer) == wire::Decoded::kMessage &&
         answer.has_finished();
}

class Races : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { open_arena(); }
  static void TearDownTestSuite() { arena_.reset(); }
  static void open_arena(const std::string& daemon = {}) { arena_ = std::make_unique<RaceArena>(daemon); }
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
    ASSERT_EQ(arena().problem(), "");
    if (const std::string asked = testing::tier_under_test(); asked != "auto") {
      ASSERT_EQ(arena().tier(), asked);
    }
    if (arena().tier() == "kernel") {
      ASSERT_EQ(arena().strength().exec, Revocation::kSynchronous);
      ASSERT_EQ(arena().strength().exit, Revocation::kSynchronous);
    }
  }

  static RaceArena& arena() { return *arena_; }
  static Revocation on_exec() { return arena().strength().exec; }
  static Revocation on_exit() { return arena().strength().exit; }
  static bool sees_execs() { return on_exec() != Revocation::kCooperative; }

  // What holds for every case.
  static void expect_good(const CaseReport& report, Revocation claimed) {
    fmt::print(
        "  {}, tier {}: {} tries in {:.1f} s, {} stale, {} never; window p50 {:.1f} p99 {:.1f} longest {:.1f} µs; "
        "{} repeated\n",
        report.name, arena().tier(), report.tries, report.seconds, report.stale, report.never, report.p50,
        report.p99, report.longest, report.void_tries);
    EXPECT_EQ(report.not_run, 0u) << "workers ended";
    EXPECT_EQ(report.trouble, 0u) << "the race could not be run: step " << report.trouble_step;
    EXPECT_EQ(report.lost, 0u) << "records fell that ought to have stayed";
    EXPECT_EQ(report.forged, 0u) << "exchanges were completed by another program than had begun them";
    if (arena().tier() == "kernel") {
      // keyd is never behind there: nobody's exchange ends for what another process does.
      EXPECT_EQ(report.void_tries, 0u) << "exchanges failed without a reason";
    }
    if (claimed == Revocation::kSynchronous) {
      EXPECT_EQ(report.stale + report.never, 0u) << "reads of a state that should have been gone";
    } else if (claimed == Revocation::kAsynchronous) {
      EXPECT_EQ(report.never, 0u) << "records that did not fall at all";
    }
  }

  // A race of one process against everybody who looks: `child` runs in it, and makes it another.
  template <typename Child>
  static auto race_of(const Child& child, std::uint32_t images = 1) {
    return [=] {
      return [=](RaceBoard& board) {
        wait_for(child_that([&] { child(board); }));
        return judged(board, images);
      };
    };
  }

 private:
  static inline std::unique_ptr<RaceArena> arena_;
};

// ---- execs

TEST_F(Races, AnExecByTheLeader) {
  const auto report = arena().run("exec by the leader", tries(on_exec()), race_of([](RaceBoard& board) {
                                    const auto client = authenticated(arena(), board);
                                    if (!client) return;
                                    arena().hand_over(left_open(arena(), *client));
                                    arena().become(arena().image(), "look", board);
                                  }));
  expect_good(report, on_exec());
}

TEST_F(Races, AnExecByAnotherThread) {
  const auto report = arena().run("exec by another thread", tries(on_exec()), race_of([](RaceBoard& board) {
                                    const auto client = authenticated(arena(), board);
                                    if (!client) return;
                                    arena().hand_over(left_open(arena(), *client));
                                    std::thread([&] {
                                      arena().become(arena().image(), "look", board);
                                      ::_exit(1);
                                    }).join();
                                  }));
  expect_good(report, on_exec());
}

// The parent of a vfork goes on as soon as its child has let go of the memory, in the middle of execve.
[[gnu::noinline]] pid_t vfork_and_become_another(const RaceArena& arena, RaceBoard& board,
                                                 std::optional<RawClient>& client) {
  const pid_t child = ::vfork();
  if (child == 0) {
    if (authenticate(arena, board, client)) {
      arena.hand_over(left_open(arena, *client));
      arena.become(arena.image(), "look", board);
    }
    ::_exit(1);
  }
  return child;
}

TEST_F(Races, TheParentOfAVforkGoesOn) {
  const auto report = arena().run("vfork, seen by the parent", tries(on_exec()), [] {
    return [](RaceBoard& board) {
      std::optional<RawClient> client;
      const pid_t child = vfork_and_become_another(arena(), board, client);
      RaceBoard own{};
      own.moment = boot_now();
      own.inode = board.inode.load();
      own.ready = own.images = 1;
      if (board.ready != 0) OwnLooks(arena().reader(), own).until_it_falls();
      wait_for(child);
      const Try by_parent = judged(own, 1), by_others = judged(board, 1);
      if (by_others.outcome == Outcome::kTrouble) return by_others;
      return by_parent.outcome > by_others.outcome || by_parent.window > by_others.window ? by_parent
                                                                                          : by_others;
    };
  });
  expect_good(report, on_exec());
}

TEST_F(Races, AnExecThatFailsChangesNothing) {
  const std::string too_long(200'000, 'x');
  std::string bad_header(4096, '\0');
  bad_header.replace(0, 4,
                     "\x7f"
                     "ELF");
  const std::vector<std::string> images{
      "/nonexistent",
      "/nonexistent/directory",
      "/tmp",
      arena().file("not-executable", "#!/bin/true\n", 0644),
      arena().file("empty", "", 0755),
      arena().file("bad-header", bad_header, 0755),
      arena().file("garbage", std::string("\x01\x02\x03", 3), 0755),
      arena().file("no-interpreter", "#!/nonexistent/interpreter\n", 0755),
      arena().image(),  // with an argument that is too long
  };
  const auto report = arena().run("exec that fails", tries(on_exec()), [&] {
    return [&, held = std::make_shared<std::optional<RawClient>>(), inode = std::uint64_t{0},
            n = std::size_t{0}](RaceBoard& board) mutable {
      std::optional<RawClient>& client = *held;
      Try result;
      if (!client) {
        client = authenticated(arena(), board);
        inode = board.inode;
        if (!client) return Try{Outcome::kTrouble, 1, 0, false};
      }
      const std::string& image = images[n++ % images.size()];
      const char* const arguments[] = {"x", image == arena().image() ? too_long.c_str() : "y", nullptr};
      ::execv(image.c_str(), const_cast<char* const*>(arguments));
      table::TaskView view{};
      const auto outcome = arena().reader().find_by_inode(inode, view);
      bool stands =
          outcome == table::LookupOutcome::kBusy ||
          (outcome == table::LookupOutcome::kFound && view.word.state == table::TaskState::kComplete);
      if (stands && n % 500 == 0) stands = session_lives(*client);
      result.outcome = stands ? Outcome::kClean : Outcome::kLost;
      if (!stands) {
        client.reset();
        if (view.record.reason == table::Reason::kWatchLost) result = {Outcome::kTrouble, 3, 0, false};
      }
      return result;
    };
  });
  expect_good(report, on_exec());
}

// The image has the connection, and the proof that the former program made.
TEST_F(Races, AnExecBetweenChallengeAndProof) {
  const auto report = arena().run("exec while PENDING", tries(on_exec()), [] {
    return [](RaceBoard& board) {
      wait_for(child_that([&] {
        auto client = begun(arena(), board);
        if (!client) return;
        const Bytes proof = client->proof(kPassword);
        std::ranges::copy(proof, board.packet.begin());
        board.packet_size = static_cast<std::uint32_t>(proof.size());
        const int connection = left_open(arena(), *client);
        arena().hand_over(connection);
        arena().become(arena().image(), connection >= 0 ? "prove" : "look", board);
      }));
      Try result = judged(board, 1);
      if (result.outcome != Outcome::kTrouble && is_finished(board)) result.outcome = Outcome::kForged;
      return result;
    };
  });
  expect_good(report, on_exec());
}

// One thread sends the proof while another executes. What came first is steered to be now this, now that.
TEST_F(Races, AnExecAgainstTheCompletion) {
  const auto report = arena().run("exec against COMPLETE", tries(on_exec()), [] {
    return [lead = std::int64_t{50'000}, n = 0](RaceBoard& board) mutable {
      const bool leader_executes = ++n % 2 == 0;
      wait_for(child_that([&] {
        auto client = begun(arena(), board);
        if (!client) return;
        const Bytes proof = client->proof(kPassword);
        const int socket = client->descriptor(), connection = left_open(arena(), *client);
        arena().hand_over(connection);
        const char* const act = connection >= 0 ? "await" : "look";
        std::atomic<int> at_the_line{0};
        const auto wait_for_the_other = [&] {
          for (++at_the_line; at_the_line < 2;) {
          }
        };
        const auto prove = [&] {
          wait_for_the_other();
          if (lead < 0) spin_for(static_cast<std::uint64_t>(-lead));
          (void)wire::send_packet(socket, proof);
        };
        const auto execute = [&] {
          wait_for_the_other();
          if (lead > 0) spin_for(static_cast<std::uint64_t>(lead));
          arena().become(arena().image(), act, board);
          ::_exit(1);
        };
        std::thread other([&] { leader_executes ? prove() : execute(); });
        leader_executes ? execute() : prove();
        other.join();
      }));
      Try result = judged(board, 1);
      if (result.outcome == Outcome::kTrouble) return result;
      result.completed_first = board.answer_size != 0 ? is_finished(board) : board.complete_since_set != 0;
      lead = std::clamp<std::int64_t>(lead + (result.completed_first ? -997 : 1009), -200'000, 2'000'000);
      return result;
    };
  });
  expect_good(report, on_exec());
  fmt::print("  the exchange was first {} times, the exec {} times\n", report.completed_first,
             report.tries - report.completed_first);
  if (sees_execs() && report.tries >= 1000) {
    // Else it was no race. No bound but that either happens.
    EXPECT_GT(report.completed_first, 0u);
    EXPECT_LT(report.completed_first, report.tries);
  }
}

TEST_F(Races, ASetUidExec) {
  for (const bool planned : {false, true}) {
    const auto report =
        arena().run(planned ? "set-uid exec, announced" : "set-uid exec", tries(on_exec()), [planned] {
          return [planned](RaceBoard& board) {
            wait_for(child_that([&] {
              if (::setresgid(kStranger, kStranger, kStranger) != 0 ||
                  ::setresuid(kStranger, kStranger, kStranger) != 0) {
                return;
              }
              auto client = authenticated(arena(), board);
              if (!client || (planned && !plan_exec(*client))) return;
              arena().hand_over(left_open(arena(), *client));
              arena().become(arena().set_uid_image(), "look", board);
            }));
            Try result = judged(board, 1);
            // Else the file system ignores the bit, and nothing is shown.
            if (result.outcome != Outcome::kTrouble && (board.euid != 0 || board.ruid != kStranger))
              result = {Outcome::kTrouble, 4, 0, false};
            return result;
          };
        });
    expect_good(report, on_exec());
  }
}

TEST_F(Races, APlannedExecIsSurvivedOnceAndTheNextIsNot) {
  // Where keyd sees no exec, the plan's deadline ends what nobody adopts: a second each.
  const auto report = arena().run("second exec after a planned one", sees_execs() ? tries(on_exec()) : few(),
                                  race_of(
                                      [](RaceBoard& board) {
                                        auto client = authenticated(arena(), board);
                                        if (!client || !plan_exec(*client)) return;
                                        arena().hand_over(client->descriptor());
                                        arena().become(arena().image(), "planned", board);
                                      },
                                      2));
  expect_good(report, on_exec());
}

// ---- exits

// A program whose start fails when there is no way back: its one segment lies where the kernel is.
std::string fatal_image() {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
#if defined(__x86_64__)
  header.e_machine = EM_X86_64;
#elif defined(__aarch64__)
  header.e_machine = EM_AARCH64;
#endif
  header.e_version = EV_CURRENT;
  header.e_entry = 0xffff800000001000;
  header.e_phoff = sizeof header;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  segment.p_vaddr = 0xffff800000000000;
  segment.p_filesz = segment.p_memsz = segment.p_align = 4096;
  std::string image(4096, '\0');
  std::memcpy(image.data(), &header, sizeof header);
  std::memcpy(image.data() + sizeof header, &segment, sizeof segment);
  return image;
}

// However it ends: by itself, killed, leader first, in an exec that cannot be undone. Seen by the parent, which has
// waited for it or for its pidfd.
TEST_F(Races, AnExit) {
  const std::string fatal = arena().file("fatal", fatal_image(), 0755);
  const auto end = [fatal](std::uint64_t how) {
    switch (how % 4) {
      case 0: ::_exit(0);
      case 1: ::kill(::getpid(), SIGKILL); break;
      case 2: {
        std::thread([] {
          ::usleep(100);
          ::syscall(SYS_exit, 0);
        }).detach();
        ::syscall(SYS_exit, 0);
        break;
      }
      default: {
        const char* const arguments[] = {"fatal", nullptr};
        ::execv(fatal.c_str(), const_cast<char* const*>(arguments));
        ::_exit(99);  // it could be undone: nothing is shown
      }
    }
  };
  const auto report = arena().run("exit, seen by the parent", tries(on_exit()), [&] {
    return [&, n = std::uint64_t{0}](RaceBoard& board) mutable {
      const std::uint64_t which = n++;
      const pid_t child = child_that([&] {
        if (const auto client = authenticated(arena(), board)) end(which);
      });
      const auto pidfd = kernel::open_pidfd(child);
      int status = 0;
      if (pidfd && which % 8 < 4) {
        pollfd entry{pidfd->get(), POLLIN, 0};
        ::poll(&entry, 1, 10'000);
      } else {
        status = wait_for(child);
      }
      board.moment = boot_now();
      if (board.ready != 0) OwnLooks(arena().reader(), board).until_it_falls();
      if (which % 8 < 4) status = wait_for(child);
      board.images = 1;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 99) return Try{Outcome::kTrouble, 5, 0, false};
      return judged(board, 1);
    };
  });
  expect_good(report, on_exit());
}

// ---- credentials

// Contact: nothing more is given to it, and the record falls.
void become_somebody_else(RaceBoard& board, const RaceArena& arena, bool make_contact) {
  auto client = authenticated(arena, board);
  if (!client || ::setresuid(kStranger, kStranger, kStranger) != 0) return;
  if (make_contact && session_lives(*client)) return;
  board.moment = boot_now();
  OwnLooks(arena.reader(), board).until_it_falls();
  board.images = 1;
  ::_exit(0);
}

TEST_F(Races, AChangeOfItsIds) {
  const Revocation claimed = arena().strength().credentials;
  const bool on_contact = claimed == Revocation::kOnContact;
  // In tier kernel keyd asks the processes, every half second.
  const bool is_slow = arena().tier() == "kernel" && claimed == Revocation::kAsynchronous;
  const auto report = arena().run(
      "setresuid", is_slow ? 5 * few() : tries(claimed),
      race_of([on_contact](RaceBoard& board) { become_somebody_else(board, arena(), on_contact); }));
  expect_good(report, on_contact ? Revocation::kAsynchronous : claimed);
}

// The setting in which a change of ids too ends a record before the system call returns.
class RacesWhereEverySystemCallIsWatched : public Races {
 protected:
  static void SetUpTestSuite() {
    if (is_possible()) open_arena("tier = \"kernel\"\ncredentials = \"every-syscall\"\n");
  }
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
    if (!is_possible())
      GTEST_SKIP() << "only tier kernel can watch every system call, and it is not run here";
    ASSERT_EQ(arena().problem(), "");
    ASSERT_EQ(arena().tier(), "kernel");
  }

 private:
  // Where the machine has the tier, and no other one is asked for.
  static bool is_possible() { return !testing::tiers_to_test({"kernel"}).empty(); }
};

TEST_F(RacesWhereEverySystemCallIsWatched, AChangeOfItsIds) {
  ASSERT_EQ(arena().strength().credentials, Revocation::kSynchronous);
  const auto report =
      arena().run("setresuid, every system call watched", tries(Revocation::kSynchronous),
                  race_of([](RaceBoard& board) { become_somebody_else(board, arena(), false); }));
  expect_good(report, Revocation::kSynchronous);
}

// ---- keyd itself

TEST(KeydsDeath, LeavesATableThatNobodyTakesForTrue) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root like the others";
  testing::PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol(kUser, kPassword);
  const std::string tier = keyd.tier();
  const bool at_once = tier == "kernel";
  const std::uint64_t count =
      at_once ? std::max<std::uint64_t>(tries(Revocation::kSynchronous) / 100, 4) : few();
  std::vector<Try> all;
  for (std::uint64_t i = 0; i < count && !HasFailure(); ++i) {
    if (i > 0) {
      ASSERT_TRUE(keyd.start()) << keyd.log();
    }
    const testing::ServedTable opened = testing::ask_for_table(keyd.runtime_dir());
    ASSERT_TRUE(opened.reader);
    RawClient client(keyd.runtime_dir());
    ASSERT_TRUE(client.authenticate(kUser, kPassword));
    const auto self = kernel::open_pidfd(::getpid()), its = kernel::open_pidfd(keyd.pid());
    ASSERT_TRUE(self && its);
    RaceBoard board{};
    board.inode = kernel::pidfs_inode(self->get()).value_or(0);
    table::TaskView view{};
    ASSERT_EQ(opened.reader->find_by_inode(board.inode, view), table::LookupOutcome::kFound);
    board.ready = board.images = 1;
    if (i % 2 == 0) {
      ::kill(keyd.pid(), SIGKILL);
      pollfd entry{its->get(), POLLIN, 0};
      ASSERT_EQ(::poll(&entry, 1, 10'000), 1);
    } else {
      keyd.kill();
    }
    board.moment = boot_now();
    OwnLooks(*opened.reader, board).until_it_falls();
    EXPECT_TRUE(opened.reader->stale());
    if (i % 2 == 0) keyd.kill();
    all.push_back(judged(board, 1));
  }
  const CaseReport report = report_of("SIGKILL of keyd", all);
  add_to_report(report, tier);
  fmt::print("  SIGKILL of keyd: {} tries, {} stale; window p50 {:.1f} longest {:.1f} µs\n", report.tries,
             report.stale, report.p50, report.longest);
  EXPECT_EQ(report.never + report.trouble + report.lost, 0u);
  if (at_once) {
    EXPECT_EQ(report.stale, 0u) << "a dead keyd's table was taken for true";
  }
}

}  // namespace
}  // namespace keyd::races
