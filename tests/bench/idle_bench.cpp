// Other people's connections: what an idle one costs keyd, and what thousands of them, idle or with an
// exchange begun and never finished, do to a client of another uid.
#include <benchmark/benchmark.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <thread>

#include "tests/bench/keyd_under_load.h"
#include "tests/bench/srp_renewer.h"
#include "tests/support/descriptors.h"
#include "tests/support/eventually.h"
#include "tests/support/forked.h"
#include "tests/support/raw_client.h"

namespace keyd::bench {
namespace {

constexpr uid_t kCrowd = 65533, kOther = 65534;
constexpr int kVisits = 1000, kCounted = 100;  // for the percentiles; for the total
constexpr int kVisitsBesideLogins = 20'000;    // for a second and more, of which a login takes a part

bool become(uid_t uid) {
  return ::geteuid() != 0 || (::setresgid(uid, uid, uid) == 0 && ::setresuid(uid, uid, uid) == 0);
}

// `connections` of kCrowd, idle; and `half_sent` processes of it, each with a connection of its own on which
// an exchange has begun.
class Crowd {
 public:
  Crowd(const testing::PrivateKeyd& keyd, int connections, int half_sent)
      : process_([&](testing::Forked::Child& child) {
          if (!become(kCrowd)) return 1;
          ::prctl(PR_SET_PDEATHSIG, SIGKILL);
          std::vector<ExchangeClient> idle;
          int begun = 0;
          for (int i = 0; i < half_sent; ++i) begun += begin_in_a_child(keyd.runtime_dir()) ? 1 : 0;
          int connected = 0;
          for (; connected < connections; ++connected) {
            idle.emplace_back(keyd.runtime_dir());
            idle.back().forget_buffer();
            if (!idle.back().connect()) break;
          }
          child.say(std::to_string(connected) + " " + std::to_string(begun));
          while (child.hear().empty() && ::getppid() != 1) ::usleep(1000);
          return 0;
        }) {
    there_ = said() == std::to_string(connections) + " " + std::to_string(half_sent);
  }
  [[nodiscard]] bool there() const { return there_; }

 private:
  // The child says itself whether it is there, and goes with its parent.
  static bool begin_in_a_child(const std::string& runtime_dir) {
    int ends[2];
    if (::pipe(ends) != 0) return false;
    if (::fork() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ExchangeClient client(runtime_dir);
      const char begun = client.connect() && client.begin() ? 'y' : 'n';
      (void)!::write(ends[1], &begun, 1);
      ::close(ends[0]);
      ::close(ends[1]);
      for (;;) ::pause();
    }
    char begun = 0;
    const bool heard = ::read(ends[0], &begun, 1) == 1;
    ::close(ends[0]);
    ::close(ends[1]);
    return heard && begun == 'y';
  }
  std::string said() const {
    std::string line;
    for (int i = 0; i < 6 && line.empty(); ++i) line = process_.hear();  // 10 s each
    return line;
  }
  testing::Forked process_;
  bool there_ = false;
};

// Times of kOther's visits.
std::vector<double> visits(const testing::PrivateKeyd& keyd, int count = kVisits,
                           std::chrono::microseconds pause = std::chrono::microseconds(0)) {
  return as_uid(kOther, [&] {
    ExchangeClient client(keyd.runtime_dir());
    for (int i = 0; i < 20; ++i) client.visit();  // warm
    return times_of(count, [&] { return client.visit(); }, pause);
  });
}

void report_visits(benchmark::State& state, const std::string& name, const std::vector<double>& times) {
  double total = 0, failed = times.empty() ? kVisits : 0;
  for (const double t : times) failed += t < 0 ? 1 : 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(kCounted, times.size()); ++i) total += std::abs(times[i]);
  state.counters[name + "p50_us"] = percentile(times, 50);
  state.counters[name + "p99_us"] = percentile(times, 99);
  state.counters[name + "total_ms"] = total / 1000;
  state.counters[name + "failed"] = failed;
}

// Of other people's connections, `range(0)` idle and `range(1)` half-sent.
void OtherClientBeside(benchmark::State& state) {
  const auto idle = static_cast<int>(state.range(0)), half_sent = static_cast<int>(state.range(1));
  for (auto _ : state) {
    const auto keyd = started_keyd();
    const std::size_t descriptors = testing::descriptors_of(keyd->pid());
    report_visits(state, "unloaded_", visits(*keyd));
    const std::size_t dirty = private_dirty(keyd->pid());
    {
      const Crowd crowd(*keyd, idle, half_sent);
      // keyadm's last connection may have been among those counted.
      const auto all = descriptors + static_cast<std::size_t>(idle + 2 * half_sent) - 4;
      if (!crowd.there() ||
          !testing::eventually([&] { return testing::descriptors_of(keyd->pid()) >= all; }, 30)) {
        state.SkipWithError("the crowd did not get in");
        return;
      }
      state.counters["octets_each"] =
          (static_cast<double>(private_dirty(keyd->pid())) - static_cast<double>(dirty)) /
          static_cast<double>(idle + half_sent);
      const double cpu = cpu_seconds(keyd->pid());
      std::this_thread::sleep_for(std::chrono::seconds(2));
      state.counters["idle_cpu_percent"] = (cpu_seconds(keyd->pid()) - cpu) / 2 * 100;
      report_visits(state, "", visits(*keyd));
    }
    const bool back =
        testing::eventually([&] { return testing::descriptors_of(keyd->pid()) <= descriptors; }, 30);
    state.counters["descriptors_left"] =
        back ? 0
             : static_cast<double>(testing::descriptors_of(keyd->pid())) - static_cast<double>(descriptors);
  }
}

// Gives what logs a user in once more, each time it is called. False: it failed.
using MakeLogin = std::function<bool()> (*)(const std::string& runtime_dir, const std::string& user);

std::function<bool()> kryptoknight_login(const std::string& runtime_dir, const std::string& user) {
  return [runtime_dir, choice = testing::RawClient::knight_choice(user)] {
    testing::RawClient raw(runtime_dir);
    return raw.begin_knight(choice) && raw.prove_knight(kPassword);
  };
}
std::function<bool()> srp_login(const std::string& runtime_dir, const std::string& user) {
  return [client = std::make_shared<SrpRenewer>(runtime_dir, user, kPassword)] { return client->log_in(); };
}

// How often another client comes.
struct Visits {
  int count;
  std::chrono::microseconds pause;
};
// Without a pause it keeps the core busy, and keyd's worker threads (nice 19) get next to nothing; with one they get the
// rest of it, and each visit finds them at work.
constexpr Visits kBusy{kVisitsBesideLogins, std::chrono::microseconds(0)};
constexpr Visits kNowAndThen{4000, std::chrono::microseconds(1000)};

// What the scheduler makes of a core where somebody else always has work of nice 19, whatever that is.
std::vector<double> visits_beside_a_loop(const testing::PrivateKeyd& keyd, const Visits& other) {
  testing::Forked loop([](testing::Forked::Child& child) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    child.say(::setpriority(PRIO_PROCESS, 0, 19) == 0 ? "runs" : "fails");
    for (std::atomic<bool> on = true; on;) {
    }
    return 0;
  });
  (void)loop.hear();
  auto times = visits(keyd, other.count, other.pause);
  loop.kill();
  return times;
}

