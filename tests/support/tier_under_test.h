// The tier that the suites are run in: KEYD_TEST_TIER=kernel|watch|pidfd, or keyd's own choice ("auto") where that
// is not set. Every private keyd whose configuration names no tier is started in it; a test that is about one
// tier names it, or expects by PrivateKeyd::tier().
#pragma once

#include <string>
#include <vector>

namespace keyd::testing {

// "auto", "kernel", "watch" or "pidfd"; ends the program on another value.
[[nodiscard]] std::string tier_under_test();

// Whether keyd starts in this tier here. Asked once a program, by starting one.
[[nodiscard]] bool reaches(const std::string& tier);

// Those of `tiers` that this machine has; where a tier is named for this run, that one alone or none.
[[nodiscard]] std::vector<std::string> tiers_to_test(const std::vector<std::string>& tiers = {
                                                         "kernel", "watch", "pidfd"});
// Those that see a process exec without its help.
inline const std::vector<std::string> kTiersThatSeeExecs{"kernel", "watch"};

// The beginning of a configuration, a [daemon] section: the tier under test, but one that a flood of process
// events cannot disturb. On a machine that is busy with other processes, or where keyd is stopped for seconds,
// tier watch loses events and then revokes everybody's record; tests that this would trouble take "pidfd".
[[nodiscard]] std::string in_a_steady_tier();

}  // namespace keyd::testing
