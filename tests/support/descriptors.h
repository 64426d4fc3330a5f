// Who holds how many descriptors: what a peer passed, or a connection that has ended, must not stay open.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <string>

namespace keyd::testing {

// How many descriptors a process has open. In the caller's own number is the one that it looks with, always.
[[nodiscard]] inline std::size_t descriptors_of(pid_t process = ::getpid()) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(process) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace keyd::testing
