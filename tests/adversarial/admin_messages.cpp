#include "tests/adversarial/admin_messages.h"

#include "core/exchange/srp_group.h"

namespace keyd::testing {
namespace {

using Request = wire::AdminRequest;
using Reply = wire::AdminReply;

std::string modulus() { return std::string(text_of(exchange::SrpGroup::listed(1024)->modulus_octets())); }

// clang-format off
const AdminMessage kMessages[] = {
  {"user.add", [](Request& r) { r.mutable_user_add()->set_name("victim"); }, Reply::kRefused, "second"},
  {"user.passwd", [](Request& r) { r.mutable_user_passwd()->set_name("victim"); }, Reply::kDone, "victim"},
  {"user.enable", [](Request& r) { r.mutable_user_enable()->set_name("victim"); }, Reply::kDone},
  {"user.disable", [](Request& r) { r.mutable_user_disable()->set_name("victim"); }, Reply::kDone},
  {"user.unlock", [](Request& r) { r.mutable_user_unlock()->set_name("nobody else"); }, Reply::kRefused},
  {"user.remove", [](Request& r) { r.mutable_user_remove()->set_name("nobody else"); }, Reply::kRefused},
  {"user.show", [](Request& r) { r.mutable_user_show()->set_name("victim"); }, Reply::kUser},
  {"user.import", [](Request& r) { r.mutable_user_import()->set_name("victim"); }, Reply::kRefused,
   "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/"},
  {"user.list", [](Request& r) { r.mutable_user_list()->set_after("b"); }, Reply::kUsers},
  {"change-due", [](Request& r) { r.mutable_change_due()->set_name("victim"); }, Reply::kRefused},
  {"verifier.import", [](Request& r) {
     r.mutable_verifier_import()->set_name("victim");
     r.mutable_verifier_import()->set_salt("salt");
     r.mutable_verifier_import()->set_modulus(modulus());
     r.mutable_verifier_import()->set_generator("\x02"); }, Reply::kRefused, "a verifier"},
  {"verifier.export", [](Request& r) { r.mutable_verifier_export()->set_name("victim"); }, Reply::kRefused},
  {"credential.set", [](Request& r) {
     r.mutable_credential_set()->set_user("victim");
     r.mutable_credential_set()->set_name("of the victim"); }, Reply::kDone, "a value"},
  {"credential.list", [](Request& r) { r.mutable_credential_list()->set_name("victim"); }, Reply::kCredentials},
  {"credential.remove", [](Request& r) {
     r.mutable_credential_remove()->set_user("victim");
     r.mutable_credential_remove()->set_name("of nobody"); }, Reply::kRefused},
  {"revoke.process", [](Request& r) { r.mutable_revoke_process()->set_inode(~0ull >> 1); }, Reply::kRevoked},
  {"revoke.user", [](Request& r) { r.mutable_revoke_user()->set_name("victim"); }, Reply::kRevoked},
  {"health", [](Request& r) { r.mutable_health(); }, Reply::kHealth},
};
// clang-format on

}  // namespace

std::span<const AdminMessage> admin_messages() { return kMessages; }

Bytes packet_of(const AdminMessage& message) {
  wire::AdminRequest request;
  message.fill(request);
  request.set_secret_follows(message.secret != nullptr);
  return wire::encode(request);
}

Bytes secret_of(const AdminMessage& message) {
  const ByteView octets = bytes_of(message.secret == nullptr ? "" : message.secret);
  return {octets.begin(), octets.end()};
}

std::optional<wire::AdminReply> AdminConversation::hear() {
  const auto packet = raw.receive();
  wire::AdminReply reply;
  if (!packet || wire::decode(*packet, reply) != wire::Decoded::kMessage) return std::nullopt;
  return reply;
}

std::optional<wire::AdminReply> AdminConversation::ask(const AdminMessage& message) {
  if (!raw.send(packet_of(message))) return std::nullopt;
  if (message.secret != nullptr && !raw.send(secret_of(message))) return std::nullopt;
  return hear();
}

wire::RefusalCode AdminConversation::hear_last_refusal() {
  const auto reply = hear();
  if (!reply || !reply->has_refused() || !raw.closed_within(2)) return wire::REFUSAL_UNSPECIFIED;
  return reply->refused().code();
}

}  // namespace keyd::testing
