#include "tests/secrets/pool_kind.h"

#include <algorithm>

#include "core/secret/memfd_secret.h"
#include "tests/secrets/memory_hunt.h"
#include "tests/secrets/process_memory.h"
#include "tests/support/private_keyd.h"

namespace keyd::testing {

bool has_kind(const std::string& kind) {
  return kind == kMlock || secret::make_memfd_secret(4096).has_value();
}

std::vector<std::string> with_kind(const std::string& kind, std::vector<std::string> command) {
  if (kind == kMlock) command.insert(command.begin(), program("without_memfd_secret"));
  return command;
}

void expect_kind(pid_t pid, const std::string& kind) {
  const auto mappings = mappings_of(pid);
  const auto guarded = std::ranges::count_if(mappings, [](const Mapping& m) { return m.guarded(); });
  const auto secret = std::ranges::count_if(mappings, [](const Mapping& m) { return m.secret(); });
  EXPECT_GT(guarded, 0) << "the process has no pool";
  EXPECT_EQ(secret, kind == kMemfdSecret ? guarded : 0);
}

void expect_that_the_heap_is_seen(pid_t pid, const std::string& directory) {
  Hunt known;
  known.mark("directory", bytes_of(directory).last(16));
  const auto found = known.in_process(pid);
  const auto in_heap = [](const Finding& f) { return f.where.starts_with("[heap]"); };
  EXPECT_TRUE(std::ranges::any_of(found, in_heap))
      << "the hunt cannot see what must be there" << text_of(found);
}

}  // namespace keyd::testing
