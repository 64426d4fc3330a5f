// The whole of keyd against a script of what peers do: connections that come and go, honest steps of the
// exchange and of a session, and the same steps changed, repeated, out of order or made up. Every packet is
// answered or ends its connection; only the proof of the right password brings COMPLETE, a session is never
// served twice by one record, and when all have hung up nothing is held.
#include <array>
#include <memory>
#include <optional>

#include "core/wire/message_codec.h"
#include "core/wire/packet_socket.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"
#include "tests/fuzz/scene.h"
#include "tests/fuzz/server_scene.h"

namespace keyd::fuzz {
namespace {

constexpr int kMostSteps = 16;

using daemon::Door;
using exchange::RecordType;

// A client's end of a connection to keyd.sock.
class Peer {
 public:
  explicit Peer(Script& script) : script_(script), socket_(scene().connect(Door::kClients)) {}

  void step() {
    switch (script_.octet() % 12) {
      case 0: send_start(); break;
      case 1: send_proof(kPassword); break;
      case 2: send_proof("incorrect horse"); break;
      case 3: send_request(); break;
      case 4: send_plaintext(); break;
      case 5: repeat_record(); break;
      case 6: ask_for_table(); break;
      case 7: ask(made_up()); break;
      case 8: ask(Bytes(wire::kMaxPacket + script_.octet() % 2, script_.octet())); break;
      case 9: send_altered_proof(); break;
      case 10: send_out_of_order(); break;
      case 11: repeat_packet(); break;
    }
  }
  [[nodiscard]] bool open() const { return socket_.valid(); }

 private:
  static ServerScene& scene() { return ServerScene::instance(); }

  // Sends a packet and gives the answer; nothing when the connection has ended.
  std::optional<wire::ServerPacket> ask(ByteView packet, bool proves = false) {
    if (packet.empty() || !wire::send_packet(socket_.get(), packet)) {
      hang_up();
      return std::nullopt;
    }
    last_packet_.assign(packet.begin(), packet.end());
    static Bytes buffer(wire::kMaxPacket);
    wire::Received received;
    // Whatever it was, keyd says something to it or hangs up.
    must(scene().run_until([&] {
      received = wire::receive_packet(socket_.get(), buffer);
      return received.outcome != wire::ReceiveOutcome::kWouldBlock;
    }));
    if (received.outcome != wire::ReceiveOutcome::kPacket) {
      hang_up();
      return std::nullopt;
    }
    answer_.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(received.size));
    wire::ServerPacket message;
    must(wire::decode(answer_, message) == wire::Decoded::kMessage);
    must(message.body_case() != wire::ServerPacket::BODY_NOT_SET);
    must(!message.has_finished() || proves || administered);
    must(message.has_table() == received.descriptor.valid());
    must(message.has_table() == received.second_descriptor.valid());
    return message;
  }
  void hang_up() {
    socket_.reset();
    channel_.reset();
    machine_.reset();
    scene().run_ready();
  }

  ByteView made_up() {
    made_up_ = script_.octets();
    return made_up_;
  }

  void send_start() {
    const std::uint8_t how = script_.octet();
    wire::ChallengeStart wanted = choice(how % kVariants);
    wanted.clear_renews();
    if ((how & 0x80) != 0) wanted.set_renews(session_id_);
    if ((how & 0x60) == 0x60) wanted.set_user("nobody");
    machine_.emplace(wanted);
    FixedRandom random('C');
    const auto start = machine_->start(std::ref(random));
    numbers_taken_ = false;
    if (!start) return;
    const auto reply = ask(*start);
    if (!reply || !reply->has_challenge_numbers()) return;
    must(scene().own_state() == (channel_ ? table::TaskState::kComplete : table::TaskState::kPending));
    must(machine_->take_numbers(answer_, reply->challenge_numbers()).has_value());
    numbers_taken_ = true;
    right_user_ = wanted.user() == "ada";
  }

