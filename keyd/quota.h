// What one account may hold at a time. Everything that a peer makes keyd hold is charged to its account
// before it is made, by a Charge that gives it back when it goes. Event loop only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

#include "keyd/accounts.h"

namespace keyd::daemon {

enum class Resource {
  kConnection,
  kPending,  // an exchange that has begun
  kRecord,   // a process in the task table
  kOctets,   // of answers that their peers do not read
};
inline constexpr std::size_t kResources = 4;

class Quota;

// Some units of a resource, held for an account.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : quota_(std::exchange(other.quota_, nullptr)),
        resource_(other.resource_),
        account_(other.account_),
        units_(other.units_) {}
  Charge& operator=(Charge&& other) noexcept;
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() { give_back(); }

 private:
  friend class Quota;
  Charge(Quota* quota, Resource resource, AccountId account, std::uint32_t units)
      : quota_(quota), resource_(resource), account_(account), units_(units) {}
  void give_back();
  Quota* quota_ = nullptr;
  Resource resource_ = Resource::kConnection;
  AccountId account_ = 0;
  std::uint32_t units_ = 0;
};

class Quota {
 public:
  struct Limit {
    std::uint32_t total, per_account;
    // The last eighth of the total is kept for accounts that hold little: at most 1/256 of the total, and one
    // unit at least. However many accounts work together, somebody who has nothing yet still gets in, until
    // 32 newcomers have.
    [[nodiscard]] std::uint32_t reserve() const { return total / 8; }
    [[nodiscard]] std::uint32_t little() const { return total / 256 == 0 ? 1 : total / 256; }
  };
  using Limits = std::array<Limit, kResources>;  // in the order of Resource

  Quota(Limits limits, Accounts accounts) : limits_(limits), accounts_(std::move(accounts)) {}

  // Nothing when the account's share, or what of the total is open to it, is used up.
  [[nodiscard]] std::optional<Charge> take(Resource resource, std::uint32_t uid, std::uint32_t units = 1);
  [[nodiscard]] std::uint32_t total(Resource resource) const {
    return totals_[static_cast<std::size_t>(resource)];
  }
  [[nodiscard]] AccountId account_of(std::uint32_t uid) const { return accounts_.account_of(uid); }

  // What is held stays held; less is given from now on, or more.
  void set_limits(Limits limits) { limits_ = limits; }

 private:
  friend class Charge;
  void give_back(Resource resource, AccountId account, std::uint32_t units);

  Limits limits_;
  Accounts accounts_;
  std::array<std::uint32_t, kResources> totals_{};
  std::unordered_map<AccountId, std::array<std::uint32_t, kResources>> by_account_;
};

}  // namespace keyd::daemon
