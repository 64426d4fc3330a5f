// Both ends of the challenge exchange with an attacker between them, who delivers, changes, repeats, holds
// back and makes up packets as the script says, and knows no password. Whatever the order: the server is
// established only when it took exactly what an honest client with the right password said, the client only
// when it took exactly what that server said, and neither end of a channel takes a record twice.
#include <algorithm>
#include <optional>

#include "core/wire/message_codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

using exchange::RecordType;
using exchange::SecureChannel;

constexpr std::string_view kWrongPassword = "incorrect horse";

class Conversation {
 public:
  explicit Conversation(Script script) : script_(script), client_(choice(script_.octet() % kVariants)) {}

  void run() {
    while (!script_.done()) step();
  }

 private:
  void step() {
    switch (script_.octet() % 8) {
      case 0: client_starts(); break;
      case 1: server_takes_start(delivered(said_by_client_)); break;
      case 2: client_takes_numbers(delivered(said_by_server_)); break;
      case 3: client_proves(script_.octet() % 4 != 3); break;
      case 4: server_judges(delivered(said_by_client_)); break;
      case 5: client_finishes(delivered(said_by_server_)); break;
      case 6: pass_record(); break;
      case 7: go_to_next_epoch(); break;
    }
  }

  // What the attacker hands over in place of `said`: most often the thing itself.
  Bytes delivered(const Bytes& said) {
    const std::uint8_t how = script_.octet();
    Bytes packet = said;
    if (how == 0xff) {
      const ByteView made_up = script_.octets();
      packet.assign(made_up.begin(), made_up.end());
    } else if (how >= 0xf0 && !packet.empty()) {
      packet[script_.word() % packet.size()] ^= script_.octet();
    } else if (how >= 0xe0) {
      packet.resize(packet.size() - std::min<std::size_t>(packet.size(), script_.octet()));
    }
    return packet;
  }

  void client_starts() {
    FixedRandom random('C');
    if (auto packet = client_.start(std::ref(random))) said_by_client_ = client_start_ = *packet;
  }

  void server_takes_start(const Bytes& octets) {
    wire::ClientPacket packet;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_challenge_start()) return;
    FixedRandom random('S');
    const auto reply = server_.challenge(octets, packet.challenge_start(), std::ref(random),
                                         [](ByteView, ByteView) { return true; });
    if (!reply) return;
    must(exchange::check_choice(server_.choice()).has_value());
    server_took_ = octets;
    said_by_server_ = server_numbers_ = *reply;
  }

  void client_takes_numbers(const Bytes& octets) {
    wire::ServerPacket packet;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_challenge_numbers()) return;
    if (client_.take_numbers(octets, packet.challenge_numbers())) client_took_ = octets;
  }

  void client_proves(bool right) {
    const auto packet = client_.prove(bytes_of(right ? kPassword : kWrongPassword));
    if (!packet) return;
    said_by_client_ = client_proof_ = *packet;
    knows_password_ = right;
  }

  void server_judges(const Bytes& octets) {
    wire::ClientPacket packet;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_finished()) return;
    if (!server_.verify(octets, bytes_of(packet.finished()), bytes_of(kPassword))) {
      must(!server_.confirm().has_value());
      return;
    }
    // An envelope may be written in more than one way around the same proof; what is proved may not.
    wire::ClientPacket honest;
    must(knows_password_ && server_took_ == client_start_ && client_took_ == server_numbers_);
    must(wire::decode(client_proof_, honest) == wire::Decoded::kMessage);
    must(honest.finished() == packet.finished());
    server_took_proof_ = octets;
    auto confirmation = server_.confirm();
    must(confirmation.has_value());
    said_by_server_ = server_confirmation_ = *confirmation;
    server_channel_ = server_.take_channel();
    must(!server_.confirm().has_value());
  }

  void client_finishes(const Bytes& octets) {
    wire::ServerPacket packet;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_finished()) return;
    auto channel = client_.finish(octets, bytes_of(packet.finished()));
    must(!client_.finish(octets, bytes_of(packet.finished())).has_value());
    if (!channel) return;
    wire::ServerPacket honest;
    must(wire::decode(server_confirmation_, honest) == wire::Decoded::kMessage);
    must(honest.finished() == packet.finished() && server_took_proof_ == client_proof_);
    client_channel_ = std::move(*channel);
  }

  // One record over the established channel, in either direction, and then the same once more.
  void pass_record() {
    if (!client_channel_ || !server_channel_) return;
    const bool to_server = (script_.octet() & 1) != 0;
    SecureChannel& sender = to_server ? *client_channel_ : *server_channel_;
    SecureChannel& receiver = to_server ? *server_channel_ : *client_channel_;
    const ByteView plaintext = script_.octets();
    const auto record = sender.seal(RecordType::kSession, plaintext);
    if (!record) return;
    const Bytes changed = delivered(*record);
    const auto opened = receiver.open(RecordType::kSession, changed);
    if (!opened) {  // dead from here on, whatever comes
      must(!receiver.open(RecordType::kSession, *record) && !receiver.seal(RecordType::kSession, {}));
      return;
    }
    must(changed == *record && std::ranges::equal(opened->reveal(), plaintext));
    if (script_.octet() % 4 == 3) must(!receiver.open(RecordType::kSession, *record));
  }

  void go_to_next_epoch() {
    if (!client_channel_ || !server_channel_ || client_channel_->epoch() != server_channel_->epoch()) return;
    client_channel_->advance(fresh('c'), fresh('s'));
    server_channel_->advance(fresh('c'), fresh('s'));
    must(client_channel_->epoch() == server_channel_->epoch());
  }

  Script script_;
  exchange::ChallengeClient client_;
  exchange::ChallengeServer server_;
  Bytes said_by_client_, said_by_server_;  // the last packet of each
  Bytes client_start_, client_proof_, server_numbers_, server_confirmation_;
  Bytes server_took_, client_took_, server_took_proof_;
  bool knows_password_ = false;
  std::optional<SecureChannel> client_channel_, server_channel_;
};

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  const keyd::fuzz::LockedMemoryBalance balance;
  keyd::fuzz::Conversation(keyd::fuzz::Script({data, size})).run();
  return 0;
}
