// Who is at the other end of a socket, and what a look-up costs while keyd is stopped: through libkeyclient,
// as a service does it, beside the system calls that name the peer.
#include <benchmark/benchmark.h>
#include <keyclient/keyclient.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

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
  std::unique_ptr<testing::PrivateKeyd> keyd = started_keyd();
  UniqueFd accepted;
  std::unique_ptr<testing::Forked> process;
  keyclient_t* client = nullptr;
  keyclient_identity who{};

  Scene() {
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

Scene& scene() {
  static Scene the_scene;
  return the_scene;
}

void PeerBySocket(benchmark::State& state) {
  Scene& s = scene();
  for (auto _ : state) {
    if (keyclient_lookup_socket(s.client, s.accepted.get(), &s.who) != KEYCLIENT_OK)
      return state.SkipWithError(keyclient_error());
  }
}

// The least that names a peer for good.
void KernelPart(benchmark::State& state) {
  const int socket = scene().accepted.get();
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

BENCHMARK(PeerBySocket);
BENCHMARK(KernelPart);
BENCHMARK(ByPid);
BENCHMARK(ByPidWhileKeydIsStopped);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
