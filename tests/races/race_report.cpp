#include "tests/races/race_report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace keyd::races {
namespace {

double percentile(const std::vector<double>& sorted, double percent) {
  if (sorted.empty()) return 0;
  const auto at = static_cast<std::size_t>(percent / 100 * static_cast<double>(sorted.size()));
  return sorted[std::min(at, sorted.size() - 1)];
}

class Printer : public ::testing::Environment {
 public:
  void TearDown() override {
    if (cases.empty()) return;
    fmt::print("\n| tier {}: what raced | tries | stale | p50 | p99 | longest |\n", tier);
    fmt::print("| --- | --- | --- | --- | --- | --- |\n");
    std::uint64_t tries = 0, stale = 0;
    for (const CaseReport& c : cases) {
      fmt::print(
          "| {} | {} | {} | {:.1f} µs | {:.1f} µs | {} |\n", c.name, c.tries, c.stale + c.never, c.p50, c.p99,
          c.never > 0 ? fmt::format("never ({} times)", c.never) : fmt::format("{:.1f} µs", c.longest));
      tries += c.tries;
      stale += c.stale + c.never;
    }
    fmt::print("| all | {} | {} | | | |\n", tries, stale);
    std::fflush(stdout);
    if (const char* const path = std::getenv("KEYD_RACE_JSON")) write_json(path);
  }

  std::string tier;
  std::vector<CaseReport> cases;

 private:
  void write_json(const char* path) const {
    nlohmann::json all;
    all["tier"] = tier;
    for (const CaseReport& c : cases) {
      all["cases"].push_back({{"name", c.name},
                              {"tries", c.tries},
                              {"stale", c.stale},
                              {"never", c.never},
                              {"lost", c.lost},
                              {"forged", c.forged},
                              {"completed_first", c.completed_first},
                              {"repeated", c.void_tries},
                              {"p50_us", c.p50},
                              {"p99_us", c.p99},
                              {"longest_us", c.longest},
                              {"seconds", c.seconds}});
    }
    std::ofstream(path) << all.dump(2) << "\n";
  }
};

// GoogleTest owns it.
Printer& printer() {
  static auto* const the_one = new Printer;
  [[maybe_unused]] static const auto* const registered = ::testing::AddGlobalTestEnvironment(the_one);
  return *the_one;
}
// Before main, so that it is torn down with the others.
[[maybe_unused]] const Printer& at_the_end = printer();

}  // namespace

CaseReport report_of(const std::string& name, const std::vector<Try>& tries) {
  CaseReport report;
  report.name = name;
  report.tries = tries.size();
  std::vector<double> windows;
  for (const Try& one : tries) {
    switch (one.outcome) {
      case Outcome::kNotRun: ++report.not_run; break;
      case Outcome::kClean: windows.push_back(0); break;
      case Outcome::kStale:
        ++report.stale;
        windows.push_back(static_cast<double>(one.window) / 1000.0);
        break;
      case Outcome::kNever: ++report.never; break;
      case Outcome::kLost: ++report.lost; break;
      case Outcome::kForged: ++report.forged; break;
      case Outcome::kTrouble:
        ++report.trouble;
        report.trouble_step = one.step;
        break;
    }
    report.completed_first += one.completed_first ? 1 : 0;
  }
  std::ranges::sort(windows);
  report.p50 = percentile(windows, 50);
  report.p99 = percentile(windows, 99);
  report.longest = percentile(windows, 100);
  return report;
}

void add_to_report(const CaseReport& report, const std::string& tier) {
  printer().tier = tier;
  printer().cases.push_back(report);
}

}  // namespace keyd::races
