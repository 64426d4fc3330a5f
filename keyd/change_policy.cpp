#include "keyd/change_policy.h"

namespace keyd::daemon {
namespace {

// `bound` scaled to the kind of network; 0 stays "none", and nothing else becomes it.
std::uint64_t scaled(std::uint64_t bound, std::uint32_t percent) {
  if (bound == 0) return 0;
  const std::uint64_t part = bound / 100 * percent + bound % 100 * percent / 100;
  return part == 0 ? 1 : part;
}

}  // namespace

const char* name_of(NetworkKind kind) {
  switch (kind) {
    case NetworkKind::kLocal: return "local";
    case NetworkKind::kWired: return "wired";
    case NetworkKind::kWireless: return "wireless";
  }
  return "?";
}

ChangeReason reason_to_change(const ChangePolicy& policy, NetworkKind kind, std::chrono::seconds age,
                              std::uint64_t octets, std::uint64_t records) {
  const std::uint32_t percent = kind == NetworkKind::kLocal   ? 100
                                : kind == NetworkKind::kWired ? policy.wired_percent
                                                              : policy.wireless_percent;
  const auto reached = [percent](std::uint64_t bound, std::uint64_t value) {
    return bound != 0 && value >= scaled(bound, percent);
  };
  const auto seconds = [](std::chrono::seconds s) {
    return static_cast<std::uint64_t>(s.count() < 0 ? 0 : s.count());
  };
  if (reached(seconds(policy.age), seconds(age))) return ChangeReason::kAge;
  if (reached(policy.octets, octets)) return ChangeReason::kOctets;
  if (reached(policy.records, records)) return ChangeReason::kMessages;
  return ChangeReason::kNone;
}

}  // namespace keyd::daemon