// Of 16 users who log in by `scheme` without a pause, at the cost that keyd has by default. What their own processes
// compute they compute on another processor: here it is about keyd's share of the work.
void OtherClientBesideLogins(benchmark::State& state, const char* scheme, MakeLogin make_login,
                             Visits other) {
  constexpr int kLogins = 16;
  for (auto _ : state) {
    const auto keyd = started_keyd();
    for (int i = 0; i < kLogins; ++i)
      keyd->enrol("user" + std::to_string(i), kPassword, {"--scheme", scheme});
    report_visits(state, "unloaded_", visits(*keyd, other.count, other.pause));
    if (other.pause.count() > 0) report_visits(state, "loop_", visits_beside_a_loop(*keyd, other));
    std::atomic<int>* const done = static_cast<std::atomic<int>*>(
        ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    std::vector<std::unique_ptr<testing::Forked>> logins;
    for (int i = 0; i < kLogins; ++i) {
      logins.push_back(std::make_unique<testing::Forked>([&, i](testing::Forked::Child& child) {
        cpu_set_t last;
        CPU_ZERO(&last);
        CPU_SET(std::thread::hardware_concurrency() - 1, &last);
        ::sched_setaffinity(0, sizeof last, &last);
        const auto log_in = make_login(keyd->runtime_dir(), "user" + std::to_string(i));
        for (bool first = true; log_in(); first = false) {
          ++*done;
          if (first) child.say("in");
        }
        child.say("out");
        return 1;
      }));
    }
    for (const auto& login : logins) {
      if (login->hear() != "in") return state.SkipWithError("a login failed");
    }
    const int before = *done;
    const double cpu = cpu_seconds(keyd->pid());
    const auto start = std::chrono::steady_clock::now();
    report_visits(state, "", visits(*keyd, other.count, other.pause));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    state.counters["logins_per_second"] = (*done - before) / took.count();
    state.counters["keyd_cpu_percent"] = (cpu_seconds(keyd->pid()) - cpu) / took.count() * 100;
    for (const auto& login : logins) login->kill();
    ::munmap(done, sizeof(std::atomic<int>));
  }
}

BENCHMARK_CAPTURE(OtherClientBesideLogins, kryptoknight, "kryptoknight", kryptoknight_login, kBusy)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(OtherClientBesideLogins, kryptoknight_and_pauses, "kryptoknight", kryptoknight_login,
                  kNowAndThen)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(OtherClientBesideLogins, srp_and_pauses, "srp", srp_login, kNowAndThen)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(OtherClientBesideLogins, srp, "srp", srp_login, kBusy)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(OtherClientBeside)
    ->Args({1000, 0})
    ->Args({0, 1000})
    ->Args({10'000, 0})
    ->Args({0, 2000})
    ->Args({10000, 2000})
    ->ArgNames({"idle", "half_sent"})
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
