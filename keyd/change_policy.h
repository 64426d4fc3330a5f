// When a password must be changed (seed 002, step 310): by its age, by what was carried under it, and the sooner the more
// exposed the network is that it was carried over.
#pragma once

#include <chrono>
#include <cstdint>

#include "keyd/user_store.h"

namespace keyd::daemon {

// How a session's records travel: a Unix socket of this host, or as the shim of another host declares.
enum class NetworkKind : std::uint8_t { kLocal, kWired, kWireless };
[[nodiscard]] const char* name_of(NetworkKind kind);

struct ChangePolicy {
  std::chrono::seconds age{0};            // 0 here and below: no bound
  std::uint64_t octets = 0, records = 0;  // of sessions under the password
  std::uint32_t wired_percent = 50,
                wireless_percent = 10;  // of those bounds, where records travel so: 1 to 100
};

// kNone: it may stay.
[[nodiscard]] ChangeReason reason_to_change(const ChangePolicy& policy, NetworkKind kind,
                                            std::chrono::seconds age, std::uint64_t octets,
                                            std::uint64_t records);

}  // namespace keyd::daemon
