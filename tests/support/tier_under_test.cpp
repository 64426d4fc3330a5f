#include "tests/support/tier_under_test.h"

#include <cstdio>
#include <cstdlib>
#include <map>

#include "tests/support/private_keyd.h"

namespace keyd::testing {

std::string tier_under_test() {
  const char* const value = std::getenv("KEYD_TEST_TIER");
  const std::string tier = value == nullptr || *value == '\0' ? "auto" : value;
  if (tier != "auto" && tier != "kernel" && tier != "watch" && tier != "pidfd") {
    std::fprintf(stderr, "KEYD_TEST_TIER=%s is no tier\n", value);
    std::_Exit(2);
  }
  return tier;
}

bool reaches(const std::string& tier) {
  static std::map<std::string, bool> known;
  const auto [entry, is_new] = known.try_emplace(tier, false);
  if (is_new) {
    PrivateKeyd probe("[daemon]\ntier = \"" + tier + "\"\n");
    entry->second = probe.start();
  }
  return entry->second;
}

std::vector<std::string> tiers_to_test(const std::vector<std::string>& tiers) {
  const std::string asked = tier_under_test();
  std::vector<std::string> here;
  for (const std::string& tier : tiers) {
    if ((asked == "auto" || asked == tier) && reaches(tier)) here.push_back(tier);
  }
  return here;
}

std::string in_a_steady_tier() {
  const std::string asked = tier_under_test();
  const bool kernel = asked == "kernel" || (asked == "auto" && reaches("kernel"));
  return std::string("[daemon]\ntier = \"") + (kernel ? "kernel" : "pidfd") + "\"\n";
}

}  // namespace keyd::testing
