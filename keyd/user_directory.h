// Users as the exchanges see them: the store behind a bounded cache of records, sealed ones. Known and
// unknown names are cached alike, so that how fast an answer comes tells nothing about whether a user exists.
// Event loop only.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "keyd/store_thread.h"

namespace keyd::daemon {

// A null record is a name that nobody has.
using UserPtr = std::shared_ptr<const StoredUser>;

class UserDirectory {
 public:
  static constexpr std::size_t kCached = 4096;  // names

  explicit UserDirectory(StoreThread& store) : store_(store) {}

  // Calls `done` with the record of `name`, at once when it is cached, else when the store has answered,
  // asked on behalf of `account`.
  void find(AccountId account, const std::string& name, std::function<void(Result<UserPtr>)> done);
  // The record has changed, or may have: the next find asks the store. To be called when a change is durable,
  // before anybody is told of it.
  void forget(const std::string& name);

 private:
  struct Entry {
    std::string name;
    UserPtr user;
  };
  void remember(const std::string& name, UserPtr user);

  StoreThread& store_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_name_;
};

}  // namespace keyd::daemon
