// What the kernel delivers beside a packet, over a real socket pair: credentials, a pidfd, any number of
// descriptors, packets of every size into buffers of every size. No descriptor is ever lost or taken twice,
// and who sent it is who sent it.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/kernel/peer_identity.h"
#include "core/kernel/pidfd.h"
#include "core/wire/packet_socket.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {
namespace {

constexpr std::size_t kMostDescriptors = 8;

// How many descriptors this process has open (Linux 6.2).
off_t open_descriptors() {
  struct stat st{};
  must(::stat("/proc/self/fd", &st) == 0 && st.st_size > 0);
  return st.st_size;
}

// sendmsg(2) by hand: descriptors in up to two headers, credentials that the script may lie about.
bool send_by_hand(int socket, ByteView packet, std::size_t first, std::size_t second, bool credentials) {
  alignas(cmsghdr) std::array<std::uint8_t, 512> control{};
  iovec part{const_cast<std::uint8_t*>(packet.data()), packet.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  std::size_t used = 0;
  const auto header_at = [&](int type, std::size_t size) {
    auto* const header = reinterpret_cast<cmsghdr*>(control.data() + used);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(size);
    used += CMSG_SPACE(size);
    return CMSG_DATA(header);
  };
  for (const std::size_t count : {first, second}) {
    if (count == 0) continue;
    std::array<int, kMostDescriptors> fds{};
    fds.fill(STDERR_FILENO);
    std::copy_n(reinterpret_cast<const std::uint8_t*>(fds.data()), count * sizeof(int),
                header_at(SCM_RIGHTS, count * sizeof(int)));
  }
  if (credentials) {
    const ucred own{::getpid(), ::getuid(), ::getgid()};
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&own), sizeof own,
                header_at(SCM_CREDENTIALS, sizeof own));
  }
  message.msg_controllen = used;
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

void pass_packets(Script script) {
  std::array<int, 2> ends{};
  must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
  const UniqueFd sender(ends[0]), receiver(ends[1]);
  const bool marked = (script.octet() & 1) != 0;
  if (marked) must(kernel::request_sender_marks(receiver.get()));
  static const auto own_inode = [] {
    const auto self = kernel::open_pidfd(::getpid());
    return self ? kernel::pidfs_inode(self->get()) : std::nullopt;
  }();

  while (!script.done()) {
    const std::uint8_t what = script.octet();
    const std::size_t first = what % (kMostDescriptors + 1), second = what >> 4 & 3;
    const ByteView packet = script.octets();
    const bool left = what == 0xff ? wire::send_packet(sender.get(), packet, STDERR_FILENO)
                                   : send_by_hand(sender.get(), packet, first, second, (what & 0x80) != 0);
    Bytes buffer(script.word() % 1024);
    const auto received = wire::receive_packet(receiver.get(), buffer);
    if (!left) {
      must(received.outcome == wire::ReceiveOutcome::kWouldBlock);
      continue;
    }
    const bool too_long = packet.size() > buffer.size();
    must(received.outcome == (too_long         ? wire::ReceiveOutcome::kTooLong
                              : packet.empty() ? wire::ReceiveOutcome::kEnd
                                               : wire::ReceiveOutcome::kPacket));
    if (!too_long) must(std::ranges::equal(packet, ByteView(buffer).first(received.size)));
    if (marked) {
      must(received.sender.has_credentials && received.sender.pid == ::getpid());
      must(received.sender.uid == ::getuid() && received.sender.gid == ::getgid());
      must(kernel::pidfs_inode(received.sender.pidfd.get()) == own_inode);
    } else {
      must(!received.sender.has_credentials && !received.sender.pidfd.valid());
    }
    if (first + second == 0 && what != 0xff) must(!received.descriptor.valid());
    if (received.descriptor.valid())
      must((::fcntl(received.descriptor.get(), F_GETFD) & FD_CLOEXEC) == FD_CLOEXEC);
  }
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 8192) return 0;
  const off_t before = keyd::fuzz::open_descriptors();
  keyd::fuzz::pass_packets(keyd::fuzz::Script({data, size}));
  keyd::fuzz::must(keyd::fuzz::open_descriptors() == before);
  return 0;
}
