// The indexes when somebody fills them on purpose, with keys of his choice: inodes come in a run and pids can
// be chosen, and the hashes are public. And when they merely fill.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/support/table.h"

namespace keyd::table {
namespace {

using test::record_of;

constexpr std::uint32_t kCapacity = 1024;
constexpr std::uint64_t kVictim = 1, kAttacker = 2, kSecondAttacker = 3;
constexpr std::uint64_t kVictimsInode = 700'001;
constexpr std::uint32_t kVictimsPid = 4321;

std::set<std::size_t> buckets_of(std::uint64_t key) {
  return {bucket_of(key, kCapacity), second_bucket_of(key, kCapacity)};
}

// Keys whose two buckets are exactly the victim's: all that an attacker can wish for.
std::uint64_t next_twin(std::uint64_t victims_key, std::uint64_t& next) {
  const auto wanted = buckets_of(victims_key);
  while (next == victims_key || buckets_of(next) != wanted) ++next;
  return next++;
}

std::size_t entries_in(const test::Table& table, bool pids, std::size_t bucket) {
  const TableArrays arrays = table.arrays();
  const auto* const index = pids ? arrays.pid_index : arrays.inode_index;
  return static_cast<std::size_t>(std::count_if(index + bucket * kBucketWidth,
                                                index + (bucket + 1) * kBucketWidth,
                                                [](const auto& entry) { return entry.load() != 0; }));
}

// Binds for `owner` what `key` yields until the table refuses some in a row. The number bound.
template <typename Keys>
std::size_t fill(test::Table& table, std::uint64_t owner, Keys keys) {
  std::size_t bound = 0;
  for (int refused = 0; refused < 40;) {
    const auto [inode, pid] = keys();
    const auto handle = table.writer().bind(record_of(inode, pid), owner);
    if (handle) {
      ++bound;
      continue;
    }
    EXPECT_EQ(handle.error().code, Code::kExhausted);
    ++refused;
  }
  return bound;
}

TEST(TwoChoices, AreTwoBucketsInEveryTableThatHasTwo) {
  for (std::size_t capacity = kBucketWidth; capacity <= 1 << 20; capacity *= 2) {
    for (std::uint64_t key = 1; key < 2000; ++key) {
      for (const std::uint64_t k : {key, key * 0x123456789abcdefu}) {
        ASSERT_LT(second_bucket_of(k, capacity), capacity / kBucketWidth);
        ASSERT_EQ(second_bucket_of(k, capacity) == bucket_of(k, capacity), capacity == kBucketWidth);
      }
    }
  }
}

TEST(TwoChoices, AreTheNumbersThatTheDocumentGives) {
  // For those who implement it in another language: docs/architecture.md has this table.
  struct {
    std::uint64_t key;
    std::size_t first, second;
  } constexpr kExamples[]{
      {1, 441, 86},       {2, 882, 313},       {1000, 153, 188},
      {4194304, 671, 50}, {123456789, 4, 307}, {17179869191, 102, 581},
  };
  for (const auto& example : kExamples) {
    EXPECT_EQ(bucket_of(example.key, 16384), example.first) << example.key;
    EXPECT_EQ(second_bucket_of(example.key, 16384), example.second) << example.key;
  }
}

TEST(TwoChoices, SpreadKeysThatShareTheirFirstBucket) {
  // Keys of a run that meet in their first bucket differ by few distances: a second hash that was as linear
  // as the first would send them together again.
  std::array<std::size_t, kCapacity / kBucketWidth> seconds{};
  std::size_t keys = 0;
  for (std::uint64_t key = 1'000'000; keys < 1000; ++key) {
    if (bucket_of(key, kCapacity) != 5) continue;
    ++keys;
    ++seconds[second_bucket_of(key, kCapacity)];
  }
  // 1000 keys over 32 buckets: about 31 each.
  EXPECT_EQ(std::ranges::count_if(seconds, [](std::size_t n) { return n != 0; }), 32);
  EXPECT_LT(*std::ranges::max_element(seconds), 60u);
}

TEST(TableUnderAttack, NoOwnerFillsABucketOfInodesAlone) {
  test::Table table(kCapacity);
  std::uint64_t inode = 1;
  std::uint32_t pid = 100'000;
  fill(table, kAttacker, [&] { return std::pair(next_twin(kVictimsInode, inode), pid += 7); });
  for (const std::size_t bucket : buckets_of(kVictimsInode)) {
    EXPECT_EQ(entries_in(table, false, bucket), kOwnersShare);
  }
  EXPECT_TRUE(table.writer().bind(record_of(kVictimsInode, kVictimsPid), kVictim));
}

TEST(TableUnderAttack, NoOwnerFillsABucketOfPidsAlone) {
  test::Table table(kCapacity);
  std::uint64_t inode = 1'000'000, pid = 1;
  fill(table, kAttacker,
       [&] { return std::pair(inode += 3, static_cast<std::uint32_t>(next_twin(kVictimsPid, pid))); });
  for (const std::size_t bucket : buckets_of(kVictimsPid)) {
    EXPECT_EQ(entries_in(table, true, bucket), kOwnersShare);
  }
  EXPECT_TRUE(table.writer().bind(record_of(kVictimsInode, kVictimsPid), kVictim));
}

TEST(TableUnderAttack, AVictimHasRoomForItsWholeShareOfBothItsBuckets) {
  test::Table table(kCapacity);
  std::uint64_t inode = 1, pid = 1;
  const auto chosen = [&] {
    return std::pair(next_twin(kVictimsInode, inode),
                     static_cast<std::uint32_t>(next_twin(kVictimsPid, pid)));
  };
  EXPECT_EQ(fill(table, kAttacker, chosen), 2 * kOwnersShare);
  EXPECT_EQ(fill(table, kVictim, chosen), 2 * kOwnersShare);
}

TEST(TableUnderAttack, AnOwnerThatIsFullIsFullAloneAndHasRoomAgainAfterAFree) {
  test::Table table(kCapacity);
  std::uint64_t inode = 1;
  std::uint32_t pid = 100'000;
  const auto mine = table.writer().bind(record_of(next_twin(kVictimsInode, inode), ++pid), kAttacker);
  ASSERT_TRUE(mine);
  fill(table, kAttacker, [&] { return std::pair(next_twin(kVictimsInode, inode), ++pid); });
  const auto again = next_twin(kVictimsInode, inode);
  ASSERT_FALSE(table.writer().bind(record_of(again, ++pid), kAttacker));
  ASSERT_TRUE(table.writer().free(*mine));
  EXPECT_TRUE(table.writer().bind(record_of(again, ++pid), kAttacker));
}

TEST(TableUnderAttack, TwoAccountsThatActTogetherCanFillBothBuckets) {
  // What is not promised: a bucket has room for two whole shares. The third account is refused, by name.
  test::Table table(kCapacity);
  std::uint64_t inode = 1;
  std::uint32_t pid = 100'000;
  for (const std::uint64_t owner : {kAttacker, kSecondAttacker}) {
    fill(table, owner, [&] { return std::pair(next_twin(kVictimsInode, inode), ++pid); });
  }
  const Bytes before(table.octets().begin(), table.octets().end());
  const auto refused = table.writer().bind(record_of(kVictimsInode, kVictimsPid), kVictim);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kExhausted);
  EXPECT_TRUE(std::ranges::equal(table.octets(), before)) << "half a record was left";
}

TEST(TableUnderAttack, AFullBucketOfPidsLeavesNoHalfOfARecord) {
  test::Table table(kCapacity);
  std::uint64_t inode = 1'000'000, pid = 1;
  for (const std::uint64_t owner : {kAttacker, kSecondAttacker}) {
    fill(table, owner,
         [&] { return std::pair(inode += 3, static_cast<std::uint32_t>(next_twin(kVictimsPid, pid))); });
  }
  const Bytes before(table.octets().begin(), table.octets().end());
  EXPECT_FALSE(table.writer().bind(record_of(kVictimsInode, kVictimsPid), kVictim));
  EXPECT_TRUE(std::ranges::equal(table.octets(), before));
}

TEST(TwoChoices, ARecordOfEitherBucketIsFoundChangedAndFreed) {
  test::Table table(kCapacity);
  const TableReader reader = table.reader();
  struct Bound {
    std::uint64_t inode;
    std::uint32_t pid;
    TaskHandle handle;
  };
  std::vector<Bound> bound;
  std::uint64_t inode = 1, pid = 1;
  std::size_t second_inodes = 0, second_pids = 0;
  for (std::uint64_t i = 0; i < 2 * kBucketWidth; ++i) {  // all that the two buckets hold, in both indexes
    const std::uint64_t n = next_twin(kVictimsInode, inode);
    const auto p = static_cast<std::uint32_t>(next_twin(kVictimsPid, pid));
    const std::size_t before = entries_in(table, true, second_bucket_of(p, kCapacity));
    const auto handle = table.writer().bind(record_of(n, p), i % 4);
    ASSERT_TRUE(handle);
    bound.push_back({n, p, *handle});
    second_inodes += handle->slot / kBucketWidth == second_bucket_of(n, kCapacity) ? 1 : 0;
    second_pids += entries_in(table, true, second_bucket_of(p, kCapacity)) > before ? 1 : 0;
  }
  EXPECT_GT(second_inodes, 0u) << "no inode lies in its second bucket: this test shows nothing";
  EXPECT_GT(second_pids, 0u) << "no pid lies in its second bucket: this test shows nothing";
  TaskView view;
  for (const Bound& b : bound) {
    ASSERT_EQ(reader.find_by_inode(b.inode, view), LookupOutcome::kFound);
    EXPECT_EQ(view.record.pid, b.pid);
    ASSERT_EQ(reader.find_by_pid(b.pid, view), LookupOutcome::kFound);
    EXPECT_EQ(view.record.inode, b.inode);
    const auto twice = table.writer().bind(record_of(b.inode, 1), 99);
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().code, Code::kRefused);
  }
  for (const Bound& b : bound) {
    ASSERT_TRUE(table.writer().free(b.handle));
    EXPECT_EQ(reader.find_by_inode(b.inode, view), LookupOutcome::kAbsent);
    EXPECT_EQ(reader.find_by_pid(b.pid, view), LookupOutcome::kAbsent);
  }
  EXPECT_TRUE(std::ranges::all_of(table.octets().subspan(kHeaderSize, kCapacity * 16),
                                  [](std::uint8_t octet) { return octet == 0; }));
}

