// Secrets lie in pages that are locked, left out of core files and not a child's, in blocks that are wiped
// when they come back, and within a bound. The kernel is asked each time: /proc/self/smaps and VmLck.
#include "core/secret/locked_pool.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "core/base/bytes.h"
#include "core/secret/memfd_secret.h"
#include "tests/support/refused_call.h"
#include "tests/support/sanitizers.h"
#include "tests/unit/support/child.h"

namespace keyd::secret {
namespace {

using Block = std::pair<void*, std::size_t>;

constexpr std::size_t kLinks = 2 * sizeof(void*);  // at the start of a free block

class LockedPoolTest : public ::testing::Test {
 protected:
  std::uint8_t* take(std::size_t size) {
    void* const block = pool_.allocate(size);
    taken_.emplace_back(block, size);
    return static_cast<std::uint8_t*>(block);
  }
  void give_back_all() {
    for (const auto& [block, size] : taken_) pool_.release(block, size);
    taken_.clear();
  }
  void TearDown() override { give_back_all(); }

  LockedPool& pool_ = LockedPool::instance();
  std::vector<Block> taken_;
};

bool all_zero(const std::uint8_t* data, std::size_t size) {
  return std::all_of(data, data + size, [](std::uint8_t octet) { return octet == 0; });
}

// The VmFlags of the mapping that holds `address`.
std::vector<std::string> flags_of(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) inside = wanted >= from && wanted < to;
    if (!inside || !line.starts_with("VmFlags:")) continue;
    std::istringstream words(line.substr(8));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

// Octets that this process has locked.
std::size_t locked_now() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) return std::stoul(line.substr(6)) * 1024;
  }
  return 0;
}

TEST_F(LockedPoolTest, GivesZeroedBlocksOfEverySize) {
  for (std::size_t size = 1; size <= LockedPool::kLargestBlock; size = size * 2 + 1) {
    EXPECT_TRUE(all_zero(take(size), size)) << size;
  }
  EXPECT_TRUE(all_zero(take(LockedPool::kLargestBlock), LockedPool::kLargestBlock));
}

TEST_F(LockedPoolTest, WipesABlockBeforeSomebodyElseGetsIt) {
  std::uint8_t* const first = take(1000);
  std::fill_n(first, 1000, std::uint8_t{0xa5});
  give_back_all();
  std::uint8_t* const second = take(1000);
  ASSERT_EQ(first, second) << "the test wants the same block again";
  EXPECT_TRUE(all_zero(second, 1024));
}

TEST_F(LockedPoolTest, WipesABlockAtTheMomentItComesBack) {
  std::uint8_t* const block = take(4096);
  std::fill_n(block, 4096, std::uint8_t{0x5a});
  give_back_all();
  // Still mapped: pages stay with the pool. The first octets are the free list's links.
  EXPECT_TRUE(all_zero(block + kLinks, 4096 - kLinks));
}

TEST_F(LockedPoolTest, WipesTheWholeBlockNotOnlyWhatWasAskedFor) {
  std::uint8_t* const block = take(65);  // a block of 128
  std::fill_n(block, 128, std::uint8_t{0x77});
  give_back_all();
  EXPECT_TRUE(all_zero(block + kLinks, 128 - kLinks));
}

TEST_F(LockedPoolTest, GivesBlocksThatDoNotOverlap) {
  std::vector<std::pair<std::uint8_t*, std::size_t>> blocks;
  for (int round = 0; round < 200; ++round) {
    const std::size_t size = static_cast<std::size_t>(round) * 37 % 3000 + 1;
    blocks.emplace_back(take(size), size);
  }
  std::ranges::sort(blocks);
  for (std::size_t i = 1; i < blocks.size(); ++i) {
    EXPECT_LE(blocks[i - 1].first + blocks[i - 1].second, blocks[i].first);
  }
}

TEST_F(LockedPoolTest, CountsWhatIsInUse) {
  const std::size_t before = pool_.in_use();
  take(64);
  EXPECT_EQ(pool_.in_use(), before + 64);
  take(65);
  EXPECT_EQ(pool_.in_use(), before + 64 + 128);
  give_back_all();
  EXPECT_EQ(pool_.in_use(), before);
}

TEST_F(LockedPoolTest, RefusesABlockThatIsTooLarge) {
  EXPECT_THROW(take(LockedPool::kLargestBlock + 1), PoolExhausted);
  EXPECT_THROW(take(SIZE_MAX), PoolExhausted);
}

