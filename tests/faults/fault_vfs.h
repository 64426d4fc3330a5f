// A SQLite VFS over the system's own that counts the calls which touch a file, and lets one of them go wrong:
// the process dies there, or the disk says that it is full or broken. Installed as the default VFS, it stands
// beneath a store that knows nothing of it.
#pragma once

namespace keyd::testing {

enum class Fault {
  kKill,           // the process is killed before the call
  kPowerCut,       // and what was not synced is lost
  kPowerCutSome,   // and of what was not synced every second write is lost
  kTornWrite,      // half of a write reaches the file, then the process is killed
  kNoSpace,        // ENOSPC, once
  kNoSpaceOnward,  // ENOSPC from here on
  kIoError,        // EIO, once
  kIoErrorOnward,  // EIO from here on
};
inline constexpr Fault kAllFaults[] = {Fault::kKill,      Fault::kPowerCut,     Fault::kPowerCutSome,
                                       Fault::kTornWrite, Fault::kNoSpace,      Fault::kNoSpaceOnward,
                                       Fault::kIoError,   Fault::kIoErrorOnward};
[[nodiscard]] const char* name_of(Fault fault);
[[nodiscard]] bool kills(Fault fault);

namespace fault_vfs {

void install();
// From now on the calls that `fault` can hit are counted, and the `point`th (from 1) is hit; 0: none.
void arm(Fault fault, int point);
// Nothing goes wrong from now on. Returns how many such calls were counted.
int disarm();

}  // namespace fault_vfs
}  // namespace keyd::testing
