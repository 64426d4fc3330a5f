// Root with every capability tries to read, and to change, the pool of keyd and of a program with the library:
// by /proc, process_vm_readv(2), ptrace(2), their descriptors and map_files, and with a debugger. The same
// attempts are made at the process's heap, where each must work, and at a pool of ordinary locked pages, where
// they work too: that is what memfd_secret(2) is for.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/base/unique_fd.h"
#include "tests/secrets/pool_kind.h"
#include "tests/secrets/process_memory.h"
#include "tests/support/private_keyd.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {
namespace {

constexpr std::size_t kWord = sizeof(long);

void* address(std::uint64_t at) { return reinterpret_cast<void*>(at); }

bool reads_through_proc(pid_t pid, std::uint64_t at) { return read_memory(pid, at, kWord).size() == kWord; }

// Writes back what is there, so that the victim survives an attempt that works.
bool writes_through_proc(pid_t pid, std::uint64_t at) {
  const UniqueFd memory(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDWR | O_CLOEXEC));
  const Bytes there = read_memory(pid, at, kWord);
  const long zero = 0;
  const void* const octets = there.size() == kWord ? static_cast<const void*>(there.data()) : &zero;
  return ::pwrite(memory.get(), octets, kWord, static_cast<off_t>(at)) == static_cast<ssize_t>(kWord);
}

bool reads_by_process_vm_readv(pid_t pid, std::uint64_t at) {
  long word = 0;
  const iovec here{&word, kWord}, there{address(at), kWord};
  return ::process_vm_readv(pid, &here, 1, &there, 1, 0) == static_cast<ssize_t>(kWord);
}

bool reads_by_ptrace(pid_t pid, std::uint64_t at) {
  if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return false;
  int status = 0;
  ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
  ::waitpid(pid, &status, __WALL);
  errno = 0;
  (void)::ptrace(PTRACE_PEEKDATA, pid, address(at), nullptr);
  const bool reads = errno == 0;
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  return reads;
}

bool reads_with_a_debugger(pid_t pid, std::uint64_t at) {
  const auto said = run(
      {"/usr/bin/gdb", "-nx", "-batch", "-p", std::to_string(pid), "-ex", fmt::format("x/8xb {:#x}", at)});
  return said.out.find(fmt::format("{:#x}", at)) != std::string::npos &&
         said.err.find("Cannot access memory") == std::string::npos;
}

// The mapping's file, as /proc/PID/map_files leads to it.
bool opens_its_file(pid_t pid, const Mapping& mapping) {
  const std::string link = fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, mapping.from, mapping.to);
  return UniqueFd(::open(link.c_str(), O_RDONLY | O_CLOEXEC)).valid();
}

// A descriptor by which it could be mapped (pidfd_getfd).
bool has_a_descriptor_of_secret_pages(pid_t pid) {
  for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid))) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(entry, ignored).native().find("secretmem") != std::string::npos)
      return true;
  }
  return false;
}

const std::string kProcRead = "/proc/PID/mem, reading", kProcWrite = "/proc/PID/mem, writing",
                  kVm = "process_vm_readv", kPtrace = "ptrace", kDebugger = "gdb";

std::vector<std::string> attempts_that_work(pid_t pid, std::uint64_t at) {
  std::vector<std::string> work;
  if (reads_through_proc(pid, at)) work.push_back(kProcRead);
  if (writes_through_proc(pid, at)) work.push_back(kProcWrite);
  if (reads_by_process_vm_readv(pid, at)) work.push_back(kVm);
  if (reads_by_ptrace(pid, at)) work.push_back(kPtrace);
  if (std::filesystem::exists("/usr/bin/gdb") && reads_with_a_debugger(pid, at)) work.push_back(kDebugger);
  return work;
}

std::vector<std::string> all_attempts() {
  std::vector<std::string> all{kProcRead, kProcWrite, kVm, kPtrace};
  if (std::filesystem::exists("/usr/bin/gdb")) all.push_back(kDebugger);
  return all;
}

class RootsTools : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, whose tools these are";
    if (!has_kind(GetParam())) GTEST_SKIP() << "no " << GetParam() << " here";
  }
  static Mapping heap_of(pid_t pid) {
    for (const Mapping& mapping : mappings_of(pid))
      if (mapping.name == "[heap]") return mapping;
    return {};
  }
  void attack(pid_t pid) const {
    const Mapping heap = heap_of(pid);
    ASSERT_NE(heap.from, 0u);
    EXPECT_EQ(attempts_that_work(pid, heap.from), all_attempts())
        << "the attempts are not what they should be";
    const auto mappings = mappings_of(pid);
    int pools = 0;
    for (const Mapping& pool : mappings) {
      if (!pool.guarded()) continue;
      ++pools;
      // Its first block, which is in use, and its last octets.
      for (const std::uint64_t at : {pool.from, pool.to - kWord}) {
        const auto work = attempts_that_work(pid, at);
        EXPECT_EQ(work, GetParam() == kMemfdSecret ? std::vector<std::string>() : all_attempts());
      }
      EXPECT_FALSE(opens_its_file(pid, pool));
    }
    EXPECT_GT(pools, 0);
    EXPECT_FALSE(has_a_descriptor_of_secret_pages(pid));
    expect_kind(pid, GetParam());
  }
};

TEST_P(RootsTools, ReadNoSecretOfKeyd) {
  PrivateKeyd keyd;
  keyd.start_under(with_kind(GetParam(), {}));
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right");
  RawClient client(keyd.runtime_dir());
  ASSERT_TRUE(client.authenticate("alice", "right"));
  attack(keyd.pid());
  EXPECT_TRUE(keyd.is_healthy()) << "it did not survive";
}

TEST_P(RootsTools, ReadNoSecretOfAProgramWithTheLibrary) {
  PrivateKeyd keyd;
  ASSERT_TRUE(keyd.start()) << keyd.log();
  keyd.enrol("alice", "right");
  ::setenv("KEYD_RUNTIME_DIR", keyd.runtime_dir().c_str(), 1);
  BackgroundProcess client(with_kind(GetParam(), {program("hunted_client"), "alice", "challenge"}));
  ::unsetenv("KEYD_RUNTIME_DIR");
  client.write("right\n");
  ASSERT_EQ(client.read_line(), "in");
  attack(client.pid());
  client.write("\n");
  EXPECT_EQ(client.read_line(), "closed") << "it did not survive";
}

INSTANTIATE_TEST_SUITE_P(At, RootsTools, pool_kinds(), [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace keyd::testing
