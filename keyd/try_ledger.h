// Slows guessing down without letting a stranger lock anybody out. Failed tries are counted for the pair of
// source and user, for the source over all users, and for the user over all sources:
//
//   pair    after `free` failures each next try waits: 1 s, doubled by every further failure, up to `longest`
//   source  after `per_source` failures, over whatever names: 1 s, doubled by as many again, up to a minute
//   user    after `per_user` failures, from wherever: likewise, up to half a minute, and never for a source
//           from which the user has succeeded before. Somebody who fails on purpose delays himself, and
//           newcomers a little; not the user where the user is at home.
//
// A success clears its pair; every count halves with each hour that keyd runs. Names that nobody has are
// counted like any other, so that nothing here tells who exists.
//
// Counts survive a restart (UserStore::record_tries; a failure is durable before the peer hears of it). Times
// do not: a loaded count is treated as if its last failure had been at the start, so that neither a restart
// nor a jump of the wall clock shortens a wait. Event loop only; does no I/O of its own.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/clock.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

class TryLedger {
 public:
  struct Limits {
    std::uint32_t free = 5, per_source = 100, per_user = 200;  // failures
    std::uint64_t longest = 900 * kSecond;                     // ns
  };
  static constexpr std::size_t kMaxCounts = 65536;
  // Beyond these a source's further names have one count together, with a pair's waits.
  static constexpr std::uint32_t kPairsPerSource = 256;
  static constexpr std::uint32_t kFamiliarPerUser = 64;  // sources
  static constexpr std::uint64_t kHalfLife = 3600 * kSecond;
  static constexpr std::uint64_t kLongestForSource = 60 * kSecond, kLongestForUser = 30 * kSecond;

  TryLedger(Limits limits, const std::vector<TryCount>& stored, BootTime now);

  // How long this source has to wait before it may try this user, 0 for not at all. In nanoseconds.
  [[nodiscard]] std::uint64_t wait_before(TrySource source, const std::string& user, BootTime now);
  // True once for each wait: whoever logs it does so once.
  [[nodiscard]] bool first_refusal(TrySource source, const std::string& user);

  // What is to be stored after a try has failed, or succeeded (often nothing).
  [[nodiscard]] std::vector<TryCount> failed(TrySource source, const std::string& user, BootTime now);
  [[nodiscard]] std::vector<TryCount> succeeded(TrySource source, const std::string& user, BootTime now);
  // The administrator lifts what holds this user up (UserStore::unlock).
  void unlock(const std::string& user);
  // The user was removed (UserStore::remove): the next one by that name is another.
  void remove(const std::string& user);
  // What has faded away since, to be removed from the store. To be called now and then.
  [[nodiscard]] std::vector<TryCount> sweep(BootTime now);

  struct Standing {
    std::uint32_t failures = 0;  // over all sources
    std::uint32_t waiting = 0;   // sources that have to wait
  };
  [[nodiscard]] Standing standing(const std::string& user, BootTime now);

  void set_limits(Limits limits) { limits_ = limits; }

 private:
  struct Key {
    std::string user;  // empty: any
    TrySource source;  // kAnySource: any
    auto operator<=>(const Key&) const = default;
  };
  struct Count {
    std::uint32_t failures = 0;
    bool familiar = false, told = false;
    BootTime last = 0;    // the last failure, or the load
    BootTime halved = 0;  // when the count was last halved
  };
  using Counts = std::map<Key, Count>;

  [[nodiscard]] std::uint64_t delay_of(const Key& key, const Count& count) const;
  Count* find(const Key& key, BootTime now);
  void fade(Count& count, BootTime now) const;
  // The key under which the source's failures at the user are counted: the pair, or what its further names have
  // together.
  [[nodiscard]] Key pair_of(TrySource source, const std::string& user) const;
  [[nodiscard]] TryCount add(const Key& key, BootTime now);
  void erase(Counts::iterator entry);
  // Calls `visit(iterator)` for each entry of the user; it may erase that entry.
  template <typename Visit>
  void each_of(const std::string& user, Visit visit);
  void make_room(std::vector<TryCount>& removed);

  Limits limits_;
  Counts counts_;  // in the order of users, so that one user's are neighbours
  std::unordered_map<TrySource, std::uint32_t> pairs_;       // of a source, familiar ones apart
  std::unordered_map<std::string, std::uint32_t> familiar_;  // sources of a user
};

}  // namespace keyd::daemon
