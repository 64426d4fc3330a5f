#include "tests/secrets/process_memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "core/base/unique_fd.h"

namespace keyd::testing {

std::vector<Mapping> mappings_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps");
  std::vector<Mapping> out;
  for (std::string line; std::getline(file, line);) {
    unsigned long from = 0, to = 0;
    char rights[8] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %7s", &from, &to, rights) == 3) {
      std::istringstream words(line);
      std::string word;
      for (int i = 0; i < 5; ++i) words >> word;
      std::string name;
      words >> name;
      out.push_back({from, to, name.empty() ? "anonymous" : name, "", rights[0] == 'r'});
    } else if (line.starts_with("VmFlags:") && !out.empty()) {
      out.back().flags = line.substr(8) + " ";
    }
  }
  return out;
}

Bytes read_memory(pid_t pid, std::uint64_t from, std::size_t size) {
  const UniqueFd memory(::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
  Bytes octets(size);
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got =
        ::pread(memory.get(), octets.data() + have, size - have, static_cast<off_t>(from + have));
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  octets.resize(have);
  return octets;
}

}  // namespace keyd::testing
