// Who is at the other end of a Unix socket, and whether the sender of a message is that process. Every
// outcome has a name, and every outcome but kOk is a refusal: a look-up that failed never becomes a default
// identity (polkit CVE-2021-3560).
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/unique_fd.h"
#include "core/kernel/pidfd.h"
#include "core/wire/packet_socket.h"

namespace keyd::kernel {

struct PeerIdentity {
  UniqueFd pidfd;
  std::uint64_t inode = 0;  // pidfs inode: what names the process
  std::uint32_t pid = 0;    // for people
  TaskIds ids;
};

enum class PeerOutcome {
  kOk,
  kUnsupported,     // the kernel lacks SO_PEERPIDFD (6.5) or pidfs (6.9)
  kGone,            // the process that connected has exited
  kOtherNamespace,  // a sibling pid namespace: it has no number here
  kFailed,          // a system call failed in another way
};
[[nodiscard]] std::string_view name_of(PeerOutcome outcome);

// A pidfd of the process that connected to us on `socket`: one system call. Its inode, whether it still lives,
// and which ids it has are the caller's to ask (pidfd.h). Fills `out` only on kOk.
[[nodiscard]] PeerOutcome open_peer(int socket, UniqueFd& out);

// The process that connected to us on `socket`, alive, with the ids it had when it connected. Five
// system calls; fills `out` only on kOk.
[[nodiscard]] PeerOutcome identify_peer(int socket, PeerIdentity& out);

// Asks the kernel to mark every message that arrives on `socket` with its sender's credentials and pidfd. Set
// on a listener it holds for accepted sockets. Also forbids peers to pass descriptors where the kernel can
// (6.16).
[[nodiscard]] bool request_sender_marks(int socket);

enum class SenderOutcome {
  kPeer,          // sent by the process that connected, with the ids it had then
  kUnmarked,      // the kernel gave no credentials or no pidfd: reaped sender, or unsupported
  kOtherProcess,  // a child, or somebody who was handed the descriptor
  kChangedIds,    // the process, but its real uid or gid is another now
};
[[nodiscard]] std::string_view name_of(SenderOutcome outcome);

// Judges a message's sender against the connection's process.
[[nodiscard]] SenderOutcome check_sender(const wire::SenderMark& mark, const PeerIdentity& peer);

}  // namespace keyd::kernel
