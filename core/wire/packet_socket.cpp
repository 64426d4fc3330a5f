#include "core/wire/packet_socket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>

// Linux 6.5; Debian 12's headers are of 6.1.
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

namespace keyd::wire {
namespace {

// Room for one ucred, one pidfd and a few descriptors somebody might pass; more is truncated and closed by
// the kernel.
constexpr std::size_t kControlSize =
    CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(4 * sizeof(int));

void take_descriptors(const cmsghdr* header, Received& into) {
  const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (std::size_t i = 0; i < count; ++i) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
    UniqueFd owned(fd);
    if (!into.descriptor.valid()) {
      into.descriptor = std::move(owned);
    } else if (!into.second_descriptor.valid()) {
      into.second_descriptor = std::move(owned);
    }
  }
}

void take_control(msghdr& message, Received& into) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS && header->cmsg_len >= CMSG_LEN(sizeof(ucred))) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
      into.sender.has_credentials = true;
      into.sender.pid = credentials.pid;
      into.sender.uid = credentials.uid;
      into.sender.gid = credentials.gid;
    } else if (header->cmsg_type == SCM_PIDFD && header->cmsg_len >= CMSG_LEN(sizeof(int))) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
      into.sender.pidfd.reset(fd >= 0 ? fd : -1);  // 6.12 gives a negative errno for a reaped sender
    } else if (header->cmsg_type == SCM_RIGHTS) {
      take_descriptors(header, into);
    }
  }
}

}  // namespace

Received receive_packet(int socket, MutableByteView buffer) {
  Received result;
  alignas(cmsghdr) std::array<std::uint8_t, kControlSize> control;
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  // ECONNRESET is said once, ahead of what the peer left: it closed without reading all that we sent. Its
  // last word still is in the queue.
  for (bool reset = false;;) {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got >= 0 || (errno != EINTR && (errno != ECONNRESET || reset))) break;
    reset |= errno == ECONNRESET;
  }
  if (got < 0) {
    result.system = errno;
    result.outcome = errno == EAGAIN || errno == EWOULDBLOCK ? ReceiveOutcome::kWouldBlock
                     : errno == ECONNRESET                   ? ReceiveOutcome::kEnd
                                                             : ReceiveOutcome::kBroken;
    return result;
  }
  take_control(message, result);
  result.size = static_cast<std::size_t>(got);
  result.outcome = (message.msg_flags & MSG_TRUNC) != 0 ? ReceiveOutcome::kTooLong
                   : got == 0                           ? ReceiveOutcome::kEnd
                                                        : ReceiveOutcome::kPacket;
  return result;
}

bool send_packet(int socket, ByteView packet, Enclosed enclosed) {
  iovec part{const_cast<std::uint8_t*>(packet.data()), packet.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(2 * sizeof(int))> control{};
  if (const std::size_t count = enclosed.count(); count != 0) {
    const std::array<int, 2> numbers{enclosed.first, enclosed.second};
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(header), numbers.data(), count * sizeof(int));
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(packet.size());
}

}  // namespace keyd::wire
