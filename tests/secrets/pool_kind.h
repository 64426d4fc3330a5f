// The two kinds of pages that secrets may lie in, for tests that are run with each: as the machine has them,
// and as on a kernel without memfd_secret(2).
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <string>
#include <tuple>
#include <vector>

namespace keyd::testing {

// By the names that keyd's log has for them.
inline constexpr const char* kMemfdSecret = "memfd_secret";
inline constexpr const char* kMlock = "mlock";
inline auto pool_kinds() { return ::testing::Values(std::string(kMemfdSecret), std::string(kMlock)); }

// Every scheme with each of them, and the name of such a test.
inline auto schemes_and_pool_kinds() {
  return ::testing::Combine(::testing::Values("challenge", "kryptoknight", "srp"), pool_kinds());
}
using SchemeAndKind = std::tuple<const char*, std::string>;
inline std::string name_of_both(const ::testing::TestParamInfo<SchemeAndKind>& both) {
  return std::string(std::get<0>(both.param)) + "_" + std::get<1>(both.param);
}

// Whether this machine has that kind.
bool has_kind(const std::string& kind);
// The command, changed so that it runs with that kind.
std::vector<std::string> with_kind(const std::string& kind, std::vector<std::string> command);

// That the pool of a process, which has secrets in it, is of that kind and of no other.
void expect_kind(pid_t pid, const std::string& kind);
// That a search of the process sees what lies in its heap: the name of a directory that is there. Without this,
// a search that finds nothing proves nothing.
void expect_that_the_heap_is_seen(pid_t pid, const std::string& directory);

}  // namespace keyd::testing
