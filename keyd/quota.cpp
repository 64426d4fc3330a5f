#include "keyd/quota.h"

#include <algorithm>

namespace keyd::daemon {

Charge& Charge::operator=(Charge&& other) noexcept {
  if (this != &other) {
    give_back();
    quota_ = std::exchange(other.quota_, nullptr);
    resource_ = other.resource_;
    account_ = other.account_;
    units_ = other.units_;
  }
  return *this;
}

void Charge::give_back() {
  if (quota_ != nullptr) std::exchange(quota_, nullptr)->give_back(resource_, account_, units_);
}

std::optional<Charge> Quota::take(Resource resource, std::uint32_t uid, std::uint32_t units) {
  const auto index = static_cast<std::size_t>(resource);
  const Limit& limit = limits_[index];
  const AccountId account = accounts_.account_of(uid);
  const auto found = by_account_.find(account);
  // 64 bits: neither sum can overflow.
  const std::uint64_t held = std::uint64_t{found == by_account_.end() ? 0 : found->second[index]} + units;
  const std::uint64_t total = std::uint64_t{totals_[index]} + units;
  if (held > limit.per_account || total > limit.total) return std::nullopt;
  if (total > limit.total - limit.reserve() && held > limit.little()) return std::nullopt;
  by_account_[account][index] += units;
  totals_[index] += units;
  return Charge(this, resource, account, units);
}

void Quota::give_back(Resource resource, AccountId account, std::uint32_t units) {
  const auto index = static_cast<std::size_t>(resource);
  totals_[index] -= units;
  const auto found = by_account_.find(account);
  found->second[index] -= units;
  if (std::ranges::all_of(found->second, [](std::uint32_t n) { return n == 0; })) by_account_.erase(found);
}

}  // namespace keyd::daemon
