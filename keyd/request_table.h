// The table of contents of keyd's protocol: what may be asked, in which phase of a connection, and who
// answers. What is not in these tables is denied; what is not allowed in the connection's phase is denied.
#pragma once

#include <span>
#include <string_view>

#include "keyd/connection.h"

namespace keyd::daemon {

class Server;

// A packet of keyd.sock, parsed, and its octets (for the transcript). Both die with the call.
struct ClientRequest {
  const wire::ClientPacket& message;
  ByteView packet;
};
struct ClientEntry {
  wire::ClientPacket::BodyCase type;
  std::string_view name;
  std::uint8_t phases;  // of Phase
  void (*handle)(Server&, Connection&, const ClientRequest&);
};
[[nodiscard]] std::span<const ClientEntry> client_requests();

// Inside a session's sealed channel. When a handler runs, the process has just been confirmed as COMPLETE.
struct SessionRequest {
  const wire::SessionRequest& message;
  ByteView payload;
};
struct SessionEntry {
  wire::SessionRequest::BodyCase type;
  std::string_view name;
  std::uint8_t phases;
  void (*handle)(Server&, Connection&, const SessionRequest&);
};
[[nodiscard]] std::span<const SessionEntry> session_requests();

// On admin.sock, where only administrators get at all.
enum class SecretNeed { kNone, kPassword, kCredential, kCryptString, kVerifier };
struct AdminEntry {
  wire::AdminRequest::BodyCase type;
  std::string_view name;
  SecretNeed secret;
  void (*handle)(Server&, Connection&, const wire::AdminRequest&, secret::SecretBuffer);
};
[[nodiscard]] std::span<const AdminEntry> admin_requests();

}  // namespace keyd::daemon