// Takes blocks of `size` from a pool that is new (call it in a child) until it refuses, and gives all back.
// How many there were.
std::size_t exhaust(LockedPool& pool, std::size_t size) {
  std::vector<void*> blocks;
  try {
    for (;;) blocks.push_back(pool.allocate(size));
  } catch (const PoolExhausted&) {
    const std::size_t full = pool.in_use();
    try {
      blocks.push_back(pool.allocate(size));
    } catch (const PoolExhausted&) {
      if (pool.in_use() != full) std::abort();  // a refusal costs nothing
    }
  }
  for (void* const block : blocks) pool.release(block, size);
  return blocks.size();
}

bool can_give(LockedPool& pool, std::size_t size) {
  try {
    auto* const block = static_cast<std::uint8_t*>(pool.allocate(size));
    const bool zero = all_zero(block, size);
    pool.release(block, size);
    return zero;
  } catch (const PoolExhausted&) {
    return false;
  }
}

TEST_F(LockedPoolTest, RefusesWhenItsBoundIsReachedAndRecovers) {
  // In a child: the bound is the process's.
  test::Child child([] {
    LockedPool& pool = LockedPool::instance();
    if (exhaust(pool, LockedPool::kLargestBlock) != LockedPool::kCapacity / LockedPool::kLargestBlock)
      return 10;
    return pool.in_use() == 0 && can_give(pool, LockedPool::kLargestBlock) ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

// A peer that once made keyd hold many large records must not have starved the small blocks (keys) for ever.
TEST_F(LockedPoolTest, GivesSmallBlocksAgainAfterLargeOnesFilledIt) {
  test::Child child([] {
    LockedPool& pool = LockedPool::instance();
    exhaust(pool, LockedPool::kLargestBlock);
    return can_give(pool, LockedPool::kSmallestBlock) ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0) << "nothing is in use, yet the pool has no block of 64 octets";
}

// Nor the other way round: many idle sessions that ended must leave room for a credential.
TEST_F(LockedPoolTest, GivesLargeBlocksAgainAfterSmallOnesFilledIt) {
  test::Child child([] {
    LockedPool& pool = LockedPool::instance();
    exhaust(pool, LockedPool::kSmallestBlock);
    return can_give(pool, LockedPool::kLargestBlock) ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0) << "nothing is in use, yet the pool has no block of 128 KiB";
}

TEST_F(LockedPoolTest, KeepsBlocksApartAndWholeOverLongUse) {
  // Blocks of every size come and go in a random order, each full of its own octet. At the end all of it is
  // one again.
  test::Child child([] {
    LockedPool& pool = LockedPool::instance();
    struct Held {
      std::uint8_t* data;
      std::size_t size;
      std::uint8_t octet;
    };
    std::vector<Held> held;
    std::mt19937 random(7);
    const auto give_back = [&](std::size_t which) {
      const Held block = held[which];
      if (std::count(block.data, block.data + block.size, block.octet) !=
          static_cast<std::ptrdiff_t>(block.size)) {
        ::_exit(10);
      }
      pool.release(block.data, block.size);
      held[which] = held.back();
      held.pop_back();
    };
    for (int i = 0; i < 20'000; ++i) {
      if (!held.empty() && random() % 2 == 0) give_back(random() % held.size());
      const std::size_t size = 1 + random() % (std::size_t{1} << random() % 18);
      try {
        auto* const data = static_cast<std::uint8_t*>(pool.allocate(size));
        if (!all_zero(data, size)) return 11;
        const auto octet = static_cast<std::uint8_t>(1 + i % 255);
        std::fill_n(data, size, octet);
        held.push_back({data, size, octet});
      } catch (const PoolExhausted&) {
        if (held.empty()) return 12;
        give_back(random() % held.size());
      }
    }
    while (!held.empty()) give_back(held.size() - 1);
    if (pool.in_use() != 0) return 13;
    constexpr std::size_t kAll = LockedPool::kCapacity / LockedPool::kLargestBlock;
    return exhaust(pool, LockedPool::kLargestBlock) == kAll ? 0 : 14;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(LockedPoolTest, IgnoresANullBlockGivenBack) {
  const std::size_t before = pool_.in_use();
  pool_.release(nullptr, 64);
  EXPECT_EQ(pool_.in_use(), before);
}

// What the kernel says of a pool's pages: the kind's own flags ("dc": not copied to a child, "wf": wiped there).
int misses_a_flag(LockedPool& pool, PageKind kind) {
  if (pool.kind() != kind) return 20;
  auto* const small = static_cast<std::uint8_t*>(pool.allocate(1));
  auto* const large = static_cast<std::uint8_t*>(pool.allocate(LockedPool::kLargestBlock));
  const bool secret = kind == PageKind::kMemfdSecret;
  for (const std::uint8_t* const at : {small, large, large + LockedPool::kLargestBlock - 1}) {
    const auto flags = flags_of(at);
    const auto has = [&](const char* flag) { return std::ranges::find(flags, flag) != flags.end(); };
    if (!has("dd")) return 21;
    if (!has(secret ? "dc" : "wf")) return 22;
    if ((secret || testing::kMlockWorks) && !has("lo")) return 23;
  }
  return 0;
}

TEST_F(LockedPoolTest, LiesInPagesOfMemfdSecretWhereThereIsOne) {
  if (!make_memfd_secret(4096)) GTEST_SKIP() << "no memfd_secret here";
  EXPECT_EQ(misses_a_flag(pool_, PageKind::kMemfdSecret), 0);
  EXPECT_STREQ(name_of(pool_.kind()), "memfd_secret");
}

TEST_F(LockedPoolTest, LiesInLockedPagesWhereThereIsNoMemfdSecretAndSaysSo) {
  test::Child child([] {
    if (!testing::refuse_call(SYS_memfd_secret)) return 10;
    return misses_a_flag(LockedPool::instance(), PageKind::kLocked);
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_STREQ(name_of(PageKind::kLocked), "mlock");
}

// A pool that had memfd_secret and gets one block of the other kind does not go on to claim the better one.
TEST_F(LockedPoolTest, SaysTheWeakerKindAsSoonAsSomePagesAreOfIt) {
  if (!make_memfd_secret(4096)) GTEST_SKIP() << "no memfd_secret here";
  test::Child child([] {
    LockedPool& pool = LockedPool::instance();
    void* const first = pool.allocate(LockedPool::kLargestBlock);
    if (pool.kind() != PageKind::kMemfdSecret) return 10;
    const rlimit no_descriptor{3, 3};
    if (::setrlimit(RLIMIT_NOFILE, &no_descriptor) != 0) return 11;
    void* const second = pool.allocate(LockedPool::kLargestBlock);
    return pool.kind() == PageKind::kLocked && second != first ? 0 : 12;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(LockedPoolTest, KeepsNoDescriptor) {
  test::Child child([] {
    const int before = ::dup(0);
    ::close(before);
    if (LockedPool::instance().allocate(64) == nullptr) return 10;
    LockedPool::instance().reserve();
    return ::dup(0) == before ? 0 : 11;
  });
  EXPECT_EQ(child.wait(), 0);
}

// As keyd needs it, which is then in a sandbox: every call of mmap & Co. is an error after reserve().
TEST_F(LockedPoolTest, NeedsNoSystemCallOnceReservedAndGivesEverythingItReserved) {
  for (const bool with_memfd_secret : {true, false}) {
    test::Child child([&] {
      if (!with_memfd_secret && !testing::refuse_call(SYS_memfd_secret)) return 10;
      LockedPool& pool = LockedPool::instance();
      pool.reserve();
      for (const long call :
           {SYS_memfd_secret, SYS_ftruncate, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_mlock}) {
        if (!testing::refuse_call(call, EPERM)) return 11;
      }
      const std::size_t expected = std::max(LockedPool::lockable(), LockedPool::kLargestBlock);
      return exhaust(pool, LockedPool::kLargestBlock) == expected / LockedPool::kLargestBlock ? 0 : 12;
    });
    EXPECT_EQ(child.wait(), 0);
  }
}

TEST_F(LockedPoolTest, DoesNotGrowOnceReserved) {
  test::Child child([] {
    rlimit before{};
    if (::getrlimit(RLIMIT_MEMLOCK, &before) != 0) return 10;
    const rlimit two{2 * LockedPool::kLargestBlock + 4096, before.rlim_max};
    if (::setrlimit(RLIMIT_MEMLOCK, &two) != 0) return 11;
    LockedPool& pool = LockedPool::instance();
    pool.reserve();
    if (::setrlimit(RLIMIT_MEMLOCK, &before) != 0) return 12;
    return exhaust(pool, LockedPool::kLargestBlock) == 2 ? 0 : 13;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(LockedPoolTest, LocksMoreMemoryWhenItNeedsMore) {
  if (!testing::kMlockWorks && !make_memfd_secret(4096))
    GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  // In a child, whose pool is new: what this process's other tests have locked does not count.
  test::Child child([] {
    const std::size_t before = locked_now();
    if (before != 0) return 10;
    LockedPool& pool = LockedPool::instance();
    if (pool.allocate(64) == nullptr) return 11;
    const std::size_t one = locked_now();
    if (one == 0) return 12;
    for (int i = 0; i < 8; ++i) {
      if (pool.allocate(LockedPool::kLargestBlock) == nullptr) return 13;
    }
    return locked_now() >= one + 8 * LockedPool::kLargestBlock ? 0 : 14;
  });
  EXPECT_EQ(child.wait(), 0);
}

// In a child: `now` octets may be locked, or `later`. Root's CAP_IPC_LOCK overrides the limit: become nobody.
bool may_lock_only(std::size_t now, std::size_t later) {
  const rlimit limit{now, later};
  return ::setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (::geteuid() != 0 || ::setuid(65534) == 0);
}

TEST_F(LockedPoolTest, RefusesMemoryThatCannotBeLocked) {
  if (!testing::kMlockWorks) GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  for (const bool with_memfd_secret : {true, false}) {
    test::Child child([&] {
      if (!with_memfd_secret && !testing::refuse_call(SYS_memfd_secret)) return 9;
      if (!may_lock_only(0, 0)) return 10;
      LockedPool& pool = LockedPool::instance();
      try {
        return pool.allocate(64) == nullptr ? 12 : 13;
      } catch (const PoolExhausted&) {
      }
      try {
        pool.reserve();
        return 14;
      } catch (const PoolExhausted&) {
        return 0;
      }
    });
    EXPECT_EQ(child.wait(), 0) << with_memfd_secret;
  }
}

// At the limit the pages that are refused must not have cost the place where they should have come, and more may
// be locked later.
TEST_F(LockedPoolTest, RefusesAtTheLimitAndGrowsWhenItIsRaised) {
  if (!testing::kMlockWorks) GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  for (const bool with_memfd_secret : {true, false}) {
    test::Child child([&] {
      if (!with_memfd_secret && !testing::refuse_call(SYS_memfd_secret)) return 9;
      if (!may_lock_only(2 * LockedPool::kLargestBlock, 4 * LockedPool::kLargestBlock)) return 10;
      LockedPool& pool = LockedPool::instance();
      if (exhaust(pool, LockedPool::kLargestBlock) != 2) return 11;
      const rlimit four{4 * LockedPool::kLargestBlock, 4 * LockedPool::kLargestBlock};
      if (::setrlimit(RLIMIT_MEMLOCK, &four) != 0) return 12;
      return exhaust(pool, LockedPool::kLargestBlock) == 4 ? 0 : 13;
    });
    EXPECT_EQ(child.wait(), 0) << with_memfd_secret;
  }
}

// What a child of a process with a secret at `secret`, 4096 octets, finds wrong; 0 when nothing is.
int wrong_in_child(LockedPool& pool, std::uint8_t* secret) {
  if (!all_zero(secret, 4096) || pool.holds(secret)) return 10;
  const auto left = flags_of(secret);
  if (std::ranges::find(left, "dd") == left.end()) return 13;
  auto* const own = static_cast<std::uint8_t*>(pool.allocate(4096));
  if (!all_zero(own, 4096) || own == secret) return 11;
  const auto flags = flags_of(own);
  if (testing::kMlockWorks && std::ranges::find(flags, "lo") == flags.end()) return 12;
  std::fill_n(own, 4096, std::uint8_t{1});
  std::fill_n(secret, 4096, std::uint8_t{2});  // a mistake, but not one that the parent may pay for
  pool.release(own, 4096);
  return 0;
}

TEST_F(LockedPoolTest, ShowsAChildZerosAndGivesItAPoolOfItsOwn) {
  for (const bool with_memfd_secret : {true, false}) {
    test::Child parent([&] {
      if (!with_memfd_secret && !testing::refuse_call(SYS_memfd_secret)) return 9;
      LockedPool& pool = LockedPool::instance();
      auto* const secret = static_cast<std::uint8_t*>(pool.allocate(4096));
      std::fill_n(secret, 4096, std::uint8_t{0xc3});
      test::Child child([&] { return wrong_in_child(pool, secret); });
      if (const int wrong = child.wait(); wrong != 0) return wrong < 0 ? 20 : wrong;
      return std::all_of(secret, secret + 4096, [](std::uint8_t octet) { return octet == 0xc3; }) ? 0 : 21;
    });
    EXPECT_EQ(parent.wait(), 0) << with_memfd_secret;
  }
}

// vfork() runs no handler: the child borrows the parent's memory until it execs, its secrets too.
TEST_F(LockedPoolTest, IsAsItWasAfterAVfork) {
  std::uint8_t* const secret = take(64);
  std::fill_n(secret, 64, std::uint8_t{7});
  const pid_t child = ::vfork();
  if (child == 0) ::_exit(3);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_TRUE(pool_.holds(secret));
  EXPECT_EQ(secret[63], 7);
  EXPECT_TRUE(can_give(pool_, 64));
}

TEST_F(LockedPoolTest, IgnoresAParentsBlockGivenBackByAChild) {
  std::uint8_t* const parents = take(256);
  test::Child child([&] {
    pool_.release(parents, 256);  // before the child has a region
    auto* const own = static_cast<std::uint8_t*>(pool_.allocate(256));
    if (own == parents) return 10;
    pool_.release(parents, 256);  // and after
    return pool_.allocate(256) == parents ? 11 : pool_.in_use() == 512 ? 0 : 12;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(LockedPoolTest, IsEmptyInAChildFromTheStart) {
  take(4096);
  test::Child child([&] { return pool_.in_use() == 0 ? 0 : 1; });
  EXPECT_EQ(child.wait(), 0) << "the child counts blocks that it does not have";
}

TEST_F(LockedPoolTest, WorksInAGrandchildToo) {
  test::Child child([&] {
    if (pool_.allocate(64) == nullptr) return 10;
    test::Child grandchild([&] { return pool_.allocate(64) != nullptr && pool_.in_use() == 64 ? 0 : 11; });
    return grandchild.wait();
  });
  EXPECT_EQ(child.wait(), 0);
}

// As fork(), but without the handlers of pthread_atfork(3): what a container's starter does.
template <typename Body>
int status_of_bare_clone(Body&& body) {
  const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (child == 0) ::_exit(body());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return -1000;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(LockedPoolTest, GivesAChildOfABareCloneAPoolOfItsOwnAndIgnoresTheParentsBlocks) {
  for (const bool with_memfd_secret : {true, false}) {
    test::Child middle([&] {
      if (!with_memfd_secret && !testing::refuse_call(SYS_memfd_secret)) return 9;
      LockedPool& pool = LockedPool::instance();
      void* const parents = pool.allocate(256);
      if (!pool.holds(parents)) return 10;
      const int inner = status_of_bare_clone([&] {
        if (pool.holds(parents)) return 20;
        if (pool.in_use() != 0) return 21;
        pool.release(parents, 256);
        auto* const own = static_cast<std::uint8_t*>(pool.allocate(256));
        if (own == parents || !pool.holds(own) || pool.holds(parents)) return 22;
        pool.release(parents, 256);
        const auto flags = flags_of(own);
        if (testing::kMlockWorks && std::ranges::find(flags, "lo") == flags.end()) return 23;
        return pool.in_use() == 256 ? 0 : 24;
      });
      if (inner != 0) return inner < 0 ? 30 : inner;
      return pool.holds(parents) ? 0 : 11;
    });
    EXPECT_EQ(middle.wait(), 0) << with_memfd_secret;
  }
}

TEST_F(LockedPoolTest, AChildOfABareCloneCannotReadASecretOfMemfdSecret) {
  if (testing::kSanitized) GTEST_SKIP() << "a sanitizer reports the fault its own way";
  if (pool_.kind() != PageKind::kMemfdSecret) GTEST_SKIP() << "no memfd_secret here";
  const volatile std::uint8_t* const secret = take(64);
  EXPECT_EQ(status_of_bare_clone([&] { return secret[0] == 0 ? 0 : 1; }), -SIGSEGV);
}

TEST_F(LockedPoolTest, ServesThreadsThatForkAtTheSameTime) {
  const std::size_t before = pool_.in_use();
  std::atomic<bool> stop{false};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      while (!stop.load()) {
        auto* const block = static_cast<std::uint8_t*>(pool_.allocate(100));
        if (!all_zero(block, 100)) std::abort();
        std::fill_n(block, 100, static_cast<std::uint8_t>(t + 1));
        if (std::count(block, block + 100, static_cast<std::uint8_t>(t + 1)) != 100) std::abort();
        pool_.release(block, 100);
      }
    });
  }
  // A fork in the middle of an allocation must not leave the child's pool locked.
  for (int i = 0; i < 50; ++i) {
    test::Child child([&] { return pool_.allocate(64) != nullptr ? 0 : 1; });
    ASSERT_EQ(child.wait(), 0);
  }
  stop = true;
  threads.clear();
  EXPECT_EQ(pool_.in_use(), before);
}

TEST(Wipe, OverwritesExactlyWhatItIsGiven) {
  std::array<std::uint8_t, 64> memory{};
  memory.fill(0xee);
  wipe(memory.data() + 8, 48);
  EXPECT_TRUE(all_zero(memory.data() + 8, 48));
  EXPECT_EQ(memory[7], 0xee);
  EXPECT_EQ(memory[56], 0xee);
}

}  // namespace
}  // namespace keyd::secret
