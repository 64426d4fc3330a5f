// What keyd gives up for good once everything that needs rights is done: capabilities, new privileges, core
// files, being looked into, most files (Landlock), most system calls (seccomp). docs/privilege-separation.md
// tells what is left and why.
#pragma once

#include <string>

#include "core/base/error.h"

namespace keyd::daemon {

// What is left open, besides what every keyd needs.
struct SandboxNeeds {
  std::string config_file;         // it and all that is beside it: read, at SIGHUP
  std::string runtime_directory;   // what keyd made there is removed at the end
  std::string state_directory;     // everything
  std::string audit_file;          // files beside it: written, made anew at SIGHUP; or empty
  bool background = false;         // /dev/null, for a log that is opened anew
  bool raw_noise = false;          // /dev/hwrng: read
  bool process_connector = false;  // sockets for tier watch's listeners
  bool table_program = false;      // running the BPF program that writes the table
};

// Call when nothing is left to do that needs rights, and before the first thread is made. Without seccomp it
// fails. A kernel without Landlock gets a line in the log: that is a second line of defence, behind keyd's
// having no capability and (with daemon.user) an account of its own.
[[nodiscard]] Result<void> enter_sandbox(const SandboxNeeds& needs);

}  // namespace keyd::daemon
