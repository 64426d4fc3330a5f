#include "core/kernel/peer_identity.h"

#include <sys/socket.h>

// Linux 6.5, 6.5, 6.16; Debian 12's headers are of 6.1.
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

namespace keyd::kernel {

std::string_view name_of(PeerOutcome outcome) {
  switch (outcome) {
    case PeerOutcome::kOk: return "ok";
    case PeerOutcome::kUnsupported: return "kernel-unsupported";
    case PeerOutcome::kGone: return "peer-gone";
    case PeerOutcome::kOtherNamespace: return "peer-in-other-pid-namespace";
    case PeerOutcome::kFailed: return "lookup-failed";
  }
  return "lookup-failed";
}

PeerOutcome open_peer(int socket, UniqueFd& out) {
  int raw = -1;
  socklen_t size = sizeof raw;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &raw, &size) != 0) {
    switch (errno) {
      case ENOPROTOOPT: return PeerOutcome::kUnsupported;
      case ESRCH:
      case EINVAL: return PeerOutcome::kGone;  // which of the two depends on the kernel's version
      case ENODATA: return PeerOutcome::kOtherNamespace;
      default: return PeerOutcome::kFailed;
    }
  }
  out.reset(raw);
  return PeerOutcome::kOk;
}

PeerOutcome identify_peer(int socket, PeerIdentity& out) {
  UniqueFd pidfd;
  if (const PeerOutcome outcome = open_peer(socket, pidfd); outcome != PeerOutcome::kOk) return outcome;
  const auto inode = pidfs_inode(pidfd.get());
  if (!inode) return PeerOutcome::kUnsupported;
  PidfdInfo info;
  switch (query_pidfd(pidfd.get(), info)) {
    case PidfdOutcome::kAlive: break;
    case PidfdOutcome::kGone: return PeerOutcome::kGone;
    case PidfdOutcome::kOtherNamespace: return PeerOutcome::kOtherNamespace;
    case PidfdOutcome::kUnsupported: return PeerOutcome::kUnsupported;
    case PidfdOutcome::kFailed: return PeerOutcome::kFailed;
  }
  // The ids at connect time are in SO_PEERCRED; they must still be the process's own, or it changed in
  // between.
  ucred at_connect{};
  socklen_t size = sizeof at_connect;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &at_connect, &size) != 0) return PeerOutcome::kFailed;
  if (at_connect.pid <= 0) return PeerOutcome::kOtherNamespace;
  if (at_connect.uid != info.ids.euid || at_connect.gid != info.ids.egid) return PeerOutcome::kFailed;
  PeerIdentity found;
  found.pidfd = std::move(pidfd);
  found.inode = *inode;
  found.pid = info.pid;
  found.ids = info.ids;
  out = std::move(found);
  return PeerOutcome::kOk;
}

bool request_sender_marks(int socket) {
  const int on = 1, off = 0;
  if (::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return false;
  if (::setsockopt(socket, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on) != 0) return false;
  // Optional: without it descriptors are received and closed at once.
  ::setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
  return true;
}

std::string_view name_of(SenderOutcome outcome) {
  switch (outcome) {
    case SenderOutcome::kPeer: return "peer";
    case SenderOutcome::kUnmarked: return "sender-unknown";
    case SenderOutcome::kOtherProcess: return "sender-is-another-process";
    case SenderOutcome::kChangedIds: return "sender-changed-credentials";
  }
  return "sender-unknown";
}

SenderOutcome check_sender(const wire::SenderMark& mark, const PeerIdentity& peer) {
  if (!mark.has_credentials || !mark.pidfd.valid()) return SenderOutcome::kUnmarked;
  const auto inode = pidfs_inode(mark.pidfd.get());
  if (!inode) return SenderOutcome::kUnmarked;
  if (*inode != peer.inode) return SenderOutcome::kOtherProcess;
  // The kernel marks messages with the real ids (current_uid_gid).
  if (mark.uid != peer.ids.ruid || mark.gid != peer.ids.rgid) return SenderOutcome::kChangedIds;
  return SenderOutcome::kPeer;
}

}  // namespace keyd::kernel
