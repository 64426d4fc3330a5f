// Whether the user store answers: one read and one durable write on the store's own thread, for keyadm
// health. A store that hangs (a dead disk, a network file system) still gets an answer within kPatience, and
// at most one probe waits for it, however many ask. Event loop only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "keyd/store_thread.h"

namespace keyd::daemon {

class StoreProbe {
 public:
  static constexpr std::chrono::milliseconds kPatience{700};

  struct Outcome {
    bool answered = false;
    std::string problem;                            // empty: it reads, and writes durably
    std::uint64_t waited = 0, read = 0, write = 0;  // microseconds: in the queue, and for each
  };
  using Done = std::move_only_function<void(const Outcome&)>;

  StoreProbe(boost::asio::io_context& loop, StoreThread& store) : loop_(loop), store_(store) {}

  // Calls `done` once, on the loop, within kPatience. Those who ask while a probe runs share its outcome.
  void ask(Done done);

 private:
  struct Asker {
    Asker(boost::asio::io_context& loop, Done to_call) : patience(loop), done(std::move(to_call)) {}
    void tell(const Outcome& outcome);
    boost::asio::steady_timer patience;
    Done done;
  };
  void begin();
  void gave_up(const std::shared_ptr<Asker>& asker);

  boost::asio::io_context& loop_;
  StoreThread& store_;
  std::vector<std::shared_ptr<Asker>> askers_;
  BootTime running_since_ = 0;  // 0: no probe runs
};

}  // namespace keyd::daemon