  void send_proof(std::string_view password) {
    if (!machine_) return;
    const auto proof = machine_->prove(bytes_of(password));
    if (!proof) return;
    const bool right = password == kPassword && right_user_ && numbers_taken_;
    const auto reply = ask(*proof, right);
    if (!reply || !reply->has_finished()) return;
    auto channel = machine_->finish(answer_, bytes_of(reply->finished()));
    must(channel.has_value() && scene().own_state() == table::TaskState::kComplete);
    channel_ = std::move(*channel);
    session_id_ = machine_->session_id();
    last_record_.clear();
  }

  // The proof of the right password with one octet changed, in what is proved.
  void send_altered_proof() {
    if (!machine_) return;
    const auto proof = machine_->prove(bytes_of(kPassword));
    wire::ClientPacket packet;
    if (!proof || wire::decode(*proof, packet) != wire::Decoded::kMessage) return;
    std::string& record = *packet.mutable_finished();
    const std::uint8_t change = script_.octet();
    record[script_.octet() % record.size()] ^= static_cast<char>(change == 0 ? 1 : change);
    ask(wire::encode(packet));
  }

  std::optional<wire::SessionReply> ask_sealed(ByteView plaintext) {
    const auto record = channel_->seal(RecordType::kSession, plaintext);
    if (!record) return std::nullopt;
    wire::ClientPacket packet;
    packet.set_record(record->data(), record->size());
    last_record_ = wire::encode(packet);
    const auto reply = ask(last_record_);
    if (!reply || !reply->has_record()) return std::nullopt;
    auto opened = channel_->open(RecordType::kSession, bytes_of(reply->record()));
    must(opened.has_value());
    wire::SessionReply message;
    ByteView payload;
    must(wire::decode_session(opened->reveal(), message, payload));
    must(message.body_case() != wire::SessionReply::BODY_NOT_SET);
    if (message.has_credential()) must(text_of(payload) == kCredentialValue || administered);
    if (message.has_whoami()) must(message.whoami().user() == "ada" || administered);
    return message;
  }

  // A request as the library makes it, and what follows from its answer.
  void send_request() {
    wire::SessionRequest request;
    const std::uint8_t what = script_.octet();
    const Bytes ours = fresh('c');
    const std::string random(ours.begin(), ours.end());
    switch (what % 8) {
      case 0: request.mutable_whoami(); break;
      case 1: request.mutable_rekey()->set_random(random); break;
      case 2: request.mutable_end(); break;
      case 3: request.mutable_credential()->set_name(std::string(kCredential)); break;
      case 4: request.mutable_credential_names(); break;
      case 5: request.mutable_plan_exec()->set_random(random); break;
      case 6: request.mutable_adopt()->set_random(random); break;
      case 7: request.mutable_echo(); break;
    }
    if (!channel_) return;
    const auto reply = ask_sealed(wire::encode_session(request, script_.take(what >> 4)).reveal());
    if (!reply) return;
    if (reply->has_rekey()) {
      channel_->advance(ours, bytes_of(reply->rekey().random()));
    } else if (reply->has_plan_exec()) {
      must(!handed_over_);
      channel_->advance(ours, bytes_of(reply->plan_exec().random()));
      handed_over_ = true;
    } else if (reply->has_adopt()) {
      must(handed_over_);
      channel_->advance_for_new_image(ours, bytes_of(reply->adopt().random()));
      handed_over_ = false;
    } else {
      must(!handed_over_ || reply->has_refused());
    }
  }

  // Any octets as the plaintext of the next record. Its answer may have moved keyd to another epoch: the
  // channel is of no more use to the script's honest steps.
  void send_plaintext() {
    const ByteView plaintext = script_.octets();
    if (!channel_) return;
    const auto reply = ask_sealed(plaintext);
    if (reply && (reply->has_rekey() || reply->has_plan_exec() || reply->has_adopt())) hang_up();
  }

