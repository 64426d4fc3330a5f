#include "tools/keyadm/admin_link.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "core/base/untrusted_text.h"
#include "core/wire/packet_socket.h"

namespace keyd::keyadm {

Result<AdminLink> AdminLink::connect(const std::string& runtime_dir, int patience) {
  const std::string path = runtime_dir + "/admin.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(Code::kInvalid, "the runtime directory's name is too long for a socket");
  path.copy(address.sun_path, path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const timeval timeout{patience, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EACCES || errno == EPERM) {
      return fail(Code::kRefused, "only administrators may use " + escape(path) +
                                      "; run keyadm as root or as a member of the admin group");
    }
    return fail_errno(Code::kUnreachable,
                      "cannot reach keyd at " + escape(path) + " (is it running? see --runtime-dir)");
  }
  return AdminLink(std::move(socket), patience);
}

namespace {
// The one answer that a request has when it is not refused.
wire::AdminReply::BodyCase answer_to(const wire::AdminRequest& request) {
  switch (request.body_case()) {
    case wire::AdminRequest::kUserShow: return wire::AdminReply::kUser;
    case wire::AdminRequest::kUserList: return wire::AdminReply::kUsers;
    case wire::AdminRequest::kCredentialList: return wire::AdminReply::kCredentials;
    case wire::AdminRequest::kVerifierExport: return wire::AdminReply::kVerifier;
    case wire::AdminRequest::kRevokeProcess:
    case wire::AdminRequest::kRevokeUser: return wire::AdminReply::kRevoked;
    case wire::AdminRequest::kHealth: return wire::AdminReply::kHealth;
    default: return wire::AdminReply::kDone;
  }
}

std::unexpected<Error> something_else() {
  return fail(Code::kInvalid, "keyd answered something else than was asked; nothing is known to be done");
}

constexpr std::size_t kLargestSecret = 1024;  // octets: v of the largest group
}  // namespace

Result<std::size_t> AdminLink::receive(MutableByteView buffer) {
  const auto received = wire::receive_packet(socket_.get(), buffer);
  switch (received.outcome) {
    case wire::ReceiveOutcome::kPacket: return received.size;
    case wire::ReceiveOutcome::kTooLong: return something_else();
    case wire::ReceiveOutcome::kWouldBlock:
      return fail(Code::kDeadline, "keyd did not answer in " + std::to_string(patience_) +
                                       " s; is it stopped, or does it hang?");
    default:
      return fail(Code::kUnreachable,
                  "keyd has closed the connection; whether it did what was asked, keyadm cannot tell");
  }
}

Result<wire::AdminReply> AdminLink::ask(wire::AdminRequest request, const secret::SecretBuffer* secret) {
  auto reply = converse(std::move(request), secret);
  if (reply && reply->secret_follows()) return something_else();
  return reply;
}

Result<AdminLink::Answer> AdminLink::ask_for_secret(const wire::AdminRequest& request) {
  auto reply = converse(request, nullptr);
  if (!reply) return std::unexpected(reply.error());
  if (!reply->secret_follows()) return something_else();
  secret::SecretBuffer secret(kLargestSecret);
  const auto size = receive(secret.reveal());
  if (!size) return std::unexpected(size.error());
  secret.truncate(*size);
  return Answer{std::move(*reply), std::move(secret)};
}

Result<wire::AdminReply> AdminLink::converse(wire::AdminRequest request, const secret::SecretBuffer* secret) {
  request.set_secret_follows(secret != nullptr);
  // A send that fails because keyd has closed leaves what keyd said before it closed to be read.
  bool sent = wire::send_packet(socket_.get(), wire::encode(request));
  if (sent && secret != nullptr) sent = wire::send_packet(socket_.get(), secret->reveal());
  if (!sent && errno != EPIPE && errno != ECONNRESET)
    return fail_errno(Code::kUnreachable, "cannot send to keyd");
  Bytes buffer(wire::kMaxAdminReply);
  const auto size = receive(buffer);
  if (!size) return std::unexpected(size.error());
  wire::AdminReply reply;
  if (wire::decode(ByteView(buffer).first(*size), reply) != wire::Decoded::kMessage) {
    return fail(Code::kInvalid, "keyd's answer is of another version; use the keyadm that came with it");
  }
  if (reply.has_refused()) {
    return fail(reply.refused().code() == wire::REFUSAL_NOT_FOUND ? Code::kNotFound : Code::kRefused,
                escape_line(reply.refused().text()));
  }
  // Anything else is no success.
  if (reply.body_case() != answer_to(request)) return something_else();
  return reply;
}

}  // namespace keyd::keyadm
