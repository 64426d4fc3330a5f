// Who is charged for what a uid does. A uid is its own account; a subordinate uid (subuid(5)), which its
// owner has by the tens of thousands, is charged to its owner, so that nobody has more than one share of
// anything.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace keyd::daemon {

using AccountId = std::uint32_t;  // the uid of the one who is charged

class Accounts {
 public:
  static constexpr std::size_t kMaxRanges = 65536;

  // No uid is subordinate.
  Accounts() = default;
  // Reads a file in the format of /etc/subuid. A missing file means no subordinate uids, one that cannot be
  // read is an error; lines that say nothing usable, name an account that nobody has, or
  // overlap another are counted and passed over. Asks the account database: to be called before keyd gives
  // its rights away.
  [[nodiscard]] static Result<Accounts> load(const std::string& path);

  using UidOfName = std::function<std::optional<std::uint32_t>(const std::string&)>;
  // The same from the file's text.
  [[nodiscard]] static Accounts parse(std::string_view text, const UidOfName& uid_of_name);

  // The account of a uid: its owner where it is subordinate, itself otherwise. An owner may be subordinate to
  // nobody: ranges are not followed further.
  [[nodiscard]] AccountId account_of(std::uint32_t uid) const;

  [[nodiscard]] std::size_t ranges() const { return ranges_.size(); }
  [[nodiscard]] std::size_t passed_over() const { return passed_over_; }

 private:
  struct Range {
    std::uint32_t first, last, owner;
  };
  std::vector<Range> ranges_;  // disjoint, in ascending order
  std::size_t passed_over_ = 0;
};

}  // namespace keyd::daemon
