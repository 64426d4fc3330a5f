// What a secret's owner can and cannot be made to do: most of it is checked by the compiler.
#include "core/secret/secret.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <ostream>
#include <type_traits>

namespace keyd::secret {
namespace {

struct KeyTag;
struct OtherTag;
using Key = Secret<32, KeyTag>;

template <typename T>
concept Comparable = requires(const T& a, const T& b) { a == b; };
template <typename T>
concept Ordered = requires(const T& a, const T& b) { a < b; };
template <typename T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };
template <typename T>
concept MoveOnly = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                   !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;

static_assert(MoveOnly<Key> && MoveOnly<SecretBuffer>);
static_assert(!Comparable<Key> && !Comparable<SecretBuffer>);
static_assert(!Ordered<Key> && !Ordered<SecretBuffer>);
static_assert(!Streamable<Key> && !Streamable<SecretBuffer>);
static_assert(!std::convertible_to<Key, ByteView> && !std::convertible_to<SecretBuffer, ByteView>);
static_assert(!std::convertible_to<Secret<32, OtherTag>, Key>, "a key of another purpose is another type");
static_assert(!std::is_constructible_v<Key, ByteView>);
static_assert(!std::convertible_to<std::size_t, SecretBuffer>);

bool all(ByteView octets, std::uint8_t value) {
  return std::ranges::all_of(octets, [&](std::uint8_t octet) { return octet == value; });
}

TEST(Secret, StartsAsZeros) {
  const Key key;
  EXPECT_EQ(key.reveal().size(), 32u);
  EXPECT_TRUE(all(key.reveal(), 0));
}

TEST(Secret, IsEmptyWhenMovedFromAndTheMemoryIsTheSame) {
  Key first;
  std::ranges::fill(first.reveal(), std::uint8_t{7});
  const std::uint8_t* const where = first.reveal().data();
  const Key second(std::move(first));
  EXPECT_TRUE(first.reveal().empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(second.reveal().data(), where);
  EXPECT_TRUE(all(second.reveal(), 7));
}

TEST(Secret, WipesItsMemoryWhenItGoes) {
  const std::uint8_t* where = nullptr;
  {
    Key key;
    std::ranges::fill(key.reveal(), std::uint8_t{0xaa});
    where = key.reveal().data();
  }
  EXPECT_TRUE(all({where + 16, 16}, 0));  // behind the free list's links
}

TEST(Secret, WipesWhatItHeldWhenAssigned) {
  Key first, second;
  std::ranges::fill(first.reveal(), std::uint8_t{1});
  std::ranges::fill(second.reveal(), std::uint8_t{2});
  const std::uint8_t* const old = first.reveal().data();
  first = std::move(second);
  EXPECT_TRUE(all(first.reveal(), 2));
  EXPECT_TRUE(all({old + 16, 16}, 0));
}

TEST(Secret, KeepsItsValueWhenAssignedToItself) {
  Key key;
  std::ranges::fill(key.reveal(), std::uint8_t{9});
  Key& same = key;
  key = std::move(same);
  EXPECT_TRUE(all(key.reveal(), 9));
}

TEST(Secret, GivesItsMemoryBackToThePool) {
  const std::size_t before = LockedPool::instance().in_use();
  {
    const Key one, two;
    EXPECT_EQ(LockedPool::instance().in_use(), before + 128);
  }
  EXPECT_EQ(LockedPool::instance().in_use(), before);
}

TEST(SecretBuffer, HoldsACopyOfItsOwn) {
  Bytes source{1, 2, 3};
  const SecretBuffer copy = SecretBuffer::copy_of(source);
  source[0] = 99;
  EXPECT_EQ(Bytes(copy.reveal().begin(), copy.reveal().end()), (Bytes{1, 2, 3}));
}

TEST(SecretBuffer, MayBeEmptyWithoutTakingMemory) {
  const std::size_t before = LockedPool::instance().in_use();
  const SecretBuffer none, zero(0), copied = SecretBuffer::copy_of({});
  EXPECT_TRUE(none.empty() && zero.empty() && copied.empty());
  EXPECT_EQ(LockedPool::instance().in_use(), before);
}

TEST(SecretBuffer, WipesTheRestWhenTruncated) {
  SecretBuffer buffer = SecretBuffer::copy_of(Bytes(64, 0x33));
  const std::uint8_t* const where = buffer.reveal().data();
  buffer.truncate(10);
  EXPECT_EQ(buffer.size(), 10u);
  EXPECT_TRUE(all({where, 10}, 0x33));
  EXPECT_TRUE(all({where + 10, 54}, 0));
  buffer.truncate(64);  // never grows
  EXPECT_EQ(buffer.size(), 10u);
}

TEST(SecretBuffer, GivesBackItsWholeBlockAfterBeingTruncated) {
  const std::size_t before = LockedPool::instance().in_use();
  {
    SecretBuffer buffer(4096);
    buffer.truncate(1);
  }
  EXPECT_EQ(LockedPool::instance().in_use(), before);
}

TEST(SecretBuffer, IsEmptyWhenMovedFrom) {
  SecretBuffer first = SecretBuffer::copy_of(Bytes(5, 1));
  SecretBuffer second(std::move(first));
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_TRUE(first.reveal().empty());
  EXPECT_EQ(second.size(), 5u);
  first = std::move(second);
  EXPECT_EQ(first.size(), 5u);
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
}

TEST(SecretBuffer, RefusesToBeLargerThanThePoolsLargestBlock) {
  EXPECT_THROW(SecretBuffer(LockedPool::kLargestBlock + 1), PoolExhausted);
}

}  // namespace
}  // namespace keyd::secret
