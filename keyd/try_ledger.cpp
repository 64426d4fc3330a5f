// What always holds: an entry that names both a source and a user is counted in familiar_ when it is familiar,
// else in pairs_; an entry without failures is familiar, or on its way out.
#include "keyd/try_ledger.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace keyd::daemon {
namespace {

constexpr const char* kAnyUser = "";
constexpr const char* kFurtherNames = "\n";  // no name has a control character

// 1 s, doubled by every further step, at most `longest`.
std::uint64_t doubled(std::uint64_t steps, std::uint64_t longest) {
  return std::min(kSecond << std::min<std::uint64_t>(steps, 30), longest);
}

template <typename Map>
std::uint32_t counted(const Map& map, const typename Map::key_type& key) {
  const auto found = map.find(key);
  return found == map.end() ? 0 : found->second;
}

template <typename Map>
void take_one(Map& map, const typename Map::key_type& key) {
  if (const auto found = map.find(key); found != map.end() && --found->second == 0) map.erase(found);
}

}  // namespace

TryLedger::TryLedger(Limits limits, const std::vector<TryCount>& stored, BootTime now) : limits_(limits) {
  for (const TryCount& row : stored) {
    const Key key{row.user, row.source};
    if (counts_.size() == kMaxCounts || counts_.contains(key)) continue;
    counts_[key] = {row.failures, row.familiar, false, now, now};
    if (row.familiar) {
      ++familiar_[row.user];
    } else if (row.source != kAnySource && !row.user.empty()) {
      ++pairs_[row.source];
    }
  }
}

std::uint64_t TryLedger::delay_of(const Key& key, const Count& count) const {
  const std::uint64_t n = count.failures;
  if (key.source == kAnySource)
    return n < limits_.per_user ? 0 : doubled(n / limits_.per_user - 1, kLongestForUser);
  if (key.user == kAnyUser)
    return n < limits_.per_source ? 0 : doubled(n / limits_.per_source - 1, kLongestForSource);
  return n < limits_.free ? 0 : doubled(n - limits_.free, limits_.longest);
}

void TryLedger::fade(Count& count, BootTime now) const {
  while (count.failures > 0 && now - count.halved >= kHalfLife) {
    count.failures /= 2;
    count.halved += kHalfLife;
  }
  if (count.failures == 0) count.halved = now;
}

TryLedger::Count* TryLedger::find(const Key& key, BootTime now) {
  const auto found = counts_.find(key);
  if (found == counts_.end()) return nullptr;
  fade(found->second, now);
  return &found->second;
}

TryLedger::Key TryLedger::pair_of(TrySource source, const std::string& user) const {
  const Key pair{user, source};
  const bool has_own = counts_.contains(pair) || counted(pairs_, source) < kPairsPerSource;
  return has_own ? pair : Key{kFurtherNames, source};
}

std::uint64_t TryLedger::wait_before(TrySource source, const std::string& user, BootTime now) {
  const Key pair = pair_of(source, user), whole_source{kAnyUser, source}, whole_user{user, kAnySource};
  const Count* const known = find(pair, now);
  const bool familiar = known != nullptr && known->familiar;
  std::uint64_t wait = 0;
  for (const Key* key : {&pair, &whole_source, &whole_user}) {
    const Count* const count = find(*key, now);
    if (count == nullptr || (key == &whole_user && familiar)) continue;
    const std::uint64_t delay = delay_of(*key, *count);
    if (delay != 0 && count->last + delay > now) wait = std::max(wait, count->last + delay - now);
  }
  return wait;
}

bool TryLedger::first_refusal(TrySource source, const std::string& user) {
  // Where the pair has no count the wait is the source's or the user's.
  for (const Key& key : {pair_of(source, user), Key{kAnyUser, source}, Key{user, kAnySource}}) {
    if (const auto found = counts_.find(key); found != counts_.end())
      return !std::exchange(found->second.told, true);
  }
  return false;
}

