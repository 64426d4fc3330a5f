#include "keyd/store_thread.h"

#include <pthread.h>

namespace keyd::daemon {

StoreThread::StoreThread(boost::asio::io_context& loop, std::unique_ptr<UserStore> store)
    : loop_(loop), store_(std::move(store)), thread_([this] { run(); }) {}

StoreThread::~StoreThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void StoreThread::enqueue(AccountId account, std::move_only_function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push(account, std::move(job));
  }
  wake_.notify_one();
}

void StoreThread::run() {
  ::pthread_setname_np(::pthread_self(), "keyd-store");
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    auto job = jobs_.pop();
    lock.unlock();
    job();
    job = nullptr;  // what it captured goes before the next wait
    lock.lock();
  }
}

}  // namespace keyd::daemon
