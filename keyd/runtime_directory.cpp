#include "keyd/runtime_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/base/untrusted_text.h"
#include "core/kernel/peer_identity.h"
#include "keyd/private_files.h"

namespace keyd::daemon {
namespace {
constexpr const char* kLock = "keyd.lock";
constexpr const char* kSockets[] = {"keyd.sock", "admin.sock"};
constexpr int kBacklog = 4096;  // the kernel bounds it by net.core.somaxconn
}  // namespace

Result<RuntimeDirectory> RuntimeDirectory::claim(const std::string& path) {
  auto directory = open_own_directory(path, 0755, false);
  if (!directory) return std::unexpected(directory.error());
  auto lock = open_own_file(directory->get(), kLock, O_RDWR | O_CREAT);
  if (!lock) {
    lock.error().detail = escape(path) + ": " + lock.error().detail;
    return std::unexpected(lock.error());
  }
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(Code::kRefused, "another keyd runs on " + escape(path) +
                                      "; stop it, or give this one a --runtime-dir of its own");
    }
    return fail_errno(Code::kBroken, "cannot lock " + escape(path));
  }
  return RuntimeDirectory(path, std::move(*directory), std::move(*lock));
}

Result<UniqueFd> RuntimeDirectory::listen(const std::string& name, mode_t mode, gid_t group) const {
  const std::string path = path_ + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(
        Code::kInvalid,
        fmt::format("{} is longer than a socket's name may be ({} octets); use a shorter --runtime-dir",
                    escape(path), sizeof address.sun_path - 1));
  }
  path.copy(address.sun_path, path.size());

  struct stat st{};
  if (::fstatat(directory_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISSOCK(st.st_mode) || st.st_uid != ::geteuid()) {
      return fail(Code::kRefused, escape(path) + " is in the way and is not keyd's socket; remove it");
    }
    ::unlinkat(directory_.get(), name.c_str(), 0);
  }
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno(Code::kBroken, "cannot make a socket");
  if (!kernel::request_sender_marks(socket.get())) {
    return fail_errno(Code::kUnsupported,
                      "this kernel cannot name the senders of messages (SO_PASSPIDFD, Linux 6.5)");
  }
  // Nobody can connect before the mode is right: it listens only afterwards.
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(Code::kBroken, "cannot bind " + escape(path));
  }
  if (group != static_cast<gid_t>(-1) &&
      ::fchownat(directory_.get(), name.c_str(), static_cast<uid_t>(-1), group, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno(Code::kBroken, "cannot give " + escape(path) + " to the admin group");
  }
  if (::fchmodat(directory_.get(), name.c_str(), mode, 0) != 0 || ::listen(socket.get(), kBacklog) != 0) {
    return fail_errno(Code::kBroken, "cannot listen on " + escape(path));
  }
  return socket;
}

void RuntimeDirectory::remove_sockets() const {
  for (const char* name : kSockets) ::unlinkat(directory_.get(), name, 0);
}

}  // namespace keyd::daemon
