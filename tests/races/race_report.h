// What a race showed: counted by case, as a table for people and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace keyd::races {

// One try, as its worker judges it.
enum class Outcome : std::uint32_t {
  kNotRun,   // its worker ended before
  kClean,    // no read of a state that should have been gone
  kStale,    // a living record was read after the moment; `window` says for how long
  kNever,    // likewise, for as long as anybody looked
  kLost,     // a record was gone that ought to have stayed
  kForged,   // an exchange ended well that another program took part in
  kTrouble,  // the race could not be run: `step` says where
};

struct Try {
  Outcome outcome = Outcome::kNotRun;
  std::uint32_t step = 0;
  std::uint64_t window = 0;      // ns from the moment to the first look that found no living record
  bool completed_first = false;  // of an exec against a COMPLETE: who came first
};

struct CaseReport {
  std::string name;
  std::uint64_t tries = 0, stale = 0, never = 0, lost = 0, forged = 0, trouble = 0, not_run = 0,
                completed_first = 0, void_tries = 0;
  std::uint32_t trouble_step = 0;
  double p50 = 0, p99 = 0, longest = 0;  // microseconds, of the windows of all tries; clean ones are 0
  double seconds = 0;
};

[[nodiscard]] CaseReport report_of(const std::string& name, const std::vector<Try>& tries);

// Adds a case to what is printed and written at the end of the program: the table on stdout, and where
// KEYD_RACE_JSON names a file, JSON in it.
void add_to_report(const CaseReport& report, const std::string& tier);

}  // namespace keyd::races
