#include "keyd/worker_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace keyd::daemon {

WorkerPool::WorkerPool(boost::asio::io_context& loop, unsigned threads) : loop_(loop) {
  try {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  } catch (...) {
    stop();  // those that could be started
    throw;
  }
}

WorkerPool::~WorkerPool() { stop(); }

void WorkerPool::stop() {
  FairQueue<Job> dropped;  // destroyed unlocked: what they hold may want to post again
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    std::swap(dropped, jobs_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::enqueue(AccountId account, Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push(account, std::move(job));
  }
  wake_.notify_one();
}

void WorkerPool::run() {
  ::pthread_setname_np(::pthread_self(), "keyd-worker");
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 19);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job job = jobs_.pop();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace keyd::daemon
