// Shares the event loop between accounts: in one turn of the loop an account has a few requests served at
// once; what more of its connections bring waits until everybody else had theirs. A uid with thousands of
// busy connections delays another's request by a few of its own, not by all. Event loop only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <unordered_map>

#include "keyd/fair_queue.h"

namespace keyd::daemon {

class FairTurns {
 public:
  static constexpr unsigned kPerTurn = 4;  // requests of one account

  explicit FairTurns(boost::asio::io_context& loop) : loop_(loop) {}
  FairTurns(const FairTurns&) = delete;
  FairTurns& operator=(const FairTurns&) = delete;

  using Job = std::move_only_function<void()>;
  // Runs `job` now, or in a later turn of its account.
  void run(AccountId account, Job job);

 private:
  void end_turn();

  boost::asio::io_context& loop_;
  std::unordered_map<AccountId, unsigned> served_;  // in this turn
  FairQueue<Job> waiting_;
  bool turn_has_end_ = false;  // the end of this turn is posted behind what is ready now
};

}  // namespace keyd::daemon
