#include "keyd/listener.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/base/log.h"

namespace keyd::daemon {
namespace {

constexpr std::chrono::milliseconds kPause{100};
constexpr int kAtOnce = 64;

}  // namespace

Listener::Listener(boost::asio::io_context& loop, UniqueFd socket, Admit admit)
    : socket_(loop, socket.release()), pause_(loop), admit_(std::move(admit)) {}

void Listener::open() { wait(); }

void Listener::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  pause_.cancel();
}

void Listener::wait() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
    if (!ec) accept_some();
  });
}

void Listener::accept_some() {
  for (int i = 0; i < kAtOnce; ++i) {
    UniqueFd socket(::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.valid()) {
      admit_(std::move(socket));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    log::warn(fmt::format("cannot accept a connection: {}", std::strerror(errno)));
    pause_.expires_after(kPause);
    pause_.async_wait([this](boost::system::error_code ec) {
      if (!ec) wait();
    });
    return;
  }
  wait();
}

}  // namespace keyd::daemon
