// For tests that fail to log in until keyd makes them wait: where the machine is busy, a wait may be over before they try
// again, and that try is judged too.
#pragma once

#include "core/base/clock.h"

namespace keyd::testing {

// How many failures of a source at a user keyd can have judged in the time since: the free ones, and one more behind each
// wait (1 s, 2 s, 4 s …) that has passed.
inline int bearable_failures(BootTime since, int free = 5) {
  int failures = free;
  std::uint64_t passed = boot_now() - since;
  for (std::uint64_t wait = kSecond; passed >= wait; wait *= 2) {
    passed -= wait;
    ++failures;
  }
  return failures;
}

}  // namespace keyd::testing
