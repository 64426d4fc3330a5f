#include "tests/adversarial/speakers.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <thread>
#include <vector>

#include "core/wire/packet_socket.h"
#include "tests/support/forked.h"

namespace keyd::testing {
namespace {

constexpr unsigned kStranger = 65534;

bool become_stranger() {
  return ::setresgid(kStranger, kStranger, kStranger) == 0 &&
         ::setresuid(kStranger, kStranger, kStranger) == 0;
}

// In a forked child, which exits with whether it could send.
template <typename Body>
bool in_child(Body body) {
  Forked child([&](Forked::Child&) { return body() ? 0 : 1; });
  return child.wait() == 0;
}

bool by_itself(int socket, ByteView packet) { return wire::send_packet(socket, packet); }

bool by_thread(int socket, ByteView packet) {
  bool sent = false;
  std::thread([&] { sent = by_itself(socket, packet); }).join();
  return sent;
}

bool by_child(int socket, ByteView packet) {
  return in_child([&] { return by_itself(socket, packet); });
}

bool by_stranger(int socket, ByteView packet) {
  return in_child([&] { return become_stranger() && by_itself(socket, packet); });
}

bool by_receiver(int socket, ByteView packet) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) return false;
  Forked receiver([&](Forked::Child&) {
    ::close(socket);  // what it inherited; it is handed its own
    std::array<std::uint8_t, 16> buffer{};
    const auto received = wire::receive_packet(pair[1], buffer);
    return received.descriptor.valid() && by_itself(received.descriptor.get(), packet) ? 0 : 1;
  });
  const Bytes hello{1};
  const bool handed = wire::send_packet(pair[0], hello, socket);
  const bool sent = receiver.wait() == 0;
  ::close(pair[0]);
  ::close(pair[1]);
  return handed && sent;
}

bool by_root_as_another_process(int socket, ByteView packet) {
  return send_as(socket, packet, ::getppid(), 0, 0);
}
bool by_root_as_another_uid(int socket, ByteView packet) {
  return send_as(socket, packet, ::getpid(), kStranger, 0);
}
bool by_root_as_another_gid(int socket, ByteView packet) {
  return send_as(socket, packet, ::getpid(), 0, kStranger);
}

bool by_stranger_as_its_parent(int socket, ByteView packet) {
  return in_child(
      [&] { return become_stranger() && send_as(socket, packet, ::getppid(), kStranger, kStranger); });
}
bool by_stranger_as_root(int socket, ByteView packet) {
  return in_child([&] { return become_stranger() && send_as(socket, packet, ::getpid(), 0, 0); });
}

bool with_descriptors(int socket, ByteView packet) { return send_as(socket, packet, ::getpid(), 0, 0, 7); }

const Speaker kSpeakers[] = {
    {"the process itself", Verdict::kHeard, by_itself},
    {"a thread of it", Verdict::kHeard, by_thread},
    {"a forked child", Verdict::kRefused, by_child},
    {"a forked child of another uid", Verdict::kRefused, by_stranger},
    {"a process that was handed the socket", Verdict::kRefused, by_receiver},
    {"root in the name of another process", Verdict::kRefused, by_root_as_another_process},
    {"root in the name of another uid", Verdict::kRefused, by_root_as_another_uid},
    {"root in the name of another gid", Verdict::kRefused, by_root_as_another_gid},
    {"an unprivileged child in its parent's name", Verdict::kNotLetOut, by_stranger_as_its_parent},
    {"an unprivileged child in root's name", Verdict::kNotLetOut, by_stranger_as_root},
    {"the process itself, with descriptors", Verdict::kNotOrHeard, with_descriptors},
};

}  // namespace

std::span<const Speaker> speakers() { return kSpeakers; }

bool send_as(int socket, ByteView packet, int pid, unsigned uid, unsigned gid, int descriptors) {
  const ucred credentials{pid, uid, gid};
  const std::vector<int> passed(static_cast<std::size_t>(descriptors), STDIN_FILENO);
  const std::size_t passed_size = passed.size() * sizeof(int);
  iovec part{const_cast<std::uint8_t*>(packet.data()), packet.size()};
  alignas(cmsghdr) std::array<std::uint8_t, 256> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(sizeof credentials) + (passed.empty() ? 0 : CMSG_SPACE(passed_size));
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof credentials);
  std::memcpy(CMSG_DATA(header), &credentials, sizeof credentials);
  if (!passed.empty()) {
    header = CMSG_NXTHDR(&message, header);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(passed_size);
    std::memcpy(CMSG_DATA(header), passed.data(), passed_size);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(packet.size());
}

}  // namespace keyd::testing
