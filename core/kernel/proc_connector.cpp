#include "core/kernel/proc_connector.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstddef>
#include <cstring>

namespace keyd::kernel {
namespace {

constexpr int kReceiveBuffer = 8 << 20;  // octets; a burst of some 20 000 events

// nlmsghdr | cn_msg | proc_event: where the event's kind is, for the filter and the reader.
constexpr std::uint32_t kEventOffset = NLMSG_HDRLEN + sizeof(cn_msg);
constexpr std::uint32_t kWhatOffset = kEventOffset + offsetof(proc_event, what);

// Drops everything but exec, uid and gid events in the kernel: forks and exits would fill the buffer.
bool attach_filter(int socket) {
  // A classic BPF load is big-endian; the field is in the machine's order.
  const std::array<sock_filter, 6> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kWhatOffset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(proc_event::PROC_EVENT_EXEC), 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(proc_event::PROC_EVENT_UID), 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(proc_event::PROC_EVENT_GID), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
  sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  return ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

bool subscribe(int socket) {
  struct {
    nlmsghdr netlink;
    alignas(NLMSG_ALIGNTO) std::array<std::uint8_t, sizeof(cn_msg) + sizeof(std::uint32_t)> body;
  } request{};
  request.netlink.nlmsg_len = NLMSG_LENGTH(request.body.size());
  request.netlink.nlmsg_type = NLMSG_DONE;
  cn_msg header{};
  header.id.idx = CN_IDX_PROC;
  header.id.val = CN_VAL_PROC;
  header.len = sizeof(std::uint32_t);
  const std::uint32_t operation = PROC_CN_MCAST_LISTEN;
  std::memcpy(request.body.data(), &header, sizeof header);
  std::memcpy(request.body.data() + sizeof header, &operation, sizeof operation);
  return ::send(socket, &request, request.netlink.nlmsg_len, 0) ==
         static_cast<ssize_t>(request.netlink.nlmsg_len);
}

// Has a child exec this very program (silenced, and killed as soon as it was seen): the event proves the
// whole way from the kernel to this socket.
bool sees_an_exec(ProcConnector& connector) {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    ::execl("/proc/self/exe", "keyd", "--version", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  bool seen = false;
  std::vector<ProcessEvent> events;
  for (int waited = 0; waited < 20 && !seen; ++waited) {
    pollfd entry{connector.descriptor(), POLLIN, 0};
    ::poll(&entry, 1, 50);
    events.clear();
    if (!connector.drain(events)) break;
    for (const ProcessEvent& event : events) seen |= event.tgid == static_cast<std::uint32_t>(child);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return seen;
}

}  // namespace

Result<ProcConnector> ProcConnector::open() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR));
  if (!socket.valid()) return fail_errno(Code::kUnsupported, "no process connector");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(Code::kUnsupported, "cannot join the process connector");
  }
  // Without CAP_NET_ADMIN the buffer is as large as the system lets anybody's be; when it overflows, drain()
  // says so.
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) != 0) {
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  }
  if (!attach_filter(socket.get()) || !subscribe(socket.get())) {
    return fail_errno(Code::kUnsupported, "cannot subscribe to the process connector");
  }
  ProcConnector connector(std::move(socket));
  if (!sees_an_exec(connector)) {
    return fail(Code::kUnsupported, "the process connector tells nothing here (not the initial namespaces?)");
  }
  return connector;
}

bool ProcConnector::drain(std::vector<ProcessEvent>& out) {
  std::array<std::uint8_t, 1024> buffer;
  for (;;) {
    sockaddr_nl from{};
    socklen_t from_size = sizeof from;
    const ssize_t got = ::recvfrom(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &from_size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (from.nl_pid != 0) continue;  // only the kernel tells
    proc_event event{};
    const std::size_t available = static_cast<std::size_t>(got);
    if (available < kEventOffset + offsetof(proc_event, event_data) + sizeof(event.event_data.exec)) continue;
    std::memcpy(&event, buffer.data() + kEventOffset, std::min(sizeof event, available - kEventOffset));
    switch (event.what) {
      case proc_event::PROC_EVENT_EXEC:
        out.push_back(
            {ProcessEvent::Kind::kExec, static_cast<std::uint32_t>(event.event_data.exec.process_tgid)});
        break;
      case proc_event::PROC_EVENT_UID:
      case proc_event::PROC_EVENT_GID:
        out.push_back(
            {ProcessEvent::Kind::kCredentials, static_cast<std::uint32_t>(event.event_data.id.process_tgid)});
        break;
      default: break;
    }
  }
}

}  // namespace keyd::kernel
