// Stirs physical noise into the random generator: once before keyd gives out any number, then every minute on
// a worker thread, because a hardware generator may be slow.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "core/crypto/noise.h"
#include "keyd/worker_pool.h"

namespace keyd::daemon {

class NoiseKeeper {
 public:
  NoiseKeeper(boost::asio::io_context& loop, WorkerPool& workers, bool raw_sources);

  // Stirs at once and starts the clock. An error when getrandom(2) fails.
  [[nodiscard]] Result<void> start();
  // False since a stirring failed: no number may be generated.
  [[nodiscard]] bool trustworthy() const { return trustworthy_; }

 private:
  void wait();
  void report(const Result<crypto::NoiseCollector::Report>& result, bool first);

  WorkerPool& workers_;
  boost::asio::steady_timer timer_;
  crypto::NoiseCollector collector_;  // used by one stirring at a time
  bool trustworthy_ = false;
};

}  // namespace keyd::daemon
