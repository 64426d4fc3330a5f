#include "keyd/locked_memory_shares.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/secret/locked_pool.h"

namespace keyd::daemon {
namespace {

constexpr std::size_t kSession = 256;  // octets: the keys of a channel

// What a number below N takes.
std::size_t element(std::uint32_t group_bits) { return std::bit_ceil((std::size_t{group_bits} + 7) / 8); }
// b and g^b.
std::size_t drawn_pair(std::uint32_t group_bits) {
  return secret::LockedPool::kSmallestBlock + element(group_bits);
}
// The pair, v, and K while the proof is verified.
std::size_t begun_exchange(std::uint32_t group_bits) {
  return drawn_pair(group_bits) + element(group_bits) + secret::LockedPool::kSmallestBlock;
}

std::uint32_t as_many(std::size_t octets, std::size_t each) {
  return static_cast<std::uint32_t>(std::max<std::size_t>(octets / each, 1));
}

}  // namespace

Result<LockedMemoryShares> LockedMemoryShares::of(std::size_t lockable, std::uint32_t group_bits,
                                                  std::uint32_t pool) {
  const std::size_t share = lockable / 16;
  const std::size_t for_pool = share * 3 / 2, ahead = pool * drawn_pair(group_bits);
  if (ahead > for_pool) {
    return fail(
        Code::kInvalid,
        fmt::format("srp.pool: {} numbers of {} bits need {} KiB of locked memory, and {} KiB are for "
                    "them; set it to {} at most{}",
                    pool, group_bits, ahead / 1024, for_pool / 1024, for_pool / drawn_pair(group_bits),
                    lockable < secret::LockedPool::kCapacity ? ", or raise RLIMIT_MEMLOCK" : ""));
  }
  return LockedMemoryShares{as_many(share * 9, kSession),
                            as_many(share * 3 - ahead, begun_exchange(group_bits)),
                            as_many(share * 3 / 2, kSession)};
}

}  // namespace keyd::daemon
