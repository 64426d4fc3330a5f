// One thing at a time for each user: what reads a user's record, thinks about it on another thread, and writes it
// back. Others' work goes on meanwhile. Event loop only. At most one for each connection waits.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

namespace keyd::daemon {

class UserLanes {
 public:
  // Held while the work is under way; the next begins when it goes.
  using Turn = std::shared_ptr<void>;
  using Work = std::move_only_function<void(Turn)>;

  // Runs `work(turn)`, at once when nobody else's work for `user` is under way.
  void enter(const std::string& user, Work work) {
    const auto [lane, is_free] = lanes_.try_emplace(user);
    if (is_free) {
      work(turn_of(user));
    } else {
      lane->second.push_back(std::move(work));
    }
  }

 private:
  Turn turn_of(const std::string& user) {
    return {nullptr, [this, user, alive = std::weak_ptr<void>(alive_)](void*) {
              if (!alive.expired()) leave(user);
            }};
  }
  void leave(const std::string& user) {
    const auto lane = lanes_.find(user);
    if (lane->second.empty()) {
      lanes_.erase(lane);
      return;
    }
    Work next = std::move(lane->second.front());
    lane->second.pop_front();
    next(turn_of(user));
  }

  std::unordered_map<std::string, std::deque<Work>> lanes_;  // of users whose turn it is: those who wait
  std::shared_ptr<void> alive_ = std::make_shared<int>();    // first to go
};

}  // namespace keyd::daemon
