// Threads for work that would keep the event loop waiting: reading slow noise sources, modular
// exponentiation and crypt(3) with the exchanges that need them. One queue an account, served in turn, so
// that one's work does not delay another's; the threads run at nice 19, so that they do not delay the loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "keyd/fair_queue.h"

namespace keyd::daemon {

class WorkerPool {
 public:
  WorkerPool(boost::asio::io_context& loop, unsigned threads);
  // Drops what has not begun, waits for what has.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Runs `work()` on a pool thread on behalf of `account`, then `done(result)` on the loop, where both are destroyed.
  template <typename Work, typename Done>
  void post(AccountId account, Work work, Done done) {
    enqueue(account, [this, work = std::move(work), done = std::move(done)]() mutable {
      // What `work` holds goes on the loop too, behind `done`: its destructors may be the loop's business.
      boost::asio::post(loop_, [result = work(), work = std::move(work), done = std::move(done)]() mutable {
        done(std::move(result));
        (void)&work;
      });
    });
  }

 private:
  using Job = std::move_only_function<void()>;
  void enqueue(AccountId account, Job job);
  void run();
  void stop();

  boost::asio::io_context& loop_;
  std::mutex mutex_;
  std::condition_variable wake_;
  FairQueue<Job> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // last
};

}  // namespace keyd::daemon