  void repeat_record() {
    if (last_record_.empty()) return;
    const auto reply = ask(last_record_);
    must(!reply || reply->has_refused());
  }

  // A packet of each kind that begins or ends something, whatever the phase, around any octets.
  void send_out_of_order() {
    wire::ClientPacket packet;
    const std::uint8_t kind = script_.octet();
    const std::string octets(text_of(script_.take(kind >> 2)));
    switch (kind % 3) {
      case 0: packet.set_finished(octets); break;
      case 1: packet.set_record(octets); break;
      case 2: packet.mutable_challenge_start()->set_client_random(octets); break;
    }
    const auto reply = ask(wire::encode(packet));
    must(!reply || reply->has_refused() || reply->has_denied());
  }

  void repeat_packet() {
    if (!last_packet_.empty()) ask(Bytes(last_packet_));
  }

  void ask_for_table() {
    wire::ClientPacket packet;
    packet.mutable_table();
    ask(wire::encode(packet));
  }

 public:
  static inline bool administered = false;

 private:
  Script& script_;
  UniqueFd socket_;
  Bytes answer_, last_packet_, last_record_;
  ByteView made_up_;
  std::optional<exchange::ChallengeClient> machine_;
  std::optional<exchange::SecureChannel> channel_;
  std::string session_id_ = std::string(wire::kSessionIdSize, 'r');
  bool numbers_taken_ = false, right_user_ = false, handed_over_ = false;
};

// An administrator's request of any octets, with or without its secret. True when it has changed the store.
bool administer(Script& script) {
  ServerScene& scene = ServerScene::instance();
  const UniqueFd socket = scene.connect(Door::kAdministrators);
  const ByteView packet = script.octets();
  if (packet.empty() || !wire::send_packet(socket.get(), packet)) return false;
  wire::AdminRequest request;
  const bool decoded = wire::decode(packet, request) == wire::Decoded::kMessage;
  if (decoded && request.secret_follows()) {
    scene.run_ready();
    const ByteView secret = script.octets();
    if (secret.empty() || !wire::send_packet(socket.get(), secret)) return false;
  }
  Bytes answer(wire::kMaxAdminReply);
  wire::Received received;
  must(scene.run_until([&] {
    received = wire::receive_packet(socket.get(), answer);
    return received.outcome != wire::ReceiveOutcome::kWouldBlock;
  }));
  must(received.outcome == wire::ReceiveOutcome::kPacket);
  wire::AdminReply reply;
  must(wire::decode(ByteView(answer).first(received.size), reply) == wire::Decoded::kMessage);
  must(decoded || reply.has_refused());
  must(reply.secret_follows() == reply.has_verifier());
  if (reply.secret_follows()) {
    must(scene.run_until([&] {
      received = wire::receive_packet(socket.get(), answer);
      return received.outcome != wire::ReceiveOutcome::kWouldBlock;
    }));
    must(received.outcome == wire::ReceiveOutcome::kPacket &&
         received.size <= reply.verifier().modulus().size());
  }
  return reply.has_done();
}

void play(Script script) {
  std::array<std::optional<Peer>, 2> peers;
  bool changed = false;
  Peer::administered = false;
  for (int steps = 0; steps < kMostSteps && !script.done(); ++steps) {
    const std::uint8_t who = script.octet();
    if (who >= 0xf0) {
      Peer::administered = true;
      changed |= administer(script);
      continue;
    }
    auto& peer = peers[who & 1];
    if (who >= 0xe0) peer.reset();
    if (!peer || !peer->open()) peer.emplace(script);
    peer->step();
  }
  for (auto& peer : peers) peer.reset();
  ServerScene::instance().settle(Peer::administered, changed);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  (void)keyd::fuzz::ServerScene::instance();
  const keyd::fuzz::LockedMemoryBalance balance;
  keyd::fuzz::play(keyd::fuzz::Script({data, size}));
  return 0;
}
