// The service manager is told by its own protocol (sd_notify(3), "Notes"): one datagram to $NOTIFY_SOCKET.
// The library for it would bring five more into a daemon that holds every password (docs/decisions/0018).
#include "keyd/announcement.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/table/task_terms.h"

namespace keyd::daemon {
namespace {

// A service manager that is not there, or does not listen, is nobody's fault.
void tell_service_manager(const std::string& state) {
  const char* const path = ::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || (*path != '/' && *path != '@') || std::strlen(path) >= sizeof address.sun_path)
    return;
  const std::size_t size = std::strlen(path);
  std::memcpy(address.sun_path, path, size);
  if (*path == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  (void)::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size));
}

}  // namespace

void Announcement::ready(table::Tier tier) {
  if (parent_.valid()) {
    (void)!::write(parent_.get(), "R", 1);
    parent_.reset();
  } else {
    std::puts("keyd: ready");
    std::fflush(stdout);
  }
  serving(fmt::format("tier {}", table::name_of(tier)));
}

void Announcement::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  tell_service_manager(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                                   std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000));
}

void Announcement::serving(const std::string& status) { tell_service_manager("READY=1\nSTATUS=" + status); }
void Announcement::stopping() { tell_service_manager("STOPPING=1"); }

int Announcement::failed(const Error& error) {
  std::fprintf(stderr, "keyd: %s\n", error.message().c_str());
  return 1;
}

int into_background() {
  std::array<int, 2> ends{};
  const pid_t child = ::pipe2(ends.data(), O_CLOEXEC) != 0 ? -1 : ::fork();
  if (child < 0) {
    std::fprintf(stderr, "keyd: cannot go to the background: %s\n", std::strerror(errno));
    std::exit(1);
  }
  if (child == 0) {
    ::close(ends[0]);
    ::setsid();
    return ends[1];
  }
  ::close(ends[1]);
  char said = 0;
  const bool ready = ::read(ends[0], &said, 1) == 1;
  if (ready) std::puts("keyd: ready");
  std::fflush(stdout);
  ::_exit(ready ? 0 : 1);
}

}  // namespace keyd::daemon
