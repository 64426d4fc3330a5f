// Pairs (b, g^b) for `srp`, drawn ahead on worker threads, so that a login costs two exponentiations instead of three.
// Each is given once. Of the one group that new verifiers are made in: for others a worker draws one when it is needed.
// Event loop only.
#pragma once

#include <deque>
#include <functional>

#include "core/exchange/srp_numbers.h"
#include "keyd/quota.h"
#include "keyd/worker_pool.h"

namespace keyd::daemon {

class EphemeralPool {
 public:
  // The account of what is drawn ahead: (uid_t)-1, which is nobody's.
  static constexpr AccountId kAhead = 0xffffffff;

  EphemeralPool(WorkerPool& workers, unsigned group_bits, std::size_t size)
      : workers_(workers), group_(exchange::SrpGroup::listed(group_bits)), size_(size) {}

  // Begins to fill it.
  void start() { refill(); }

  // Calls `done` with a pair in `group`: at once when there is one, else when a worker has drawn it on behalf of
  // `account`.
  void draw(AccountId account, const exchange::SrpGroup& group,
            std::move_only_function<void(Result<exchange::EphemeralPair>)> done);

  [[nodiscard]] std::size_t ready() const { return pairs_.size(); }

 private:
  // Unless it is full, or one is being drawn. After a failure the next exchange tries again.
  void refill();
  void keep(Result<exchange::EphemeralPair> pair);

  WorkerPool& workers_;
  Result<exchange::SrpGroup> group_;
  std::size_t size_;  // pairs
  std::deque<exchange::EphemeralPair> pairs_;
  bool drawing_ = false;  // one at a time: other work of the workers comes in between
};

}  // namespace keyd::daemon
