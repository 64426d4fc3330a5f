#include "keyd/quota.h"

#include <algorithm>

namespace keyd::daemon {

Charge& Charge::operator=(Charge&& other) noexcept {
  if (this != &other) {
    give_back();
    quota_ = std::exchange(other.quota_, nullptr);
    resource_ = other.resource_;
    uid_ = other.uid_;
  }
  return *this;
}

void Charge::give_back() {
  if (quota_ != nullptr) std::exchange(quota_, nullptr)->give_back(resource_, uid_);
}

std::optional<Charge> Quota::take(Resource resource, std::uint32_t uid) {
  const auto index = static_cast<std::size_t>(resource);
  if (totals_[index] >= limits_[index].total) return std::nullopt;
  auto& held = by_uid_[uid];
  if (held[index] >= limits_[index].per_uid) return std::nullopt;
  ++held[index];
  ++totals_[index];
  return Charge(this, resource, uid);
}

void Quota::give_back(Resource resource, std::uint32_t uid) {
  const auto index = static_cast<std::size_t>(resource);
  --totals_[index];
  const auto found = by_uid_.find(uid);
  --found->second[index];
  if (std::ranges::all_of(found->second, [](std::uint32_t n) { return n == 0; })) by_uid_.erase(found);
}

}  // namespace keyd::daemon
