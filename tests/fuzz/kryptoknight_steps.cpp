// Both ends of kryptoknight with an attacker between them, who delivers, changes, repeats, holds back and
// makes up packets as the script says, and knows neither the password nor its hash. Whatever the order: the
// client says its password only to who knows the hash, the server takes only what an honest client said, and
// each end is established only when both took exactly what the other said.
#include <algorithm>
#include <optional>

#include "core/wire/message_codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/kryptoknight_scene.h"
#include "tests/fuzz/locked_memory_balance.h"

namespace keyd::fuzz {
namespace {

using exchange::RecordType;
using exchange::SecureChannel;

constexpr std::string_view kWrongPassword = "incorrect horse";

class Conversation {
 public:
  explicit Conversation(Script script)
      : script_(script),
        variant_(script_.octet() % kKryptoknightVariants),
        client_(kryptoknight_choice(variant_), small_limits()) {}

  void run() {
    while (!script_.done()) step();
  }

 private:
  void step() {
    switch (script_.octet() % 8) {
      case 0: client_starts(); break;
      case 1: server_takes_start(delivered(said_by_client_)); break;
      case 2: client_takes_reply(delivered(said_by_server_)); break;
      case 3: client_opens(script_.octet() % 4 != 3); break;
      case 4: client_says(script_.octet() % 4 != 3); break;
      case 5: server_judges(delivered(said_by_client_)); break;
      case 6: client_finishes(delivered(said_by_server_)); break;
      case 7: pass_command(); break;
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
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_kryptoknight_start()) return;
    FixedRandom random('S');
    const auto reply = server_.reply(octets, packet.kryptoknight_start(), kryptoknight_hash(variant_),
                                     kryptoknight_carriage(variant_), std::ref(random));
    if (!reply) return;
    must(exchange::check_start(server_.choice()).has_value());
    server_took_ = octets;
    said_by_server_ = server_reply_ = *reply;
  }

  void client_takes_reply(const Bytes& octets) {
    wire::ServerPacket packet;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_kryptoknight_reply()) return;
    if (client_.take_reply(octets, packet.kryptoknight_reply())) client_took_ = octets;
  }

  void client_opens(bool right) {
    const auto& how = client_.how();
    if (how.suite == wire::SUITE_UNSPECIFIED) return;
    auto hash = exchange::hash_password(bytes_of(right ? kPassword : kWrongPassword), how);
    if (!hash || !client_.open_session(std::move(*hash))) return;
    // The wrapped key is the server's, made for this client's nonces.
    must(right && !server_reply_.empty());
    if (variant_ < 3) must(server_took_ == client_start_);
    opened_ = true;
  }

  void client_says(bool right) {
    const auto packet = client_.send_password(bytes_of(right ? kPassword : kWrongPassword));
    if (!packet) return;
    must(opened_);
    said_by_client_ = client_password_ = *packet;
    says_password_ = right;
  }

  void server_judges(const Bytes& octets) {
    wire::ClientPacket packet, honest;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_kryptoknight_password())
      return;
    const auto password = server_.take_password(octets, packet.kryptoknight_password());
    if (!password) {
      must(!server_.confirm().has_value());
      return;
    }
    must(server_took_ == client_start_ && client_took_ == server_reply_);
    must(wire::decode(client_password_, honest) == wire::Decoded::kMessage);
    must(honest.kryptoknight_password().password() == packet.kryptoknight_password().password());
    must(honest.kryptoknight_password().finished() == packet.kryptoknight_password().finished());
    const auto is_right = exchange::is_password_of(server_.opened_by(), password->reveal());
    must(is_right.has_value() && *is_right == says_password_);
    if (!*is_right) return;
    server_took_password_ = octets;
    auto confirmation = server_.confirm();
    must(confirmation.has_value());
    said_by_server_ = server_confirmation_ = *confirmation;
    server_channel_ = server_.take_channel();
    must(!server_.confirm().has_value());
  }

  void client_finishes(const Bytes& octets) {
    wire::ServerPacket packet, honest;
    if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_finished()) return;
    auto channel = client_.finish(octets, bytes_of(packet.finished()));
    must(!client_.finish(octets, bytes_of(packet.finished())).has_value());
    if (!channel) return;
    must(wire::decode(server_confirmation_, honest) == wire::Decoded::kMessage);
    must(honest.finished() == packet.finished() && server_took_password_ == client_password_);
    client_channel_ = std::move(*channel);
  }

  // A command with a key of its own: both ends take the same one or the client refuses. Then a record under it.
  void pass_command() {
    if (!client_channel_ || !server_channel_ || client_channel_->epoch() != server_channel_->epoch()) return;
    const auto stored = kryptoknight_hash(variant_);
    const wire::Suite suite = client_.choice().suite();
    FixedRandom random('K');
    exchange::CommandKeyRequest request;
    const auto asked = request.ask(std::ref(random));
    must(asked.has_value());
    auto made = exchange::make_command_key(*asked, suite, stored.hash.reveal(),
                                           client_.choice().server_name(), std::ref(random));
    must(made.has_value());
    wire::WrappedKey answer;
    if (!answer.ParseFromString(
            std::string(text_of(delivered(text_octets(made->answer.SerializeAsString()))))))
      return;
    const auto key = request.take(answer, suite, stored.hash.reveal(), client_.choice().server_name());
    if (!key) return;
    must(answer.server_nonce() == made->answer.server_nonce() &&
         std::ranges::equal(key->reveal(), made->session_key.reveal()));
    const ByteView ns = bytes_of(answer.server_nonce());
    client_channel_->advance_with_key(request.client_nonce(), ns, key->reveal());
    server_channel_->advance_with_key(request.client_nonce(), ns, made->session_key.reveal());
    const ByteView plaintext = script_.octets();
    const auto record = client_channel_->seal(RecordType::kSession, plaintext);
    if (!record) return;
    const Bytes changed = delivered(*record);
    const auto opened = server_channel_->open(RecordType::kSession, changed);
    must(opened.has_value() == (changed == *record));
    if (opened) must(std::ranges::equal(opened->reveal(), plaintext));
    if (!opened) client_channel_.reset();
  }

  static Bytes text_octets(const std::string& text) { return {text.begin(), text.end()}; }

  Script script_;
  int variant_;
  exchange::KryptoknightClient client_;
  exchange::KryptoknightServer server_;
  Bytes said_by_client_, said_by_server_;  // the last packet of each
  Bytes client_start_, client_password_, server_reply_, server_confirmation_;
  Bytes server_took_, client_took_, server_took_password_;
  bool opened_ = false, says_password_ = false;
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
