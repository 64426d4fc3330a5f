// What is in a file.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace keyd::testing {

// All of its octets; none when there is no such file.
[[nodiscard]] inline std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace keyd::testing
