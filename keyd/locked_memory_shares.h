// How keyd divides its locked memory (core/secret/locked_pool.h) among what holds secrets for long, so that what is
// admitted finds room: nine sixteenths are for sessions, three for exchanges by srp that have begun and the numbers drawn ahead
// for them, three for the keys that some sessions keep beside, and one for all that comes and goes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/error.h"

namespace keyd::daemon {

struct LockedMemoryShares {
  std::uint32_t sessions = 1, exchanges = 1;
  std::uint32_t kept_keys = 1;  // of each of the two kinds: for single commands, for a change of password

  // Of `lockable` octets, where verifiers have the group of `group_bits` and `pool` pairs are drawn ahead. kInvalid: these
  // do not leave half of their share to the exchanges; says what to do. (A stored verifier of a larger group than that
  // takes more; then the locked memory may run out, which is a refusal.)
  [[nodiscard]] static Result<LockedMemoryShares> of(std::size_t lockable, std::uint32_t group_bits,
                                                     std::uint32_t pool);
};

}  // namespace keyd::daemon
