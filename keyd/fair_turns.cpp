#include "keyd/fair_turns.h"

#include <boost/asio/post.hpp>

namespace keyd::daemon {

void FairTurns::run(AccountId account, Job job) {
  if (!turn_has_end_) {
    turn_has_end_ = true;
    boost::asio::post(loop_, [this] { end_turn(); });
  }
  unsigned& served = served_[account];
  if (served < kPerTurn && !waiting_.has(account)) {
    ++served;
    job();
    return;
  }
  waiting_.push(account, std::move(job));
}

void FairTurns::end_turn() {
  turn_has_end_ = false;
  served_.clear();
  // As many as each account may have, one by one in turn. Whoever waits is not overtaken: run() looks.
  for (std::size_t left = waiting_.accounts() * kPerTurn; left > 0 && !waiting_.empty(); --left) {
    waiting_.pop()();
  }
  if (!waiting_.empty() && !turn_has_end_) {
    turn_has_end_ = true;
    boost::asio::post(loop_, [this] { end_turn(); });
  }
}

}  // namespace keyd::daemon
