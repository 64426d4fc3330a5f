// Who is at the other end of a socket, whether it still is, and what a look-up costs while keyd is stopped:
// through libkeyclient, as a service does it, beside the system calls that name the peer. In each tier, for they
// differ in what has to be asked; the reference is measured with the same keyd, because one that watches every
// system call makes every system call dearer.
#include <benchmark/benchmark.h>
#include <keyclient/keyclient.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "core/base/clock.h"
#include "tests/bench/keyd_under_load.h"
#include "tests/support/forked.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace keyd::bench {
namespace {

// A keyd, an authenticated process that has connected to a service's socket, and the service's handle.
struct Scene {
  std::string configuration;
  std::unique_ptr<testing::PrivateKeyd> keyd;
  UniqueFd accepted;
  std::unique_ptr<testing::Forked> process;
  keyclient_t* client = nullptr;
  keyclient_identity who{};

  explicit Scene(const std::string& of_configuration)
      : configuration(of_configuration), keyd(started_keyd(configuration)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (keyd->directory() + "/service.sock").copy(address.sun_path, sizeof address.sun_path - 1);
    const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 1) != 0) {
      std::abort();
    }
    process = std::make_unique<testing::Forked>([&](testing::Forked::Child& child) {
      ExchangeClient exchange(keyd->runtime_dir());
      const UniqueFd service(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const bool in =
          exchange.connect() && exchange.exchange() &&
          ::connect(service.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
      child.say(in ? "in" : "out");
      while (child.hear().empty()) ::sleep(1);  // until it is killed
      return 0;
    });
    accepted.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const std::string directory = keyd->runtime_dir();
    keyclient_options options{};
    options.size = sizeof options;
    options.runtime_dir = directory.c_str();
    who.size = sizeof who;
    if (process->hear() != "in" || keyclient_open(&options, &client) != KEYCLIENT_OK ||
        keyclient_lookup_socket(client, accepted.get(), &who) != KEYCLIENT_OK) {
      std::abort();
    }
  }
  ~Scene() { keyclient_close(client); }
};

constexpr const char* kPidfd = "[daemon]\ntier = \"pidfd\"\n";
constexpr const char* kKernel = "[daemon]\ntier = \"kernel\"\n";
constexpr const char* kEverySyscall = "[daemon]\ntier = \"kernel\"\ncredentials = \"every-syscall\"\n";

// One at a time: see above.
std::unique_ptr<Scene> the_scene;
Scene& scene(const std::string& configuration = kPidfd) {
  if (the_scene == nullptr || the_scene->configuration != configuration) {
    the_scene.reset();
    the_scene = std::make_unique<Scene>(configuration);
  }
  return *the_scene;
}

void PeerBySocket(benchmark::State& state, const char* tier) {
  Scene& s = scene(tier);
  for (auto _ : state) {
    if (keyclient_lookup_socket(s.client, s.accepted.get(), &s.who) != KEYCLIENT_OK)
      return state.SkipWithError(keyclient_error());
  }
}

// With the peer made and freed: the same system calls, and its memory.
void Identify(benchmark::State& state, const char* tier) {
  Scene& s = scene(tier);
  for (auto _ : state) {
    keyclient_peer_t* peer = nullptr;
    if (keyclient_identify(s.client, s.accepted.get(), &peer, &s.who) != KEYCLIENT_OK)
      return state.SkipWithError(keyclient_error());
    keyclient_peer_free(peer);
  }
}

void look_again(benchmark::State& state, const char* tier, keyclient_status (*look)(keyclient_peer_t*)) {
  Scene& s = scene(tier);
  keyclient_peer_t* peer = nullptr;
  if (keyclient_identify(s.client, s.accepted.get(), &peer, &s.who) != KEYCLIENT_OK)
    return state.SkipWithError(keyclient_error());
  for (auto _ : state) {
    if (look(peer) != KEYCLIENT_OK) {
      state.SkipWithError(keyclient_error());
      break;
    }
  }
  keyclient_peer_free(peer);
}
void PeerCheck(benchmark::State& state, const char* tier) { look_again(state, tier, keyclient_peer_check); }
void PeerGlance(benchmark::State& state, const char* tier) {
  look_again(state, tier, [](keyclient_peer_t* peer) { return keyclient_peer_glance(peer); });
}

// What a check cannot do without: the two loads, and the clock.
void BareLoads(benchmark::State& state) {
  static std::atomic<std::uint64_t> word{1}, down{0};
  for (auto _ : state) {
    benchmark::DoNotOptimize(word.load(std::memory_order_acquire));
    benchmark::DoNotOptimize(down.load(std::memory_order_acquire));
  }
}
void BootClock(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(boot_now());
}

// The least that names a peer for good.
void KernelPart(benchmark::State& state, const char* tier) {
  const int socket = scene(tier).accepted.get();
  for (auto _ : state) {
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    struct stat st{};
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0 || ::fstat(pidfd, &st) != 0)
      return state.SkipWithError("SO_PEERPIDFD");
    ::close(pidfd);
    benchmark::DoNotOptimize(st.st_ino);
  }
}

