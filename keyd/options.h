// keyd's command line.
#pragma once

#include <string>

namespace keyd::daemon {

struct Options {
  std::string config_file, runtime_directory, state_directory;
  bool config_given = false, foreground = false;
};

// 0: go on. -1: all was said already (--help, --version). Else the exit code, its line written.
[[nodiscard]] int parse_options(int argc, char** argv, Options& options);

}  // namespace keyd::daemon
