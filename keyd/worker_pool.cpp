#include "keyd/worker_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace keyd::daemon {

WorkerPool::WorkerPool(boost::asio::io_context& loop, unsigned threads) : loop_(loop) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queues_.clear();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::enqueue(std::uint32_t uid, Job job) {
  {
    const std::lock_guard lock(mutex_);
    auto queue = std::ranges::find(queues_, uid, &Queue::uid);
    if (queue == queues_.end()) queue = queues_.insert(queues_.end(), Queue{uid, {}});
    queue->jobs.push_back(std::move(job));
  }
  wake_.notify_one();
}

void WorkerPool::run() {
  ::pthread_setname_np(::pthread_self(), "keyd-worker");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !queues_.empty(); });
    if (stopping_) return;
    // One job of the uid at the front; with more of them it goes to the back.
    Job job = std::move(queues_.front().jobs.front());
    queues_.front().jobs.pop_front();
    if (queues_.front().jobs.empty()) {
      queues_.pop_front();
    } else {
      queues_.splice(queues_.end(), queues_, queues_.begin());
    }
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace keyd::daemon
