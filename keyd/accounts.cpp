// subuid(5): one range a line, "login name or uid : first : count".
#include "keyd/accounts.h"

#include <pwd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <system_error>
#include <tuple>

#include "core/base/untrusted_text.h"

namespace keyd::daemon {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The part before the next ':', which is cut off.
std::string_view next_field(std::string_view& rest) {
  const std::size_t colon = rest.find(':');
  const std::string_view field = rest.substr(0, colon);
  rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
  return field;
}

std::optional<std::uint32_t> uid_by_name(const std::string& name) {
  const passwd* const entry = ::getpwnam(name.c_str());
  return entry == nullptr ? std::nullopt : std::optional(entry->pw_uid);
}

}  // namespace

Result<Accounts> Accounts::load(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    if (errno == ENOENT) return Accounts();
    return fail_errno(Code::kBroken, "cannot read " + escape(path) + " (limits.subordinate_uids)");
  }
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) return fail_errno(Code::kBroken, "cannot read " + escape(path));
  return parse(text.str(), uid_by_name);
}

Accounts Accounts::parse(std::string_view text, const UidOfName& uid_of_name) {
  constexpr std::uint64_t kUids = std::uint64_t{1} << 32;
  Accounts accounts;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty() || line.front() == '#') continue;
    const std::string owner(next_field(line));
    const auto first = number(next_field(line)), count = number(next_field(line));
    if (!first || !count || *count == 0 || *first >= kUids || *count > kUids - *first || !line.empty() ||
        accounts.ranges_.size() == kMaxRanges) {
      ++accounts.passed_over_;
      continue;
    }
    auto uid = number(owner);
    if (!uid) uid = uid_of_name(owner);
    if (!uid || *uid >= kUids) {
      ++accounts.passed_over_;
      continue;
    }
    accounts.ranges_.push_back({static_cast<std::uint32_t>(*first),
                                static_cast<std::uint32_t>(*first + *count - 1),
                                static_cast<std::uint32_t>(*uid)});
  }
  // Of ranges that overlap, the one that begins first stands: a uid has one owner.
  std::ranges::sort(accounts.ranges_, {},
                    [](const Range& range) { return std::tuple(range.first, range.last, range.owner); });
  std::vector<Range> disjoint;
  for (const Range& range : accounts.ranges_) {
    if (disjoint.empty() || range.first > disjoint.back().last) {
      disjoint.push_back(range);
    } else {
      ++accounts.passed_over_;
    }
  }
  accounts.ranges_ = std::move(disjoint);
  return accounts;
}

AccountId Accounts::account_of(std::uint32_t uid) const {
  // root is never anybody's subordinate, whatever the file says.
  if (uid == 0) return uid;
  const auto after = std::ranges::upper_bound(ranges_, uid, {}, &Range::first);
  if (after == ranges_.begin()) return uid;
  const Range& range = *(after - 1);
  return uid <= range.last ? range.owner : uid;
}

}  // namespace keyd::daemon