TryCount TryLedger::add(const Key& key, BootTime now) {
  const auto [found, fresh] = counts_.emplace(key, Count{0, false, false, now, now});
  if (fresh && key.source != kAnySource && key.user != kAnyUser) ++pairs_[key.source];
  Count& count = found->second;
  fade(count, now);
  if (count.failures < UINT32_MAX) ++count.failures;
  count.last = now;
  count.told = false;
  return TryCount{key.source, key.user, count.failures, count.familiar};
}

std::vector<TryCount> TryLedger::failed(TrySource source, const std::string& user, BootTime now) {
  std::vector<TryCount> rows;
  if (counts_.size() + 3 > kMaxCounts) make_room(rows);
  for (const Key& key : {pair_of(source, user), Key{kAnyUser, source}, Key{user, kAnySource}})
    rows.push_back(add(key, now));
  return rows;
}

std::vector<TryCount> TryLedger::succeeded(TrySource source, const std::string& user, BootTime now) {
  const Key pair{user, source};
  auto found = counts_.find(pair);
  if (found != counts_.end() && found->second.familiar && found->second.failures == 0) return {};
  const bool room = counted(familiar_, user) < kFamiliarPerUser;
  if (found == counts_.end() && !room) return {};
  std::vector<TryCount> rows;
  if (found == counts_.end()) {
    if (counts_.size() + 1 > kMaxCounts) make_room(rows);
    found = counts_.emplace(pair, Count{}).first;
    ++pairs_[source];
  }
  Count& count = found->second;
  count = {0, count.familiar, false, now, now};
  if (!count.familiar && room) {
    count.familiar = true;
    ++familiar_[user];
    take_one(pairs_, source);
  }
  rows.push_back({source, user, 0, count.familiar});
  if (!count.familiar) erase(found);
  return rows;
}

void TryLedger::erase(Counts::iterator entry) {
  const auto& [key, count] = *entry;
  if (count.familiar) {
    take_one(familiar_, key.user);
  } else if (key.source != kAnySource && key.user != kAnyUser) {
    take_one(pairs_, key.source);
  }
  counts_.erase(entry);
}

template <typename Visit>
void TryLedger::each_of(const std::string& user, Visit visit) {
  for (auto it = counts_.lower_bound(Key{user, 0}); it != counts_.end() && it->first.user == user;) {
    visit(it++);
  }
}

void TryLedger::unlock(const std::string& user) {
  each_of(user, [this](Counts::iterator it) {
    it->second.failures = 0;
    if (!it->second.familiar) erase(it);
  });
}

void TryLedger::remove(const std::string& user) {
  each_of(user, [this](Counts::iterator it) { erase(it); });
}

std::vector<TryCount> TryLedger::sweep(BootTime now) {
  std::vector<TryCount> removed;
  for (auto it = counts_.begin(); it != counts_.end();) {
    const auto next = std::next(it);
    fade(it->second, now);
    if (it->second.failures == 0 && !it->second.familiar) {
      removed.push_back({it->first.source, it->first.user, 0, false});
      erase(it);
    }
    it = next;
  }
  return removed;
}

void TryLedger::make_room(std::vector<TryCount>& removed) {
  // A sixteenth goes: rare, and dear enough to be done in bulk. Where a user is at home goes last, then what has
  // failed most.
  std::vector<Counts::iterator> oldest;
  for (auto it = counts_.begin(); it != counts_.end(); ++it) oldest.push_back(it);
  const auto some = oldest.begin() + static_cast<std::ptrdiff_t>(oldest.size() / 16);
  std::ranges::nth_element(oldest, some, {}, [](const auto& it) {
    return std::tuple(it->second.familiar, it->second.failures, it->second.last);
  });
  for (auto it = oldest.begin(); it != some; ++it) {
    removed.push_back({(*it)->first.source, (*it)->first.user, 0, false});
    erase(*it);
  }
}

TryLedger::Standing TryLedger::standing(const std::string& user, BootTime now) {
  Standing standing;
  each_of(user, [&](Counts::iterator it) {
    fade(it->second, now);
    const std::uint64_t delay = delay_of(it->first, it->second);
    if (it->first.source == kAnySource) {
      standing.failures = it->second.failures;
    } else if (delay != 0 && it->second.last + delay > now) {
      ++standing.waiting;
    }
  });
  return standing;
}

}  // namespace keyd::daemon
