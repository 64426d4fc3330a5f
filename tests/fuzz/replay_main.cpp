// Stands in for libFuzzer in ordinary builds: runs the target once over every file named, and every file in
// every folder named. A folder without a file is a failure: a corpus that is not there tests nothing.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace {

void replay(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> octets{std::istreambuf_iterator<char>(file), {}};
  // A copy of exactly its size: sanitizers see a read behind its end.
  const std::vector<std::uint8_t> input(octets.begin(), octets.end());
  std::cout << path.filename().string() << " (" << input.size() << " octets)" << std::endl;
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  int replayed = 0;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      replay(argv[i]);
      ++replayed;
      continue;
    }
    int here = 0;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      replay(entry.path());
      ++here;
    }
    if (here == 0) std::cerr << argv[i] << " has no file in it\n";
    replayed = here == 0 ? 0 : replayed + here;
    if (here == 0) break;
  }
  std::cout << replayed << " inputs replayed\n";
  return replayed > 0 ? 0 : 1;
}
