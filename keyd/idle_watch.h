// Connections that owe keyd something: a request, while they have no session; or the reading of an answer.
// One period for all of them, so that the list is in the order in which their time runs out, and no timer is
// held for any. Event loop only.
#pragma once

#include <list>
#include <optional>

#include "core/base/clock.h"

namespace keyd::daemon {

class Connection;

class IdleWatch {
  struct Entry {
    Connection* connection;
    BootTime since;
  };

 public:
  // Where a connection stands in the list, kept by the connection: nothing while it owes nothing. The
  // connection must be released before it goes.
  using Place = std::optional<std::list<Entry>::iterator>;

  explicit IdleWatch(std::uint64_t period) : period_(period) {}

  // Its time begins, or begins anew.
  void begin(Connection& connection, Place& place, BootTime now) {
    if (place) {
      entries_.splice(entries_.end(), entries_, *place);
      (*place)->since = now;
    } else {
      place = entries_.insert(entries_.end(), {&connection, now});
    }
  }
  void release(Place& place) {
    if (place) entries_.erase(*place);
    place.reset();
  }
  // The connection whose time ran out first, or null.
  [[nodiscard]] Connection* overdue(BootTime now) const {
    if (entries_.empty() || entries_.front().since + period_ > now) return nullptr;
    return entries_.front().connection;
  }
  void set_period(std::uint64_t period) { period_ = period; }

 private:
  std::list<Entry> entries_;
  std::uint64_t period_;  // ns
};

}  // namespace keyd::daemon
