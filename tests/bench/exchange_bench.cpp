// The `challenge` exchange between real processes, beside the round trip of a SEQPACKET echo
// (docs/benchmarks.md says which is held against which). Meant to run on one core, keyd and clients together:
// across cores the time is the scheduler's.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/bench/keyd_under_load.h"

namespace keyd::bench {
namespace {

testing::PrivateKeyd& the_keyd() {
  static const auto keyd = started_keyd();
  return *keyd;
}

// The processor time that both ends took: on one core that nobody else uses it is the time that passed.
class BothEnds {
 public:
  explicit BothEnds(pid_t server)
      : server_(server), theirs_(cpu_seconds(server)), ours_(cpu_seconds(::getpid())) {}
  void report(benchmark::State& state) const {
    const auto each = static_cast<double>(state.iterations()) / 1e6;
    const double theirs = cpu_seconds(server_) - theirs_, ours = cpu_seconds(::getpid()) - ours_;
    state.counters["server_cpu_us"] = theirs / each;
    state.counters["cpu_us"] = (theirs + ours) / each;
  }

 private:
  pid_t server_;
  double theirs_, ours_;
};

void EchoRoundTrip(benchmark::State& state) {
  EchoServer echo(1);
  const BothEnds cpu(echo.process());
  for (auto _ : state) {
    if (!echo.round_trip(0)) return state.SkipWithError("echo");
  }
  cpu.report(state);
}

void ExchangeHeld(benchmark::State& state) {
  ExchangeClient client(the_keyd().runtime_dir());
  if (!client.connect() || !client.exchange()) return state.SkipWithError("first exchange");
  const BothEnds cpu(the_keyd().pid());
  for (auto _ : state) {
    if (!client.exchange()) return state.SkipWithError(client.answer().ShortDebugString().c_str());
  }
  cpu.report(state);
}

void ExchangeWithConnect(benchmark::State& state) {
  ExchangeClient client(the_keyd().runtime_dir());
  const BothEnds cpu(the_keyd().pid());
  for (auto _ : state) {
    if (!client.visit()) return state.SkipWithError("exchange");
  }
  cpu.report(state);
}

constexpr double kSeconds = 1.0;  // of each crowd

void EchoCrowd(benchmark::State& state) {
  const int clients = static_cast<int>(state.range(0));
  for (auto _ : state) {
    EchoServer echo(clients);
    const Rate rate =
        rate_of(clients, kSeconds, [&](int i) { return [&echo, i] { return echo.round_trip(i); }; });
    state.counters["per_second"] = rate.per_second;
    state.counters["failed"] = rate.failed;
  }
}

void ExchangeCrowd(benchmark::State& state) {
  const auto client = [](int) {
    auto made = std::make_shared<ExchangeClient>(the_keyd().runtime_dir());
    const bool in = made->connect() && made->exchange();
    return [made, in] { return in && made->exchange(); };
  };
  the_keyd();
  for (auto _ : state) {
    const Rate rate = rate_of(static_cast<int>(state.range(0)), kSeconds, client);
    state.counters["per_second"] = rate.per_second;
    state.counters["failed"] = rate.failed;
  }
}

// Memory over many exchanges: 100 000, or a million with KEYD_SOAK.
void FlatMemory(benchmark::State& state) {
  const auto keyd = started_keyd();
  ExchangeClient client(keyd->runtime_dir());
  if (!client.connect() || !client.exchange()) return state.SkipWithError("first exchange");
  const int exchanges = std::getenv("KEYD_SOAK") != nullptr ? 1'000'000 : 100'000;
  for (auto _ : state) {
    state.counters["base_rss_kib"] = static_cast<double>(memory_of(keyd->pid(), "VmRSS")) / 1024;
    for (int i = 0; i < 1000; ++i) {
      if (!client.exchange()) return state.SkipWithError("exchange");
    }
    const auto warm = static_cast<double>(memory_of(keyd->pid(), "VmRSS"));
    for (int i = 1000; i < exchanges; ++i) {
      if (i % 100 == 0 && (!client.visit() || !client.connect())) return state.SkipWithError("visit");
      if (!client.exchange()) return state.SkipWithError("exchange");
    }
    state.counters["exchanges"] = exchanges;
    state.counters["growth_kib"] = (static_cast<double>(memory_of(keyd->pid(), "VmRSS")) - warm) / 1024;
  }
}

BENCHMARK(EchoRoundTrip)->UseRealTime();
BENCHMARK(ExchangeHeld)->UseRealTime();
BENCHMARK(ExchangeWithConnect)->UseRealTime();
BENCHMARK(EchoCrowd)->Arg(1)->Arg(16)->Arg(64)->Arg(256)->Iterations(1)->UseRealTime();
BENCHMARK(ExchangeCrowd)->Arg(1)->Arg(16)->Arg(64)->Arg(256)->Iterations(1)->UseRealTime();
BENCHMARK(FlatMemory)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
