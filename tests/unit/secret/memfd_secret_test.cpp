// What is behind memfd_secret(2) cannot be had by any other way than mapping it.
#include "core/secret/memfd_secret.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "tests/support/refused_call.h"
#include "tests/unit/support/child.h"

namespace keyd::secret {
namespace {

TEST(MemfdSecret, CannotBeReadThroughProc) {
  const auto fd = make_memfd_secret(4096);
  if (!fd) GTEST_SKIP() << "no memfd_secret here: " << fd.error().message();
  auto* const memory =
      static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0));
  ASSERT_NE(memory, MAP_FAILED) << std::strerror(errno);
  std::strcpy(memory, "a secret");
  const UniqueFd own(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(own.valid());
  char read[16] = {};
  EXPECT_LT(::pread(own.get(), read, 8, static_cast<off_t>(reinterpret_cast<std::uintptr_t>(memory))), 0);
  const iovec here{read, 8}, there{memory, 8};
  EXPECT_LT(::process_vm_readv(::getpid(), &here, 1, &there, 1, 0), 0);
  char byte = 0;
  EXPECT_LT(::pread(fd->get(), &byte, 1, 0), 0);
  EXPECT_EQ(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_LT(::open(("/proc/self/fd/" + std::to_string(fd->get())).c_str(), O_RDWR | O_CLOEXEC), 0);
  ::munmap(memory, 4096);
}

TEST(MemfdSecret, SaysWhetherItIsMissingOrNoDescriptorIsLeft) {
  if (!make_memfd_secret(4096)) GTEST_SKIP() << "no memfd_secret here";
  test::Child without([] {
    if (!testing::refuse_call(SYS_memfd_secret)) return 10;
    const auto fd = make_memfd_secret(4096);
    return fd ? 11 : fd.error().code == Code::kUnsupported ? 0 : 12;
  });
  EXPECT_EQ(without.wait(), 0);
  test::Child full([] {
    const rlimit none{3, 3};
    if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 10;
    const auto fd = make_memfd_secret(4096);
    return fd ? 11 : fd.error().code == Code::kExhausted ? 0 : 12;
  });
  EXPECT_EQ(full.wait(), 0);
}

TEST(MemfdSecret, IsToldFromEveryOtherDescriptorAndFromASmallerOne) {
  const auto fd = make_memfd_secret(4096);
  if (!fd) GTEST_SKIP() << "no memfd_secret here";
  EXPECT_TRUE(is_memfd_secret(fd->get(), 4096));
  EXPECT_FALSE(is_memfd_secret(fd->get(), 4097));
  const UniqueFd ordinary(::memfd_create("secretmem", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(ordinary.get(), 4096), 0);
  EXPECT_FALSE(is_memfd_secret(ordinary.get(), 4096));
  const UniqueFd empty(static_cast<int>(::syscall(SYS_memfd_secret, O_CLOEXEC)));
  EXPECT_FALSE(is_memfd_secret(empty.get(), 1)) << "to touch it would be SIGBUS";
  EXPECT_FALSE(is_memfd_secret(-1, 0));
}

}  // namespace
}  // namespace keyd::secret
