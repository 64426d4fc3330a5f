// The one thread that touches the user store. One queue an account, served in turn; an account's jobs run in
// order. Completions run on the event loop in the order in which their jobs ran.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include "keyd/fair_queue.h"
#include "keyd/user_store.h"

namespace keyd::daemon {

// The queue of everything that writes the counts of failed tries, whoever caused it: counts are absolute, and
// an older one must not be written after a newer. No account has this number.
inline constexpr AccountId kTriesQueue = 0xffffffff;

class StoreThread {
 public:
  StoreThread(boost::asio::io_context& loop, std::unique_ptr<UserStore> store);
  // Finishes the jobs that were posted, then stops.
  ~StoreThread();
  StoreThread(const StoreThread&) = delete;
  StoreThread& operator=(const StoreThread&) = delete;

  // Runs `job(store)`, which gives a Result, on the store's thread on behalf of `account`, then `done(result)` on the loop.
  template <typename Job, typename Done>
  void post(AccountId account, Job job, Done done) {
    enqueue(account, [this, job = std::move(job), done = std::move(done)]() mutable {
      // What `job` holds goes on the loop too, behind `done`.
      boost::asio::post(loop_,
                        [result = run_job(job), job = std::move(job), done = std::move(done)]() mutable {
                          done(std::move(result));
                          (void)&job;
                        });
    });
  }

 private:
  // A job that runs out of memory fails alone.
  template <typename Job>
  auto run_job(Job& job) -> decltype(job(std::declval<UserStore&>())) {
    try {
      return job(*store_);
    } catch (const std::bad_alloc& e) {
      return fail(Code::kExhausted, std::string("the store: ") + e.what());
    }
  }
  void enqueue(AccountId account, std::move_only_function<void()> job);
  void run();

  boost::asio::io_context& loop_;
  std::unique_ptr<UserStore> store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  FairQueue<std::move_only_function<void()>> jobs_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace keyd::daemon
