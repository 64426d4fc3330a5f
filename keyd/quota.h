// What one uid may hold at a time. Everything that a peer makes keyd hold is charged to its uid before it is
// made, by a Charge that gives it back when it goes. Event loop only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

namespace keyd::daemon {

enum class Resource { kConnection, kPending, kRecord };
inline constexpr std::size_t kResources = 3;

class Quota;

// One unit of a resource, held for a uid.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : quota_(std::exchange(other.quota_, nullptr)), resource_(other.resource_), uid_(other.uid_) {}
  Charge& operator=(Charge&& other) noexcept;
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() { give_back(); }

 private:
  friend class Quota;
  Charge(Quota* quota, Resource resource, std::uint32_t uid)
      : quota_(quota), resource_(resource), uid_(uid) {}
  void give_back();
  Quota* quota_ = nullptr;
  Resource resource_ = Resource::kConnection;
  std::uint32_t uid_ = 0;
};

class Quota {
 public:
  struct Limit {
    std::uint32_t total, per_uid;
  };
  // In the order of Resource.
  explicit Quota(std::array<Limit, kResources> limits) : limits_(limits) {}

  // Nothing when the uid's share or the total is used up.
  [[nodiscard]] std::optional<Charge> take(Resource resource, std::uint32_t uid);
  [[nodiscard]] std::uint32_t total(Resource resource) const {
    return totals_[static_cast<std::size_t>(resource)];
  }

 private:
  friend class Charge;
  void give_back(Resource resource, std::uint32_t uid);

  std::array<Limit, kResources> limits_;
  std::array<std::uint32_t, kResources> totals_{};
  std::unordered_map<std::uint32_t, std::array<std::uint32_t, kResources>> by_uid_;
};

}  // namespace keyd::daemon
