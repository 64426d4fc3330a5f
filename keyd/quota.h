// What one account may hold at a time. Everything that a peer makes keyd hold is charged to its account
// before it is made, by a Charge that gives it back when it goes. Event loop only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "keyd/accounts.h"

namespace keyd::daemon {

enum class Resource {
  kConnection,
  kAdminConnection,  // on admin.sock: strangers cannot take what administrators need
  kPending,          // an exchange that has begun
  kRecord,           // a process in the task table
  kOctets,           // of answers that their peers do not read
  kTableAnswer,  // that is on its way, two descriptors each: the kernel counts them against keyd's own limit
  kCommandKeys,  // a session that keeps the hash of its login in locked memory
  kChangeKeys,   // a session that keeps the keys for a change of its user's password there
  kVerifier,     // an exchange by srp: it has the user's verifier and its numbers there, a KiB and more
};
inline constexpr std::size_t kResources = 9;

// What is held, by all and by each account; outlives the Quota where a Charge does.
struct Holdings {
  std::array<std::uint32_t, kResources> totals{};
  std::unordered_map<AccountId, std::array<std::uint32_t, kResources>> by_account;
};

// Some units of a resource, held for an account.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : holdings_(std::move(other.holdings_)),
        resource_(other.resource_),
        account_(other.account_),
        units_(other.units_) {}
  Charge& operator=(Charge&& other) noexcept;
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() { give_back(); }
  [[nodiscard]] bool held() const { return holdings_ != nullptr; }

 private:
  friend class Quota;
  Charge(std::shared_ptr<Holdings> holdings, Resource resource, AccountId account, std::uint32_t units)
      : holdings_(std::move(holdings)), resource_(resource), account_(account), units_(units) {}
  void give_back();
  std::shared_ptr<Holdings> holdings_;
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
    return holdings_->totals[static_cast<std::size_t>(resource)];
  }
  [[nodiscard]] AccountId account_of(std::uint32_t uid) const { return accounts_.account_of(uid); }

  // What is held stays held; less is given from now on, or more.
  void set_limits(Limits limits) { limits_ = limits; }

 private:
  Limits limits_;
  Accounts accounts_;
  std::shared_ptr<Holdings> holdings_ = std::make_shared<Holdings>();
};

}  // namespace keyd::daemon
