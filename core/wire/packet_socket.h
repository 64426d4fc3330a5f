// One packet of a Unix SOCK_SEQPACKET socket, sent or received whole, with what the kernel says about its
// sender. Used by both ends. Never blocks longer than the socket's own mode does.
#pragma once

#include <cstdint>
#include <optional>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::wire {

// Who sent a packet, in the kernel's words (SO_PASSCRED, SO_PASSPIDFD). Not yet judged: see
// kernel/peer_identity.h.
struct SenderMark {
  bool has_credentials = false;
  std::int32_t pid = 0;
  std::uint32_t uid = 0, gid = 0;
  UniqueFd pidfd;  // invalid where the kernel gave none (unsupported, or the sender was reaped)
};

enum class ReceiveOutcome {
  kPacket,      // `size` octets are in the buffer
  kWouldBlock,  // nothing there yet
  kEnd,         // the peer closed
  kTooLong,     // larger than the buffer; the packet is gone
  kBroken,      // a system call failed: errno in `system`
};

struct Received {
  ReceiveOutcome outcome = ReceiveOutcome::kBroken;
  std::size_t size = 0;
  int system = 0;
  SenderMark sender;
  // The first two that were passed along (SCM_RIGHTS); any others are closed at once.
  UniqueFd descriptor, second_descriptor;
};

// Receives one packet into `buffer`. Descriptors are taken close-on-exec. An empty packet counts as the end.
[[nodiscard]] Received receive_packet(int socket, MutableByteView buffer);

// Descriptors that go along with a packet; -1: none. They stay the sender's.
struct Enclosed {
  constexpr Enclosed(int one = -1, int another = -1) : first(one), second(another) {}
  [[nodiscard]] constexpr std::size_t count() const { return first < 0 ? 0 : second < 0 ? 1 : 2; }
  int first, second;  // a second one goes only behind a first
};

// Sends one packet. True when it left whole; else errno says why (EAGAIN: the peer does not read). Never
// raises SIGPIPE.
[[nodiscard]] bool send_packet(int socket, ByteView packet, Enclosed enclosed = {});

}  // namespace keyd::wire
