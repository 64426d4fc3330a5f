// The layout is read by programs in other languages: its numbers are part of the contract
// (docs/architecture.md).
#include "core/table/task_table_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

namespace keyd::table {
namespace {

// Plain data: readable octet by octet from another process, in another language.
static_assert(std::is_trivially_copyable_v<TaskRecord> && std::is_standard_layout_v<TaskRecord>);
static_assert(std::is_standard_layout_v<TableHeader> && std::is_standard_layout_v<TaskSlot>);
static_assert(std::has_unique_object_representations_v<TaskRecord>,
              "no padding that could carry old octets out");
static_assert(offsetof(TaskSlot, word) == 0 && offsetof(TaskSlot, sequence) == 8 &&
              offsetof(TaskSlot, record) == 16);
static_assert(offsetof(TableHeader, magic) == 0 && offsetof(TableHeader, version) == 8 &&
              offsetof(TableHeader, capacity) == 12 && offsetof(TableHeader, pid_namespace) == 16 &&
              offsetof(TableHeader, user_namespace) == 24 && offsetof(TableHeader, keyd_inode) == 32 &&
              offsetof(TableHeader, keyd_pid) == 40 && offsetof(TableHeader, used) == 56);
static_assert(sizeof(TableHeader) <= kHeaderSize);

TEST(TableLayout, CostsAtMostTwoHundredAndFiftySixOctetsAProcess) {
  EXPECT_LE((table_size(1 << 16) - kHeaderSize) / (1 << 16), 256u);
}

TEST(TableLayout, StartsWithItsNameInMemory) {
  const std::uint64_t magic = kMagic;
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(&magic), 8), "KEYDTBL1");
}

TEST(StateWord, IsWhatItWasAfterPackingAndUnpacking) {
  for (unsigned state = 0; state < 6; ++state) {
    for (const unsigned flags : {0u, 1u, 7u, 255u}) {
      for (const std::uint32_t generation : {0u, 1u, 0x80000000u, 0xffffffffu}) {
        for (const auto execs : std::to_array<std::uint16_t>({0, 1, 0xffff})) {
          const StateWord word{static_cast<TaskState>(state), static_cast<std::uint8_t>(flags), execs,
                               generation};
          EXPECT_EQ(StateWord::unpack(word.pack()), word);
          EXPECT_EQ(word.pack(),
                    std::uint64_t{generation} << 32 | std::uint64_t{execs} << 16 | flags << 8 | state);
        }
      }
    }
  }
}

TEST(Bucket, IsInsideTheTableForEveryCapacity) {
  for (std::size_t capacity = kBucketWidth; capacity <= 1 << 20; capacity *= 2) {
    for (std::uint64_t key = 0; key < 1000; ++key) {
      EXPECT_LT(bucket_of(key * 0x123456789abcdefu, capacity), capacity / kBucketWidth);
    }
    EXPECT_LT(bucket_of(~std::uint64_t{0}, capacity), capacity / kBucketWidth);
  }
}

TEST(Bucket, SpreadsNumbersThatComeInARun) {
  // Inodes and pids do. A table filled to a half must not have a bucket that is full by then.
  constexpr std::size_t kCapacity = 4096;
  for (const std::uint64_t first : {1ull, 300'000ull, 4'000'000'000ull}) {
    std::vector<unsigned> in_bucket(kCapacity / kBucketWidth);
    for (std::uint64_t key = first; key < first + kCapacity / 2; ++key)
      ++in_bucket[bucket_of(key, kCapacity)];
    EXPECT_LE(*std::ranges::max_element(in_bucket), kBucketWidth) << first;
  }
}

}  // namespace
}  // namespace keyd::table
