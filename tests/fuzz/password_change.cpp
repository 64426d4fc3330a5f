// Both ends of a change of password with an attacker between them who knows no key: delivers, changes, repeats, holds
// back, reflects and makes up messages, and what is placed, as the script says. Whatever the order: the client takes what
// this server has asked and nothing else, and the server the verifier that this client has answered with.
#include <algorithm>
#include <optional>
#include <vector>

#include "tests/fuzz/change_scene.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"

namespace keyd::fuzz {
namespace {

using namespace exchange;

class Change {
 public:
  explicit Change(Script script)
      : script_(script),
        variant_(script_.octet() % kChangeVariants),
        server_(change_keys(variant_), change_context(variant_)),
        client_(change_keys(variant_), change_context(variant_), change_parameters(variant_, 'o'),
                srp_policy()) {}

  void run() {
    while (!script_.done()) {
      switch (script_.octet() % 6) {
        case 0: ask(); break;
        case 1: deliver_question(); break;
        case 2: answer(); break;
        case 3: deliver_answer(); break;
        case 4: succeed(); break;
        default: server_.withdraw(); break;
      }
    }
  }

 private:
  Bytes delivered(const std::vector<Bytes>& said) {
    const std::uint8_t how = script_.octet();
    Bytes packet = said.empty() ? Bytes() : said.back();
    if (how == 0xff) {
      const ByteView made_up = script_.octets();
      return {made_up.begin(), made_up.end()};
    }
    if (how >= 0xf0 && !packet.empty()) {
      packet[script_.word() % packet.size()] ^= script_.octet();
    } else if (how >= 0xe0) {
      packet.resize(packet.size() - std::min<std::size_t>(packet.size(), script_.octet()));
    } else if (how >= 0xd0 && !said.empty()) {
      packet = said[how % said.size()];
    } else if (how >= 0xc0) {
      packet = &said == &questions_ ? (answers_.empty() ? Bytes() : answers_.back())
                                    : (questions_.empty() ? Bytes() : questions_.back());
    }
    return packet;
  }

  void ask() {
    FixedRandom random('s');
    if (auto packet = server_.ask(change_question(variant_, ++serial_), std::ref(random)))
      questions_.push_back(std::move(*packet));
    placed_.assign(server_.placed().begin(), server_.placed().end());
  }

  void deliver_question() {
    const Bytes packet = delivered(questions_);
    Bytes placed = placed_;
    if (!placed.empty() && script_.octet() == 0xff) placed[script_.word() % placed.size()] ^= script_.octet();
    auto derivation = change_derivation(variant_).octets();
    if (script_.octet() == 0xff) derivation[script_.octet() % derivation.size()] ^= script_.octet();
    const auto before = client_.serial();
    const auto taken = client_.take_question(packet, derivation, [&](std::string_view name) -> Result<Bytes> {
      must(is_place_name(name));
      return placed;
    });
    if (!taken) return must(client_.serial() == before);
    must(std::ranges::find(questions_, packet) != questions_.end());
    must(client_.serial() >= before && client_.serial() <= serial_);
    const VerifierParameters asked = change_parameters(variant_, 'n');
    must(client_.fresh().salt == asked.salt && client_.fresh().derivation == asked.derivation);
  }

  void answer() {
    if (client_.serial() == 0) return;
    FixedRandom random(static_cast<char>('a' + answers_.size() % 26));
    const Bytes v{static_cast<std::uint8_t>(2 + answers_.size() % 200)};
    if (auto packet = client_.answer(v, std::ref(random))) {
      answers_.push_back(std::move(*packet));
      verifiers_.push_back(v);
    }
  }

  void deliver_answer() {
    const Bytes packet = delivered(answers_);
    const auto verifier = server_.take_answer(packet);
    if (!verifier) return;
    must(server_.serial() != 0);
    const auto said = std::ranges::find(answers_, packet);
    must(said != answers_.end());
    must(std::ranges::equal(verifier->v.reveal(),
                            verifiers_[static_cast<std::size_t>(said - answers_.begin())]));
  }

  void succeed() {
    if (server_.serial() == 0) return;
    const Bytes success = server_.succeed();
    must(!server_.take_answer(answers_.empty() ? Bytes() : answers_.back()));
    (void)client_.take_success(success);
  }

  Script script_;
  int variant_;
  PasswordChangeServer server_;
  PasswordChangeClient client_;
  std::uint64_t serial_ = 0;
  std::vector<Bytes> questions_, answers_, verifiers_;
  Bytes placed_;
};

void decode(ByteView octets) {
  const auto placed = decode_placed(octets);
  if (placed) must(std::ranges::equal(encode_placed(*placed), octets));
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1024) return 0;
  const keyd::fuzz::LockedMemoryBalance balance;
  keyd::fuzz::decode({data, size});
  keyd::fuzz::Change(keyd::fuzz::Script({data, size})).run();
  return 0;
}
