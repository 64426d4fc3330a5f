// A client that changes a password with its own hands, message by message, for saying what libkeyclient never would.
#pragma once

#include <optional>
#include <string>

#include "core/exchange/srp_password_change.h"
#include "tests/support/raw_client.h"

namespace keyd::testing {

class ChangingClient {
 public:
  explicit ChangingClient(const std::string& runtime_dir) : raw(runtime_dir) {}

  // A session by srp that declares that it can ask for a new password.
  bool log_in(const std::string& user, const std::string& password);

  // A request of the session with its payload, and what came back; nothing when no reply opened. A question that came
  // along is taken.
  struct Reply {
    wire::SessionReply message;
    Bytes payload;
    // REFUSAL_UNSPECIFIED: it is no refusal.
    [[nodiscard]] wire::RefusalCode refusal() const { return message.refused().code(); }
  };
  std::optional<Reply> ask(const wire::SessionRequest& request, ByteView payload = {});

  // Has keyd ask.
  bool be_asked();
  // The choice of an exchange about this session.
  [[nodiscard]] wire::SrpStart nested_choice() const;
  // One nested packet, a ClientPacket; the reply's payload, decoded, in `last_nested`.
  std::optional<Reply> ask_nested(wire::NestedPurpose purpose, ByteView packet);
  // A whole nested exchange with this password. Of a re-authentication the session's keys are the new ones then.
  bool nested(wire::NestedPurpose purpose, const std::string& password);
  // The packet of the answer with the verifier of this password, and the request around such a packet.
  [[nodiscard]] Bytes answer(const std::string& fresh) const;
  static wire::SessionRequest answer_request(ByteView packet);
  // Two hashes for the history that no password is known to have.
  static Bytes history_hashes(char seed = 'h') { return Bytes(64, static_cast<std::uint8_t>(seed)); }

  RawClient raw;
  std::string user, session_id;
  std::optional<exchange::PasswordChangeClient> change;
  wire::ServerPacket last_nested;
  Bytes last_nested_octets;

 private:
  bool ask_srp_nested(wire::NestedPurpose purpose, const Result<Bytes>& packet);
};

}  // namespace keyd::testing