// ---- load

// Fills a table with random processes of `owners`, as a machine would: inodes in a run, pids in another with
// holes, some freed again all the while. The load at the first refusal.
double load_at_first_refusal(std::uint32_t capacity, std::uint64_t owners, unsigned seed) {
  test::Table table(capacity);
  std::mt19937_64 random(seed);
  std::vector<TaskHandle> living;
  std::uint64_t inode = random() % 1'000'000 + 1;
  auto pid = static_cast<std::uint32_t>(random() % 1'000'000 + 1);
  while (living.size() < capacity) {
    inode += 1 + random() % 50;
    pid += 1 + static_cast<std::uint32_t>(random() % 50);
    const auto handle = table.writer().bind(record_of(inode, pid), random() % owners);
    if (!handle) break;
    living.push_back(*handle);
    if (random() % 3 == 0) {
      std::swap(living[random() % living.size()], living.back());
      EXPECT_TRUE(table.writer().free(living.back()));
      living.pop_back();
    }
  }
  return static_cast<double>(living.size()) / capacity;
}

TEST(TwoChoices, RefuseNobodyUpToThreeQuartersOfTheTable) {
  double least = 1;
  for (unsigned seed = 0; seed < 20; ++seed) least = std::min(least, load_at_first_refusal(16384, 64, seed));
  RecordProperty("least_load_at_first_refusal", std::to_string(least));
  EXPECT_GE(least, 0.75);
}

TEST(TwoChoices, RefuseNoOwnerBelowAQuarterOfTheTable) {
  // A uid's own limit is a quarter of the table by default: what it is promised, it can have.
  double least = 1;
  for (unsigned seed = 0; seed < 20; ++seed) least = std::min(least, load_at_first_refusal(16384, 1, seed));
  RecordProperty("least_load_at_first_refusal", std::to_string(least));
  EXPECT_GE(least, 0.25);
}

}  // namespace
}  // namespace keyd::table
