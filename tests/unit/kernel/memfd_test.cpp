// Sealed memory: everything a holder of the descriptor might try in order to change it, tried.
#include "core/kernel/memfd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <string>

#include "tests/unit/support/octets.h"

namespace keyd::kernel {
namespace {

constexpr std::size_t kSize = 8192;

UniqueFd reopened(int fd, int flags) {
  return UniqueFd(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC));
}

// Each attack on the content or size of `fd`, by name; the names of those that worked.
std::vector<std::string> attacks_that_work(int fd) {
  std::vector<std::string> worked;
  const auto tried = [&](const char* name, bool success) {
    if (success) worked.emplace_back(name);
  };
  const auto map = [&](int file, int protection) {
    void* const at = ::mmap(nullptr, kSize, protection, MAP_SHARED, file, 0);
    return at == MAP_FAILED ? nullptr : at;
  };
  tried("pwrite", ::pwrite(fd, "x", 1, 0) >= 0);
  tried("pwrite behind the end", ::pwrite(fd, "x", 1, kSize) >= 0);
  tried("shrink", ::ftruncate(fd, kSize / 2) == 0);
  tried("empty", ::ftruncate(fd, 0) == 0);
  tried("grow", ::ftruncate(fd, kSize * 2) == 0);
  tried("fallocate more", ::fallocate(fd, 0, kSize, 4096) == 0);
  tried("punch a hole", ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
  tried("map writable", map(fd, PROT_READ | PROT_WRITE) != nullptr);
  tried("map write only", map(fd, PROT_WRITE) != nullptr);
  if (void* const at = map(fd, PROT_READ); at != nullptr) {
    tried("make a mapping writable", ::mprotect(at, kSize, PROT_READ | PROT_WRITE) == 0);
    tried("remove through a mapping", ::madvise(at, kSize, MADV_REMOVE) == 0);
    ::munmap(at, kSize);
  } else {
    worked.emplace_back("(cannot even be read)");
  }
  for (const int flags : {O_RDWR, O_WRONLY, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND}) {
    const UniqueFd again = reopened(fd, flags);
    if (!again.valid()) continue;
    const std::string how = "reopened with " + std::to_string(flags) + ": ";
    tried((how + "write").c_str(), ::write(again.get(), "x", 1) >= 0);
    tried((how + "map").c_str(), map(again.get(), PROT_READ | PROT_WRITE) != nullptr);
    tried((how + "resize").c_str(), ::ftruncate(again.get(), 1) == 0);
  }
  tried("add a seal", ::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
  return worked;
}

TEST(Memfd, HasItsSizeAndNothingInIt) {
  const auto fd = make_memfd("test", kSize);
  ASSERT_TRUE(fd);
  struct stat st{};
  ASSERT_EQ(::fstat(fd->get(), &st), 0);
  EXPECT_EQ(st.st_size, static_cast<off_t>(kSize));
  Bytes content(kSize, 1);
  ASSERT_EQ(::pread(fd->get(), content.data(), kSize, 0), static_cast<ssize_t>(kSize));
  EXPECT_EQ(content, Bytes(kSize, 0));
  EXPECT_EQ(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(Memfd, CannotChangeItsSizeFromTheStart) {
  const auto fd = make_memfd("test", kSize);
  ASSERT_TRUE(fd);
  EXPECT_NE(::ftruncate(fd->get(), kSize - 1), 0);
  EXPECT_NE(::ftruncate(fd->get(), kSize + 1), 0);
  EXPECT_EQ(::pwrite(fd->get(), "x", 1, 0), 1);  // content may change still
}

TEST(SealForReaders, WithstandsEveryAttackOnTheDescriptor) {
  const auto fd = make_memfd("test", kSize);
  ASSERT_TRUE(fd);
  void* const writer = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
  ASSERT_NE(writer, MAP_FAILED);
  std::memset(writer, 0x5a, kSize);
  ASSERT_TRUE(seal_for_readers(fd->get()));
  EXPECT_EQ(attacks_that_work(fd->get()), std::vector<std::string>{});
  Bytes content(kSize);
  ASSERT_EQ(::pread(fd->get(), content.data(), kSize, 0), static_cast<ssize_t>(kSize));
  EXPECT_EQ(content, Bytes(kSize, 0x5a));
  ::munmap(writer, kSize);
}

TEST(SealForReaders, LeavesTheWritersMappingWritable) {
  const auto fd = make_memfd("test", kSize);
  ASSERT_TRUE(fd);
  auto* const writer =
      static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0));
  ASSERT_NE(writer, MAP_FAILED);
  ASSERT_TRUE(seal_for_readers(fd->get()));
  auto* const reader = static_cast<const char*>(::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd->get(), 0));
  ASSERT_NE(reader, MAP_FAILED);
  writer[100] = 'k';
  EXPECT_EQ(reader[100], 'k');
}

TEST(SealForReaders, CannotBeDoneTwice) {
  const auto fd = make_memfd("test", kSize);
  ASSERT_TRUE(fd);
  ASSERT_TRUE(seal_for_readers(fd->get()));
  EXPECT_FALSE(seal_for_readers(fd->get()));
}

TEST(SealForReaders, RefusesWhatIsNoMemfd) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const auto sealed = seal_for_readers(null.get());
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, Code::kUnsupported);
}

TEST(SealedMemfdWithContent, HoldsItFromOffsetZeroAndWithstandsEveryAttack) {
  const Bytes content = test::run(7, kSize);
  const auto fd = make_sealed_memfd("test", content);
  ASSERT_TRUE(fd);
  EXPECT_EQ(::lseek(fd->get(), 0, SEEK_CUR), 0);
  EXPECT_EQ(attacks_that_work(fd->get()), std::vector<std::string>{});
  Bytes read(kSize);
  ASSERT_EQ(::read(fd->get(), read.data(), kSize), static_cast<ssize_t>(kSize));
  EXPECT_EQ(read, content);
}

TEST(SealedMemfdWithContent, MayBeEmpty) {
  const auto fd = make_sealed_memfd("test", {});
  ASSERT_TRUE(fd);
  EXPECT_NE(::ftruncate(fd->get(), 1), 0);
}

}  // namespace
}  // namespace keyd::kernel
