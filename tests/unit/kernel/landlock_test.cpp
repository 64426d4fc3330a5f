// A ruleset is for good, so each is put on in a child.
#include "core/kernel/landlock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/unique_fd.h"
#include "core/kernel/hardening.h"
#include "tests/unit/support/child.h"

namespace keyd::kernel {
namespace {

namespace fs = std::filesystem;

int version() { return static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1)); }

class Landlock : public ::testing::Test {
 protected:
  void SetUp() override {
    if (version() <= 0) GTEST_SKIP() << "this kernel has no Landlock";
    std::string pattern = ::testing::TempDir() + "landlock.XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    for (const char* each : {"/in", "/out"}) {
      fs::create_directory(directory_ + each);
      std::ofstream(directory_ + each + "/file") << "content";
    }
  }
  void TearDown() override {
    std::error_code ignored;
    if (!directory_.empty()) fs::remove_all(directory_, ignored);
  }
  std::string at(const char* path) const { return directory_ + path; }
  // In a child under `access` to /in: what opening says.
  int opening(unsigned access, const char* path, int flags) {
    test::Child child([&] {
      if (!forbid_new_privileges()) return 200;
      const auto restricted = restrict_files({{{at("/in"), access}}, false});
      if (!restricted || *restricted != version()) return 201;
      return ::open(at(path).c_str(), flags | O_CLOEXEC, 0600) >= 0 ? 0 : errno;
    });
    return child.wait();
  }
  std::string directory_;
};

TEST_F(Landlock, OpensWhatARulePermitsAndNothingElse) {
  EXPECT_EQ(opening(kReadFiles, "/in/file", O_RDONLY), 0);
  EXPECT_EQ(opening(kReadFiles, "/in/file", O_WRONLY), EACCES);
  EXPECT_EQ(opening(kReadFiles, "/in", O_RDONLY | O_DIRECTORY), EACCES);
  EXPECT_EQ(opening(kListFiles, "/in", O_RDONLY | O_DIRECTORY), 0);
  EXPECT_EQ(opening(kListFiles, "/in/file", O_RDONLY), EACCES);
  EXPECT_EQ(opening(kWriteFiles, "/in/file", O_WRONLY | O_TRUNC), 0);
  EXPECT_EQ(opening(kWriteFiles, "/in/new", O_WRONLY | O_CREAT), EACCES);
  EXPECT_EQ(opening(kWriteFiles | kMakeFiles, "/in/new", O_WRONLY | O_CREAT), 0);
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR | O_TRUNC, O_RDONLY | O_DIRECTORY}) {
    EXPECT_EQ(opening(~0U, (flags & O_DIRECTORY) != 0 ? "/out" : "/out/file", flags), EACCES);
  }
  EXPECT_EQ(opening(~0U, "/out/new", O_WRONLY | O_CREAT), EACCES);
}

TEST_F(Landlock, IsNotLedOutByALink) {
  fs::create_symlink(at("/out/file"), at("/in/link"));
  EXPECT_EQ(opening(~0U, "/in/link", O_RDONLY), EACCES);
  EXPECT_EQ(opening(~0U, "/in/../out/file", O_RDONLY), EACCES);
}

TEST_F(Landlock, LeavesWhatIsOpenAsItIs) {
  test::Child child([&] {
    const UniqueFd file(::open(at("/out/file").c_str(), O_RDWR | O_CLOEXEC));
    if (!forbid_new_privileges() || !restrict_files({})) return 10;
    char octet = 0;
    return ::read(file.get(), &octet, 1) == 1 && ::ftruncate(file.get(), 0) == 0 ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(Landlock, PassesOverAPathThatIsNotThere) {
  test::Child child([&] {
    if (!forbid_new_privileges() || !restrict_files({{{at("/none/file"), ~0U}}, false})) return 10;
    return ::open(at("/out/file").c_str(), O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(Landlock, NeedsThatNoPrivilegesCanBeGained) {
  test::Child child([&] {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 10;
    const auto restricted = restrict_files({});
    return !restricted && restricted.error().system == EPERM ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

// Whether a datagram goes to an abstract name of the parent's, and a signal to the parent.
int outcome(bool abstract_sockets) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "keyd-landlock-test." + std::to_string(::getpid());
  name.copy(address.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const UniqueFd outside(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::bind(outside.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return 100;
  test::Child child([&] {
    if (!forbid_new_privileges() || !restrict_files({{}, abstract_sockets})) return 10;
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const bool sent =
        ::sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), size) == 1;
    const bool signalled = ::kill(::getppid(), 0) == 0;
    return (sent ? 1 : 0) + (signalled ? 2 : 0);
  });
  return child.wait();
}

TEST_F(Landlock, KeepsSignalsAndAbstractSocketsInside) {
  if (version() < 6) GTEST_SKIP() << "this kernel's Landlock knows no scopes";
  EXPECT_EQ(outcome(false), 0);
  EXPECT_EQ(outcome(true), 1);
}

}  // namespace
}  // namespace keyd::kernel
