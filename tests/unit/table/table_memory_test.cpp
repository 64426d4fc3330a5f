// The memory that readers are given: writable for the one mapping made before, for nobody after.
#include "core/table/table_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <string>

namespace keyd::table {
namespace {

TEST(SealedMemfd, IsZeroAtFirstAndWritableByItsMaker) {
  auto memory = SealedMemfd::create(8192);
  ASSERT_TRUE(memory);
  auto* const data = static_cast<std::uint8_t*>((*memory)->data());
  for (std::size_t i = 0; i < 8192; ++i) ASSERT_EQ(data[i], 0);
  data[4096] = 7;
  std::uint8_t read = 0;
  ASSERT_EQ(::pread((*memory)->reader_descriptor(), &read, 1, 4096), 1);
  EXPECT_EQ(read, 7);
}

TEST(SealedMemfd, CannotBeWrittenThroughTheReadersDescriptor) {
  auto memory = SealedMemfd::create(8192);
  ASSERT_TRUE(memory);
  const int fd = (*memory)->reader_descriptor();
  EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
  EXPECT_EQ(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_NE(::ftruncate(fd, 0), 0);
  const UniqueFd again(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC));
  if (again.valid()) {
    EXPECT_LT(::write(again.get(), "x", 1), 0);
    EXPECT_EQ(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, again.get(), 0), MAP_FAILED);
  }
}

TEST(SealedMemfd, HasEverySealThatReadersRelyOn) {
  auto memory = SealedMemfd::create(8192);
  ASSERT_TRUE(memory);
  constexpr int kWanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  EXPECT_EQ(::fcntl((*memory)->reader_descriptor(), F_GET_SEALS) & kWanted, kWanted);
}

TEST(SealedMemfd, SaysSoWhenThereIsNoRoom) {
  const auto memory = SealedMemfd::create(std::size_t{1} << 60);
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, Code::kExhausted);
}

}  // namespace
}  // namespace keyd::table
