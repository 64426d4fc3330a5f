// How long a reader can still see an old record: from the moment at which the process is another (the first
// statement of the new program; the return of setuid(2); the last statement before the end) to the first
// look-up that no longer says COMPLETE. The reader looks all the time, on another core where there is one.
#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "core/base/clock.h"
#include "core/kernel/pidfd.h"
#include "core/table/table_reader.h"
#include "tests/bench/keyd_under_load.h"
#include "tests/support/raw_client.h"

namespace keyd::bench {
namespace {

constexpr int kTries = 40;
constexpr std::uint64_t kPatience = 2 * kSecond;
constexpr int kMomentFd = 200;

enum Change { kExec, kExit, kSetuid };

void pin_to(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

// The first statement of the new program.
[[gnu::constructor]] void say_the_moment_after_an_exec() {
  if (std::getenv("KEYD_BENCH_MOMENT") == nullptr) return;
  const std::uint64_t now = boot_now();
  (void)!::write(kMomentFd, &now, sizeof now);
  for (;;) ::pause();
}

// The process: authenticates, says so, waits for the word, changes.
[[noreturn]] void be_changed(const std::string& runtime_dir, Change change, int out, int in) {
  ExchangeClient client(runtime_dir);
  std::uint64_t moment = client.connect() && client.exchange() ? 1 : 0;
  (void)!::write(out, &moment, sizeof moment);
  char word = 0;
  (void)!::read(in, &word, 1);
  if (change == kExec) {
    ::dup2(out, kMomentFd);
    ::setenv("KEYD_BENCH_MOMENT", "1", 1);
    ::execl("/proc/self/exe", "moment", static_cast<char*>(nullptr));
    ::_exit(1);
  }
  if (change == kSetuid && ::setresuid(65534, 65534, 65534) != 0) ::_exit(1);
  moment = boot_now();
  (void)!::write(out, &moment, sizeof moment);
  if (change == kExit) ::_exit(0);
  for (;;) ::pause();
}

// Microseconds for one process; nothing when the record did not fall within kPatience.
std::optional<double> window_of(const testing::PrivateKeyd& keyd, const table::TableReader& reader,
                                Change change) {
  int up[2], down[2];
  if (::pipe2(up, O_CLOEXEC) != 0 || ::pipe2(down, O_CLOEXEC) != 0) std::abort();
  const pid_t child = ::fork();
  if (child == 0) {
    pin_to(0);
    be_changed(keyd.runtime_dir(), change, up[1], down[0]);
  }
  std::uint64_t moment = 0;
  (void)!::read(up[0], &moment, sizeof moment);
  const auto pidfd = kernel::open_pidfd(child);
  const std::uint64_t inode = pidfd ? kernel::pidfs_inode(pidfd->get()).value_or(0) : 0;
  table::TaskView view;
  const auto complete = [&] {
    const auto outcome = reader.find_by_inode(inode, view);
    return outcome == table::LookupOutcome::kBusy ||
           (outcome == table::LookupOutcome::kFound && view.word.state == table::TaskState::kComplete);
  };
  std::optional<double> window;
  if (moment == 1 && complete()) {
    (void)!::write(down[1], "x", 1);
    const BootTime deadline = boot_now() + kPatience;
    BootTime seen = boot_now();
    while (complete() && seen < deadline) seen = boot_now();
    (void)!::read(up[0], &moment, sizeof moment);
    if (seen < deadline) window = (static_cast<double>(seen) - static_cast<double>(moment)) / 1000.0;
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  for (const int fd : {up[0], up[1], down[0], down[1]}) ::close(fd);
  return window;
}

constexpr const char* kKernel = "tier = \"kernel\"";
constexpr const char* kEverySyscall = "tier = \"kernel\"\ncredentials = \"every-syscall\"";
constexpr const char* kWatch = "tier = \"watch\"";
constexpr const char* kPidfd = "tier = \"pidfd\"";

// `daemon`: what stands in its section of the configuration.
void Window(benchmark::State& state, const char* daemon, Change change) {
  if (change == kSetuid && ::geteuid() != 0) return state.SkipWithError("needs root");
  pin_to(0);  // for keyd, which inherits it
  const auto keyd = started_keyd(std::string("[daemon]\n") + daemon + "\n");
  const bool on_contact = daemon == std::string_view(kPidfd) && change == kSetuid;
  testing::RawClient raw(keyd->runtime_dir());
  wire::ClientPacket request;
  request.mutable_table();
  raw.send(request);
  Bytes buffer(wire::kMaxPlainPacket);
  const auto received = wire::receive_packet(raw.descriptor(), buffer);
  wire::ServerPacket answer;
  (void)wire::decode(ByteView(buffer).first(received.size), answer);
  const auto reader = table::TableReader::map(received.descriptor.get(), answer.table().size());
  if (!reader) return state.SkipWithError("no table");
  pin_to(1);  // fails where there is one core: then the reader shares it
  for (auto _ : state) {
    std::vector<double> windows;
    int never = 0;
    for (int i = 0; i < (on_contact ? 2 : kTries); ++i) {
      if (const auto window = window_of(*keyd, *reader, change)) {
        windows.push_back(std::max(*window, 0.0));
      } else {
        ++never;
      }
    }
    state.counters["p50_us"] = percentile(windows, 50);
    state.counters["p99_us"] = percentile(windows, 99);
    state.counters["longest_us"] = percentile(windows, 100);
    state.counters["not_within_2s"] = never;
  }
}

BENCHMARK_CAPTURE(Window, kernel_exec, kKernel, kExec)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, kernel_exit, kKernel, kExit)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, kernel_setuid, kKernel, kSetuid)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, every_syscall_setuid, kEverySyscall, kSetuid)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, watch_exec, kWatch, kExec)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, watch_exit, kWatch, kExit)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, watch_setuid, kWatch, kSetuid)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, pidfd_exec, kPidfd, kExec)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, pidfd_exit, kPidfd, kExit)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Window, pidfd_setuid, kPidfd, kSetuid)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
