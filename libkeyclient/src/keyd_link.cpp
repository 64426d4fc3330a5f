#include "libkeyclient/src/keyd_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/base/clock.h"
#include "core/base/untrusted_text.h"
#include "core/wire/packet_socket.h"

namespace keyd::client {

Outcome<KeydLink> KeydLink::connect(const Target& target) {
  const std::string path = target.runtime_dir + "/keyd.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return failed(KEYCLIENT_INVALID, "the runtime directory's name is too long for a socket");
  path.copy(address.sun_path, path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid())
    return failed(KEYCLIENT_BUSY, std::string("cannot make a socket: ") + std::strerror(errno));
  const std::uint64_t deadline = boot_now() + target.timeout_ms * kMillisecond;
  while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    // EAGAIN: keyd's backlog is full; it will not be for long.
    if ((errno == EAGAIN || errno == EINTR) && boot_now() < deadline) {
      ::poll(nullptr, 0, 2);
      continue;
    }
    return failed(KEYCLIENT_UNREACHABLE, "cannot reach keyd at " + escape(path) + ": " +
                                             std::strerror(errno) + "; is keyd running?");
  }
  return KeydLink(std::move(socket), target.timeout_ms);
}

Outcome<void> KeydLink::wait_for(short events, std::uint64_t deadline) {
  for (;;) {
    const std::uint64_t now = boot_now();
    if (now >= deadline) return failed(KEYCLIENT_DEADLINE, "keyd did not answer in time");
    pollfd entry{socket_.get(), events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>((deadline - now) / kMillisecond) + 1);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR)
      return failed(KEYCLIENT_INTERNAL, std::string("poll: ") + std::strerror(errno));
  }
}

bool KeydLink::send(ByteView packet) { return wire::send_packet(socket_.get(), packet); }

Outcome<std::optional<ServerAnswer>> KeydLink::poll() {
  ServerAnswer answer;
  answer.packet.resize(wire::kMaxPacket);
  auto received = wire::receive_packet(socket_.get(), answer.packet);
  if (received.outcome == wire::ReceiveOutcome::kWouldBlock) return std::nullopt;
  usable_ = false;
  switch (received.outcome) {
    case wire::ReceiveOutcome::kPacket:
      answer.packet.resize(received.size);
      answer.descriptor = std::move(received.descriptor);
      answer.second_descriptor = std::move(received.second_descriptor);
      if (wire::decode(answer.packet, answer.message) != wire::Decoded::kMessage) {
        return failed(KEYCLIENT_INVALID, "keyd's answer is not of this library's protocol version");
      }
      usable_ = true;
      return answer;
    case wire::ReceiveOutcome::kEnd:
      return failed(
          KEYCLIENT_GONE,
          "keyd has closed the connection: it was restarted, or has ended the session; authenticate again");
    case wire::ReceiveOutcome::kTooLong: return failed(KEYCLIENT_INVALID, "keyd's answer is too long");
    default:
      return failed(KEYCLIENT_INTERNAL,
                    std::string("cannot receive from keyd: ") + std::strerror(received.system));
  }
}

Outcome<ServerAnswer> KeydLink::ask(ByteView packet) {
  const std::uint64_t deadline = boot_now() + timeout_ms_ * kMillisecond;
  usable_ = false;  // until the answer is here
  while (!send(packet)) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (auto writable = wait_for(POLLOUT, deadline); !writable) return std::unexpected(writable.error());
    } else if (errno == EPIPE || errno == ECONNRESET) {
      break;  // what keyd said before it closed can still be read
    } else {
      return failed(KEYCLIENT_INTERNAL, std::string("cannot send to keyd: ") + std::strerror(errno));
    }
  }
  for (;;) {
    auto answer = poll();
    if (!answer) return std::unexpected(answer.error());
    if (*answer) return std::move(**answer);
    if (auto readable = wait_for(POLLIN, deadline); !readable) return std::unexpected(readable.error());
  }
}

}  // namespace keyd::client