void ByPid(benchmark::State& state) {
  Scene& s = scene();
  const auto pid = static_cast<std::uint32_t>(s.process->pid());
  for (auto _ : state) {
    if (keyclient_lookup_pid(s.client, pid, &s.who) != KEYCLIENT_OK)
      return state.SkipWithError(keyclient_error());
  }
}

// What the writer does meanwhile, in tier kernel without and with every system call watched. Busy: another process exchanges without a pause, both on the
// other processor where there is one. Stopped by SIGSTOP: the kernel goes on keeping the table, so that answers
// stay answers. Killed: every answer is that there is none.
enum class Writer { kIdle, kBusy, kStopped, kKilled };

class WriterAt {
 public:
  WriterAt(Scene& scene, Writer doing) : scene_(scene), doing_(doing) {
    if (doing == Writer::kStopped) ::kill(scene.keyd->pid(), SIGSTOP);
    if (doing == Writer::kKilled) scene.keyd->kill();
    if (doing != Writer::kBusy) return;
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET(std::thread::hardware_concurrency() - 1, &last);
    ::sched_setaffinity(scene.keyd->pid(), sizeof last, &last);
    exchanging_ = std::make_unique<testing::Forked>([&](testing::Forked::Child& child) {
      ::sched_setaffinity(0, sizeof last, &last);
      ExchangeClient exchange(scene_.keyd->runtime_dir());
      if (!exchange.connect() || !exchange.exchange()) return 1;
      child.say("busy");
      while (exchange.exchange()) {
      }
      return 1;
    });
    if (exchanging_->hear() != "busy") std::abort();
  }
  ~WriterAt() {
    if (doing_ == Writer::kStopped) ::kill(scene_.keyd->pid(), SIGCONT);
  }
  WriterAt(const WriterAt&) = delete;
  WriterAt& operator=(const WriterAt&) = delete;

  // Afterwards too: an exchanger that failed has measured an idle keyd.
  [[nodiscard]] bool still_busy() const {
    siginfo_t ended{};
    return !exchanging_ || (::waitid(P_PID, static_cast<id_t>(exchanging_->pid()), &ended,
                                     WEXITED | WNOHANG | WNOWAIT) == 0 &&
                            ended.si_pid == 0);
  }

 private:
  Scene& scene_;
  Writer doing_;
  std::unique_ptr<testing::Forked> exchanging_;
};

