// A client that speaks keyd's wire format with its own hands, for saying what libkeyclient never would.
#pragma once

#include <optional>
#include <string>

#include "core/base/clock.h"
#include "core/exchange/challenge.h"
#include "core/exchange/kryptoknight.h"
#include "core/exchange/srp.h"
#include "core/wire/message_codec.h"
#include "core/wire/packet_socket.h"

namespace keyd::testing {

class RawClient {
 public:
  explicit RawClient(const std::string& runtime_dir, const std::string& socket = "keyd.sock");

  [[nodiscard]] bool connected() const { return socket_.valid(); }
  [[nodiscard]] int descriptor() const { return socket_.get(); }

  bool send(ByteView packet, int descriptor = -1);
  bool send(wire::ClientPacket packet);
  // The next packet, within `seconds`; nothing at the end of the connection or when time runs out.
  std::optional<Bytes> receive(double seconds = 30);
  // The next packet as a message; one without a body when there is none.
  wire::ServerPacket receive_message(double seconds = 30);
  // Whether keyd closes the connection within `seconds`, whatever it says before.
  bool closed_within(double seconds);

  // The exchange, step by step.
  static wire::ChallengeStart choice(const std::string& user);
  // Steps 1 and 2. False when something else than numbers came back: last_packet says what.
  bool start(const wire::ChallengeStart& choice);
  // Steps 3 to 5. True when the server proved itself too.
  bool prove(const std::string& password);
  // A first exchange's steps 1 and 2. While an earlier connection of this process is not noticed to have
  // ended yet, or keyd is behind with the kernel's events, connects anew and tries again, for 10 s.
  bool begin(const std::string& user);
  // The whole exchange, begun likewise.
  bool authenticate(const std::string& user, const std::string& password);
  // The proof, not sent.
  Bytes proof(const std::string& password);
  // A session request, sealed; its answer opened, or nothing.
  std::optional<wire::SessionReply> ask(const wire::SessionRequest& request, std::string* payload = nullptr);
  Bytes sealed(const wire::SessionRequest& request);

  // The exchange `kryptoknight`, step by step.
  static wire::KryptoknightStart knight_choice(const std::string& user,
                                               wire::Suite suite = wire::SUITE_MODERN);
  bool start(const wire::KryptoknightStart& choice);
  // A first exchange's start, tried again as begin() does.
  bool begin_knight(const wire::KryptoknightStart& choice);
  // The packet with the password, not sent; empty where keyd's hash is not that of `hashed` (the password itself,
  // unless something else is said).
  Bytes password_packet(const std::string& password, const std::string& hashed = {});
  // Sends it, and takes the confirmation.
  bool prove_knight(const std::string& password);
  bool authenticate_knight(const wire::KryptoknightStart& choice, const std::string& password);

  // The exchange `srp`: steps 1 to 4 leave it to be proved; false when something else came back.
  static wire::SrpStart srp_choice(const std::string& user, wire::Suite suite = wire::SUITE_MODERN);
  bool start(const wire::SrpStart& choice);
  bool begin_srp(const wire::SrpStart& choice);
  // Steps 5 to 8.
  bool prove_srp(const std::string& password);
  // A step's packet, and the answer to it as the next step's input.
  bool ask_srp(const Result<Bytes>& packet);
  [[nodiscard]] const Bytes& last_octets() const { return last_octets_; }

  wire::ServerPacket last_packet;
  std::optional<exchange::ChallengeClient> machine;
  std::optional<exchange::KryptoknightClient> knight;
  std::optional<exchange::SrpClient> srp;
  std::optional<exchange::SecureChannel> channel;

 private:
  bool finish();
  // Connects anew after a refusal that passes by itself; false for another one, and when it is too late.
  bool passes(BootTime deadline);
  template <typename Start>
  bool begin_with(Start start);
  Bytes last_octets_;
  std::string path_;
  UniqueFd socket_;
};

}  // namespace keyd::testing
