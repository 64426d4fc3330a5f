// Which files this process and all that it becomes may still open (Landlock, landlock(7)). There is no way
// back, and no way to more. What is open already stays usable as it is.
#pragma once

#include <string>
#include <vector>

#include "core/base/error.h"

namespace keyd::kernel {

// Bits; of a directory they hold for everything below it.
enum FileAccess : unsigned {
  kReadFiles = 1,
  kListFiles = 2,  // read directories
  kWriteFiles = 4,
  kMakeFiles = 8,  // regular ones
  kRemoveFiles = 16,
};

struct PathRule {
  std::string path;  // the file or directory that is there now, links followed
  unsigned access;
};

struct LandlockRules {
  std::vector<PathRule> paths;
  // Sockets with an abstract name that somebody outside has made: may still be spoken to. (Those with a path
  // may always; Landlock has no word about them.)
  bool abstract_sockets = false;
};

// For the calling thread and those it makes: call before any. Refuses all that no rule permits: also TCP and
// signals to other processes, where the kernel can. A path that is not there, or is closed to us, is passed
// over: it stays closed. Gives the version of the kernel's interface; 0: it has none, nothing is restricted.
// Needs no_new_privs.
[[nodiscard]] Result<int> restrict_files(const LandlockRules& rules);

}  // namespace keyd::kernel
