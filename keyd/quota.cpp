#include "keyd/quota.h"

#include <algorithm>

namespace keyd::daemon {

Charge& Charge::operator=(Charge&& other) noexcept {
  if (this != &other) {
    give_back();
    holdings_ = std::move(other.holdings_);
    resource_ = other.resource_;
    account_ = other.account_;
    units_ = other.units_;
  }
  return *this;
}

void Charge::give_back() {
  const auto holdings = std::move(holdings_);
  if (holdings == nullptr) return;
  const auto index = static_cast<std::size_t>(resource_);
  holdings->totals[index] -= units_;
  const auto found = holdings->by_account.find(account_);
  found->second[index] -= units_;
  if (std::ranges::all_of(found->second, [](std::uint32_t n) { return n == 0; }))
    holdings->by_account.erase(found);
}

std::optional<Charge> Quota::take(Resource resource, std::uint32_t uid, std::uint32_t units) {
  const auto index = static_cast<std::size_t>(resource);
  const Limit& limit = limits_[index];
  const AccountId account = accounts_.account_of(uid);
  const auto found = holdings_->by_account.find(account);
  // 64 bits: neither sum can overflow.
  const std::uint64_t held =
      std::uint64_t{found == holdings_->by_account.end() ? 0 : found->second[index]} + units;
  const std::uint64_t total = std::uint64_t{holdings_->totals[index]} + units;
  if (held > limit.per_account || total > limit.total) return std::nullopt;
  if (total > limit.total - limit.reserve() && held > limit.little()) return std::nullopt;
  holdings_->by_account[account][index] += units;
  holdings_->totals[index] += units;
  return Charge(holdings_, resource, account, units);
}

}  // namespace keyd::daemon
