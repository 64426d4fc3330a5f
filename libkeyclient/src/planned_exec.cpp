#include "libkeyclient/src/planned_exec.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string>

#include "core/secret/memfd_secret.h"

namespace keyd::client {
namespace {

constexpr std::size_t kPage = 4096;

// memfd_secret can be mapped but not read or written.
class Mapping {
 public:
  Mapping(int fd, int protection) : at_(::mmap(nullptr, kPage, protection, MAP_SHARED, fd, 0)) {}
  ~Mapping() {
    if (valid()) ::munmap(at_, kPage);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] bool valid() const { return at_ != MAP_FAILED; }
  [[nodiscard]] std::uint8_t* octets() const { return static_cast<std::uint8_t*>(at_); }

 private:
  void* at_;
};

bool is_connected_packet_socket(int fd) {
  int type = 0, domain = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) return false;
  size = sizeof domain;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

}  // namespace

std::optional<SessionDescriptors> parse_session_variable(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto number = [](std::string_view digits, int& out) {
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size() && out > STDERR_FILENO;
  };
  SessionDescriptors found{-1, -1};
  const bool fine = number(text.substr(0, colon), found.socket) && number(text.substr(colon + 1), found.keys);
  if (!fine || found.socket == found.keys) return std::nullopt;
  return found;
}

Outcome<UniqueFd> make_key_descriptor(std::size_t size) {
  if (size > kPage) std::abort();
  auto fd = secret::make_memfd_secret(kPage);
  if (!fd) return std::unexpected(failure_of(fd.error()));
  return std::move(*fd);
}

Outcome<void> store_handover(int keys, ByteView handover) {
  const Mapping page(keys, PROT_READ | PROT_WRITE);
  if (!page.valid()) return failed(KEYCLIENT_BUSY, "cannot map secret memory (RLIMIT_MEMLOCK)");
  std::copy(handover.begin(), handover.end(), page.octets());
  return {};
}

Outcome<void> keep_over_exec(int fd) {
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0 || ::fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) != 0) {
    return failed(KEYCLIENT_INTERNAL, "cannot keep a descriptor over the exec");
  }
  return {};
}

Outcome<Inherited> take_inherited(std::size_t handover_size) {
  const char* const variable = ::secure_getenv(kSessionVariable);
  if (variable == nullptr)
    return failed(KEYCLIENT_NOT_FOUND, "no session was left to this program (KEYD_SESSION is not set)");
  const auto named = parse_session_variable(variable);
  ::unsetenv(kSessionVariable);
  // The numbers come from outside: what is not ours to take is left as it is.
  if (!named || !is_connected_packet_socket(named->socket) || !secret::is_memfd_secret(named->keys, kPage))
    return failed(KEYCLIENT_INVALID, "KEYD_SESSION does not name a connection and its keys");
  const UniqueFd key_fd(named->keys);
  Inherited inherited{UniqueFd(named->socket), {}};
  if (::fcntl(named->socket, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(named->keys, F_SETFD, FD_CLOEXEC) != 0)
    return failed(KEYCLIENT_INTERNAL, "cannot keep a descriptor from the next exec");
  const Mapping page(named->keys, PROT_READ | PROT_WRITE);
  if (!page.valid()) return failed(KEYCLIENT_BUSY, "cannot map secret memory (RLIMIT_MEMLOCK)");
  inherited.handover = secret::SecretBuffer(handover_size);
  std::copy_n(page.octets(), handover_size, inherited.handover.reveal().begin());
  // Whoever else was left the descriptor finds nothing there any more.
  secret::wipe(page.octets(), kPage);
  return inherited;
}

}  // namespace keyd::client
