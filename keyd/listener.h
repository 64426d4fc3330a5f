// One listening socket: accepts what comes, some at a time, and hands it on. Out of descriptors or memory it
// pauses; those who wait stay in the kernel's backlog. Event loop only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>

#include "core/base/unique_fd.h"

namespace keyd::daemon {

class Listener {
 public:
  using Admit = std::function<void(UniqueFd socket)>;  // close-on-exec, non-blocking
  Listener(boost::asio::io_context& loop, UniqueFd socket, Admit admit);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void open();   // begins to accept
  void close();  // refuses everybody from now on

 private:
  void wait();
  void accept_some();

  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer pause_;
  Admit admit_;
};

}  // namespace keyd::daemon
