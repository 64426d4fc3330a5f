// Whether the time of an answer tells why somebody is denied: Welch's t between a wrong password and every
// other reason, over samples in random order, as dudect has it (Reparaz, Balasch, Verbauwhede 2017): on all
// samples and on those below several percentiles of both; the largest |t| counts. Below 4.5 nothing was found
// with so many samples.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>

#include "core/crypto/random.h"
#include "tests/bench/keyd_under_load.h"
#include "tests/support/raw_client.h"
#include "tests/support/refused_users.h"

namespace keyd::bench {
namespace {

using testing::RawClient;
using testing::RefusedUser;

// Samples of each kind. More with KEYD_SOAK: t grows with their root.
int samples() { return std::getenv("KEYD_SOAK") != nullptr ? 100'000 : 4'000; }

double welch(const std::vector<double>& a, const std::vector<double>& b) {
  const auto moments = [](const std::vector<double>& v) {
    double mean = 0, squares = 0;
    for (const double x : v) mean += x / static_cast<double>(v.size());
    for (const double x : v) squares += (x - mean) * (x - mean);
    return std::pair{mean, squares / static_cast<double>(v.size() - 1) / static_cast<double>(v.size())};
  };
  const auto [mean_a, error_a] = moments(a);
  const auto [mean_b, error_b] = moments(b);
  return (mean_a - mean_b) / std::sqrt(error_a + error_b);
}

double largest_t(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> both = a;
  both.insert(both.end(), b.begin(), b.end());
  double largest = 0;
  for (const double crop : {100.0, 99.0, 95.0, 90.0, 75.0, 50.0}) {
    const double limit = percentile(both, crop);
    std::vector<double> below_a, below_b;
    std::ranges::copy_if(a, std::back_inserter(below_a), [&](double x) { return x <= limit; });
    std::ranges::copy_if(b, std::back_inserter(below_b), [&](double x) { return x <= limit; });
    if (below_a.size() < 100 || below_b.size() < 100) continue;
    const double t = welch(below_a, below_b);
    if (std::abs(t) > std::abs(largest)) largest = t;
  }
  return largest;
}

struct Samples {
  std::vector<double> numbers, verdict;  // microseconds until the answer to the start, and to the proof
};

// One exchange that is denied; only what keyd does is timed.
bool sample(RawClient& raw, const wire::ChallengeStart& choice, const std::string& password, Samples& into) {
  raw.machine.emplace(choice);
  const auto start = raw.machine->start(crypto::fill_random);
  std::optional<Bytes> answer;
  const auto timed = [&](const Bytes& packet) {
    return times_of(1, [&] {
      const bool sent = raw.send(packet);
      answer = raw.receive();
      return sent && answer.has_value();
    })[0];
  };
  if (!start) return false;
  const double numbers = timed(*start);
  if (numbers < 0 || wire::decode(*answer, raw.last_packet) != wire::Decoded::kMessage ||
      !raw.machine->take_numbers(*answer, raw.last_packet.challenge_numbers())) {
    return false;
  }
  const double verdict = timed(raw.proof(password));
  if (verdict < 0 || wire::decode(*answer, raw.last_packet) != wire::Decoded::kMessage ||
      !raw.last_packet.has_denied()) {
    return false;
  }
  into.numbers.push_back(numbers);
  into.verdict.push_back(verdict);
  return true;
}

void Uniformity(benchmark::State& state, wire::ChallengeStart (*choice)(const std::string&), bool historic) {
  testing::PrivateKeyd keyd(testing::refused_users_config() + "[audit]\nfile = \"/dev/null\"\n");
  if (!testing::start_with_refused_users(keyd)) return state.SkipWithError("keyd does not start");
  std::vector<RefusedUser> kinds(std::begin(testing::kRefusedUsers), std::end(testing::kRefusedUsers));
  if (historic) kinds.push_back(testing::kNoHistoricUser);
  RawClient raw(keyd.runtime_dir());
  std::vector<Samples> taken(kinds.size());
  std::mt19937 random(std::random_device{}());
  for (auto _ : state) {
    for (int i = 0; i < samples() * static_cast<int>(kinds.size()); ++i) {
      const std::size_t kind = random() % kinds.size();
      Samples ignored;  // the first ones, while caches fill
      if (!sample(raw, choice(kinds[kind].user), kinds[kind].password, i < 500 ? ignored : taken[kind]))
        return state.SkipWithError(kinds[kind].kind);
    }
  }
  for (std::size_t kind = 1; kind < kinds.size(); ++kind) {
    std::string name = kinds[kind].kind;
    std::ranges::replace(name, ' ', '_');
    state.counters["t_numbers_" + name] = largest_t(taken[0].numbers, taken[kind].numbers);
    state.counters["t_verdict_" + name] = largest_t(taken[0].verdict, taken[kind].verdict);
  }
  state.counters["verdict_p50_us"] = percentile(taken[0].verdict, 50);
  state.counters["samples_each"] = static_cast<double>(taken[0].verdict.size());
}

BENCHMARK_CAPTURE(Uniformity, modern, testing::modern_choice, false)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Uniformity, historic, testing::historic_choice, true)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace keyd::bench

BENCHMARK_MAIN();
