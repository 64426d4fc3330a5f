// Why no stale record can be cached: the store runs one job after the other, and their completions come in
// the same order. A look-up that ran before a change completes before it, and forget() then removes what it
// left; one that ran after has the change.
#include "keyd/user_directory.h"

namespace keyd::daemon {

void UserDirectory::find(AccountId account, const std::string& name,
                         std::function<void(Result<UserPtr>)> done) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    done(found->second->user);
    return;
  }
  store_.post(
      account, [name](UserStore& store) { return store.find(name); },
      [this, name, done = std::move(done)](Result<std::optional<StoredUser>> result) {
        if (!result) {
          done(std::unexpected(result.error()));
          return;
        }
        UserPtr user = *result ? std::make_shared<const StoredUser>(std::move(**result)) : nullptr;
        remember(name, user);
        done(std::move(user));
      });
}

void UserDirectory::remember(const std::string& name, UserPtr user) {
  forget(name);
  entries_.push_front({name, std::move(user)});
  by_name_.emplace(entries_.front().name, entries_.begin());
  if (entries_.size() > kCached) {
    by_name_.erase(entries_.back().name);
    entries_.pop_back();
  }
}

void UserDirectory::forget(const std::string& name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return;
  const auto entry = found->second;
  by_name_.erase(found);
  entries_.erase(entry);
}

}  // namespace keyd::daemon
