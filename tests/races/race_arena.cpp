#include "tests/races/race_arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "core/base/clock.h"
#include "core/table/task_terms.h"
#include "tests/races/own_looks.h"
#include "tests/support/wide_limits.h"

namespace keyd::races {
namespace {

constexpr const char* kConfig = "[audit]\nfile = \"/dev/null\"\n[session]\nplan_deadline = 1\nlinger = 1\n";

// kWideLimits but for its [session], which stands above.
std::string config(const std::string& daemon) {
  const std::string limits = testing::kWideLimits;
  return "[daemon]\nlog_level = \"warning\"\n" + daemon + kConfig + limits.substr(limits.find("[limits]"));
}

pid_t forked(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    ::_exit(0);
  }
  return child;
}

void clear(RaceBoard& board) {
  board.inode = 0;
  board.seen_living = board.moment = board.living = board.fell = 0;
  board.ready = board.images = board.lost = board.lost_events = 0;
  board.complete_since_set = board.packet_size = board.answer_size = 0;
}

}  // namespace

RaceArena::RaceArena(const std::string& daemon)
    : keyd_(config(daemon)), image_(testing::program("race_image")) {
  if (!keyd_.start()) {
    problem_ = "keyd does not start: " + keyd_.log();
    return;
  }
  keyd_.enrol(kUser, kPassword);
  table_ = testing::ask_for_table(keyd_.runtime_dir());
  boards_descriptor_ = UniqueFd(::memfd_create("race-boards", MFD_CLOEXEC));
  const auto size = static_cast<off_t>(kBoards * kBoardSize);
  if (!table_.reader || ::ftruncate(boards_descriptor_.get(), size) != 0) {
    problem_ = "no table, or no boards";
    return;
  }
  boards_ =
      ::mmap(nullptr, kBoards * kBoardSize, PROT_READ | PROT_WRITE, MAP_SHARED, boards_descriptor_.get(), 0);
  if (boards_ == MAP_FAILED) problem_ = "cannot map the boards";
  // What the crypto library prepares once, it need not prepare in each child.
  testing::RawClient warm(keyd_.runtime_dir());
  if (!warm.authenticate(kUser, kPassword)) problem_ = "the exchange fails";
  size_text_ = std::to_string(table_.size);
  for (std::size_t i = 0; i < kBoards; ++i) board_numbers_.push_back(std::to_string(i));
  set_uid_image_ = keyd_.directory() + "/set-uid-image";
  std::filesystem::copy_file(image_, set_uid_image_);
  ::chmod(set_uid_image_.c_str(), 04755);
}

RaceArena::~RaceArena() {
  if (boards_ != nullptr && boards_ != MAP_FAILED) ::munmap(boards_, kBoards * kBoardSize);
}

std::string RaceArena::tier() const { return std::string(table::name_of(reader().header().tier)); }

std::string RaceArena::file(const std::string& name, const std::string& content, unsigned mode) const {
  const std::string path = keyd_.directory() + "/" + name;
  std::ofstream(path, std::ios::binary) << content;
  ::chmod(path.c_str(), mode);
  return path;
}

RaceBoard& RaceArena::board(std::size_t i) const {
  return *reinterpret_cast<RaceBoard*>(static_cast<std::uint8_t*>(boards_) + i * kBoardSize);
}

void RaceArena::hand_over(int connection) const {
  ::dup2(table_.descriptor.get(), kTableDescriptor);
  ::dup2(boards_descriptor_.get(), kBoardDescriptor);
  if (connection >= 0) ::dup2(connection, kConnectionDescriptor);
}

void RaceArena::become(const std::string& path, const char* act, const RaceBoard& board) const {
  const auto at = static_cast<std::size_t>(reinterpret_cast<const std::uint8_t*>(&board) -
                                           static_cast<const std::uint8_t*>(boards_));
  char* const arguments[] = {const_cast<char*>(path.c_str()), const_cast<char*>(act),
                             const_cast<char*>(size_text_.c_str()),
                             const_cast<char*>(board_numbers_[at / kBoardSize].c_str()), nullptr};
  char* const environment[] = {nullptr};
  ::execve(path.c_str(), arguments, environment);
}

// What it writes late can only be an earlier moment than the next try's.
void RaceArena::observe() const {
  table::TaskView view{};
  for (;;) {
    bool any = false;
    for (std::size_t i = 0; i < kBoards; ++i) {
      RaceBoard& watched = board(i);
      const std::uint64_t inode = watched.inode.load(std::memory_order_acquire);
      if (inode == 0) continue;
      any = true;
      const BootTime now = boot_now();
      if (reader().find_by_inode(inode, view) == table::LookupOutcome::kFound && is_living(view.word.state))
        watched.seen_living.store(now, std::memory_order_release);
    }
    if (!any) ::usleep(20);
  }
}

CaseReport RaceArena::run(const std::string& name, std::uint64_t count, const std::function<Race()>& make) {
  const long cores = ::sysconf(_SC_NPROCESSORS_ONLN);
  const std::uint64_t workers =
      std::min<std::uint64_t>({kBoards, static_cast<std::uint64_t>(std::max(cores, 1L)), count});
  const std::size_t octets = count * sizeof(Try) + sizeof(std::atomic<std::uint64_t>);
  void* const memory = ::mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* const repeated = new (memory) std::atomic<std::uint64_t>(0);
  auto* const tries = reinterpret_cast<Try*>(repeated + 1);
  for (std::uint64_t i = 0; i < count; ++i) new (tries + i) Try();
  const BootTime begun = boot_now();
  const pid_t observer = forked([this] { observe(); });
  std::vector<pid_t> children;
  for (std::uint64_t w = 0; w < workers; ++w) {
    children.push_back(forked([&, w] {
      RaceBoard& mine = board(w);
      const Race race = make();
      for (std::uint64_t i = w; i < count; i += workers) {
        for (const BootTime end = boot_now() + 10 * kSecond;;) {
          clear(mine);
          tries[i] = race(mine);
          mine.inode = 0;
          if (tries[i].outcome != Outcome::kTrouble) break;
          if (boot_now() > end) return;
          repeated->fetch_add(1);
          ::usleep(10'000);
        }
      }
    }));
  }
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  ::kill(observer, SIGKILL);
  ::waitpid(observer, nullptr, 0);
  CaseReport report = report_of(name, {tries, tries + count});
  report.void_tries = *repeated;
  report.seconds = static_cast<double>(boot_now() - begun) / static_cast<double>(kSecond);
  ::munmap(memory, octets);
  add_to_report(report, tier());
  return report;
}

}  // namespace keyd::races
