// Threads for work that would keep the event loop waiting: reading slow noise sources today, modular
// exponentiation and crypt(3) with the exchanges that need them. One queue a uid, served in turn, so that one
// uid's work does not delay another's; the threads run at nice 19, so that they do not delay the loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

namespace keyd::daemon {

class WorkerPool {
 public:
  WorkerPool(boost::asio::io_context& loop, unsigned threads);
  // Drops what has not begun, waits for what has.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Runs `work()` on a pool thread on behalf of `uid`, then `done(result)` on the loop.
  template <typename Work, typename Done>
  void post(std::uint32_t uid, Work work, Done done) {
    enqueue(uid, [this, work = std::move(work), done = std::move(done)]() mutable {
      boost::asio::post(loop_,
                        [result = work(), done = std::move(done)]() mutable { done(std::move(result)); });
    });
  }

 private:
  using Job = std::move_only_function<void()>;
  struct Queue {
    std::uint32_t uid;
    std::deque<Job> jobs;
  };
  void enqueue(std::uint32_t uid, Job job);
  void run();

  boost::asio::io_context& loop_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Queue> queues_;  // those with work; the front is next
  bool stopping_ = false;
  std::vector<std::thread> threads_;  // last
};

}  // namespace keyd::daemon