template <typename Call>
void while_the_writer(benchmark::State& state, const char* setting, Writer doing,
                      keyclient_status when_killed, const Call& call) {
  Scene& s = scene(setting);
  keyclient_peer_t* peer = nullptr;
  if (keyclient_identify(s.client, s.accepted.get(), &peer, &s.who) != KEYCLIENT_OK)
    return state.SkipWithError(keyclient_error());
  {
    const WriterAt writer(s, doing);
    const keyclient_status expected = doing == Writer::kKilled ? when_killed : KEYCLIENT_OK;
    for (auto _ : state) {
      if (call(s, peer) != expected) {
        state.SkipWithError(keyclient_error());
        break;
      }
    }
    const auto times = times_of(50'000, [&] { return call(s, peer) == expected; });
    state.counters["p99_us"] = percentile(times, 99);
    state.counters["slowest_us"] = percentile(times, 100);
    if (!writer.still_busy()) state.SkipWithError("the exchanges have ended");
  }
  keyclient_peer_free(peer);
  if (doing == Writer::kKilled) the_scene.reset();  // another keyd next time
}
void LookUpWhile(benchmark::State& state, const char* setting, Writer doing) {
  while_the_writer(state, setting, doing, KEYCLIENT_UNKNOWN, [](Scene& s, keyclient_peer_t*) {
    return keyclient_lookup_pid(s.client, static_cast<std::uint32_t>(s.process->pid()), &s.who);
  });
}
void IdentifyWhile(benchmark::State& state, const char* setting, Writer doing) {
  while_the_writer(state, setting, doing, KEYCLIENT_UNKNOWN, [](Scene& s, keyclient_peer_t*) {
    return keyclient_lookup_socket(s.client, s.accepted.get(), &s.who);
  });
}
void CheckWhile(benchmark::State& state, const char* setting, Writer doing) {
  while_the_writer(state, setting, doing, KEYCLIENT_GONE,
                   [](Scene&, keyclient_peer_t* peer) { return keyclient_peer_check(peer); });
}
void GlanceWhile(benchmark::State& state, const char* setting, Writer doing) {
  while_the_writer(state, setting, doing, KEYCLIENT_GONE,
                   [](Scene&, keyclient_peer_t* peer) { return keyclient_peer_glance(peer); });
}

// keyd stopped with SIGSTOP, its heartbeat over: every look-up says "unknown". Now and then one also looks
// whether a new keyd has come, by a connection that it does not wait for: `slowest_us` is such a one.
void ByPidWhileKeydIsStopped(benchmark::State& state) {
  Scene& s = scene();
  const auto pid = static_cast<std::uint32_t>(s.process->pid());
  ::kill(s.keyd->pid(), SIGSTOP);
  while (keyclient_lookup_pid(s.client, pid, &s.who) == KEYCLIENT_OK)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (auto _ : state) {
    if (keyclient_lookup_pid(s.client, pid, &s.who) != KEYCLIENT_UNKNOWN) {
      state.SkipWithError("an answer");
      break;
    }
  }
  const auto times =
      times_of(100'000, [&] { return keyclient_lookup_pid(s.client, pid, &s.who) == KEYCLIENT_UNKNOWN; });
  state.counters["p99_us"] = percentile(times, 99);
  state.counters["slowest_us"] = percentile(times, 100);
  ::kill(s.keyd->pid(), SIGCONT);
  while (keyclient_lookup_pid(s.client, pid, &s.who) != KEYCLIENT_OK)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

#define IN_EACH_TIER(function)                  \
  BENCHMARK_CAPTURE(function, pidfd, kPidfd);   \
  BENCHMARK_CAPTURE(function, kernel, kKernel); \
  BENCHMARK_CAPTURE(function, every_syscall, kEverySyscall)
IN_EACH_TIER(PeerBySocket);
IN_EACH_TIER(Identify);
IN_EACH_TIER(KernelPart);
IN_EACH_TIER(PeerCheck);
IN_EACH_TIER(PeerGlance);
BENCHMARK(BareLoads);
BENCHMARK(BootClock);
BENCHMARK(ByPid);
BENCHMARK(ByPidWhileKeydIsStopped);
#define IN_EACH_STATE(function)                                                            \
  BENCHMARK_CAPTURE(function, idle, kKernel, Writer::kIdle);                               \
  BENCHMARK_CAPTURE(function, busy, kKernel, Writer::kBusy);                               \
  BENCHMARK_CAPTURE(function, stopped, kKernel, Writer::kStopped);                         \
  BENCHMARK_CAPTURE(function, killed, kKernel, Writer::kKilled);                           \
  BENCHMARK_CAPTURE(function, idle_and_every_syscall, kEverySyscall, Writer::kIdle);       \
  BENCHMARK_CAPTURE(function, busy_and_every_syscall, kEverySyscall, Writer::kBusy);       \
  BENCHMARK_CAPTURE(function, stopped_and_every_syscall, kEverySyscall, Writer::kStopped); \
  BENCHMARK_CAPTURE(function, killed_and_every_syscall, kEverySyscall, Writer::kKilled)
IN_EACH_STATE(LookUpWhile);
IN_EACH_STATE(IdentifyWhile);
IN_EACH_STATE(CheckWhile);
IN_EACH_STATE(GlanceWhile);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
