// Both ends of the srp exchange with an attacker between them, who delivers, changes, repeats, holds back and makes up
// packets as the script says, and knows no password. Whatever the order: the task is COMPLETE only when the server took
// exactly what an honest client with the right password said up to its Finished, and the client is established only
// when it took exactly what that server said.
//
// In a group of 62 bits, so that an input takes no more than a millisecond; what is under test is the order and the
// binding, not the size.
#include <algorithm>
#include <array>
#include <optional>

#include "core/exchange/srp.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"
#include "tests/fuzz/scene.h"
#include "tests/fuzz/srp_scene.h"

namespace keyd::fuzz {
namespace {

using namespace exchange;

constexpr std::size_t kSteps = 8;

class SrpConversation {
 public:
  explicit SrpConversation(Script script)
      : script_(script),
        choice_(srp_choice(script_.octet() % kSrpVariants)),
        client_(choice_, srp_policy()) {}

  void run() {
    while (!script_.done()) step(script_.octet() % (kSteps + 1));
  }

 private:
  void step(std::size_t number) {
    if (number == kSteps) return client_starts();
    const Bytes packet = delivered(number % 2 == 0 ? said_by_client_ : said_by_server_);
    const auto reply = number % 2 == 0 ? to_server(number, packet) : to_client(number, packet);
    if (!reply) return;
    took_[number] = packet;
    (number % 2 == 0 ? said_by_server_ : said_by_client_) = *reply;
    if (number + 1 < kSteps) said_[number + 1] = *reply;
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
    } else if (how >= 0xd0) {
      packet = said_[how % kSteps];
    }
    return packet;
  }

  void client_starts() {
    FixedRandom random('C');
    if (auto packet = client_.start(std::ref(random))) said_by_client_ = said_[0] = *packet;
  }

  std::optional<Bytes> to_server(std::size_t number, const Bytes& octets) {
    const google::protobuf::LogSilencer quiet;
    wire::ClientPacket packet;
    if (!packet.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return std::nullopt;
    FixedRandom random(number == 0 ? 'S' : 'b');
    if (number == 0) {
      if (!packet.has_srp_start()) return std::nullopt;
      return value(server_.challenge(octets, packet.srp_start(), srp_record(packet.srp_start().suite()),
                                     std::ref(random)));
    }
    if (!packet.has_srp()) return std::nullopt;
    if (number == 2)
      return value(server_.take_key(octets, packet.srp(), *draw_ephemeral(srp_group(), std::ref(random))));
    if (number == 4) {
      auto reply = server_.verify(octets, packet.srp());
      must(!reply || knows_password_);
      return value(std::move(reply));
    }
    if (!server_.take_finished(octets, packet.srp())) {
      must(!server_.confirm().has_value());
      return std::nullopt;
    }
    must(knows_password_);
    for (std::size_t i = 0; i < 6; ++i) must(took_[i] == said_[i]);
    // The envelope of the last one may be written in more than one way around the same Finished.
    wire::ClientPacket honest;
    must(honest.ParseFromArray(said_[6].data(), static_cast<int>(said_[6].size())));
    must(honest.srp().finished() == packet.srp().finished());
    auto confirmation = server_.confirm();
    must(confirmation.has_value());
    (void)server_.take_channel();
    must(!server_.confirm().has_value());
    return value(std::move(confirmation));
  }

  std::optional<Bytes> to_client(std::size_t number, const Bytes& octets) {
    const google::protobuf::LogSilencer quiet;
    wire::ServerPacket packet;
    if (!packet.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || !packet.has_srp())
      return std::nullopt;
    FixedRandom random('a');
    if (number == 1) return value(client_.take_challenge(octets, packet.srp(), std::ref(random)));
    if (number == 3) {
      if (!client_.take_key(octets, packet.srp())) return std::nullopt;
      const bool right = script_.octet() % 4 != 3;
      auto proof = client_.prove(bytes_of(right ? kPassword : "incorrect horse"));
      if (proof) knows_password_ = right;
      return value(std::move(proof));
    }
    if (number == 5) {
      auto reply = client_.take_proof(octets, packet.srp());
      must(!reply || knows_password_);
      return value(std::move(reply));
    }
    auto channel = client_.finish(octets, packet.srp());
    if (!channel) return std::nullopt;
    for (std::size_t i = 0; i + 1 < kSteps; ++i) must(took_[i] == said_[i]);
    must(!client_.finish(octets, packet.srp()).has_value());
    return Bytes();
  }

  static std::optional<Bytes> value(Result<Bytes> result) {
    if (!result) return std::nullopt;
    return std::move(*result);
  }

  Script script_;
  wire::SrpStart choice_;
  SrpClient client_;
  SrpServer server_;
  Bytes said_by_client_, said_by_server_;  // the last packet of each
  std::array<Bytes, kSteps> said_, took_;  // by step, honest and as delivered
  bool knows_password_ = false;
};

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  const keyd::fuzz::LockedMemoryBalance balance;
  keyd::fuzz::SrpConversation(keyd::fuzz::Script({data, size})).run();
  return 0;
}
