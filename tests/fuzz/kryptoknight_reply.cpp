// A client of kryptoknight and a hostile server: variant | the server's packet. What the client takes it can
// also hash with, or libcrypt says no, at a cost within its limits; and without the hash nobody opens its
// session.
#include "core/wire/message_codec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/kryptoknight_scene.h"
#include "tests/fuzz/locked_memory_balance.h"

namespace keyd::fuzz {
namespace {

void talk(int variant, ByteView octets) {
  FixedRandom random('C');
  exchange::KryptoknightClient client(kryptoknight_choice(variant), small_limits());
  must(client.start(std::ref(random)).has_value());
  wire::ServerPacket packet;
  if (wire::decode(octets, packet) != wire::Decoded::kMessage || !packet.has_kryptoknight_reply()) return;
  if (!client.take_reply(octets, packet.kryptoknight_reply())) {
    must(!client.open_session(secret::SecretBuffer(16)).has_value());
    must(!client.send_password(bytes_of(kPassword)).has_value());
    return;
  }
  const auto& how = client.how();
  must(how.suite == client.choice().suite() && how.salt.size() <= exchange::kMaxHistoricSalt);
  if (how.suite == wire::SUITE_MODERN) {
    const auto cost = crypto::check_crypt_setting(how.setting, small_limits());
    must(cost.has_value() && cost->memory <= small_limits().memory && cost->rounds <= small_limits().rounds);
  }
  auto hash = exchange::hash_password(bytes_of(kPassword), how);
  if (!hash) {
    must(how.suite == wire::SUITE_MODERN && hash.error().code == Code::kInvalid);
    return;
  }
  // The seeds of the corpus have the right answer; whoever finds another one has broken the wrapping.
  const bool opened = client.open_session(std::move(*hash)).has_value();
  must(client.send_password(bytes_of(kPassword)).has_value() == opened);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > keyd::wire::kMaxPlainPacket) return 0;
  const keyd::fuzz::LockedMemoryBalance balance;
  keyd::fuzz::talk(data[0] % keyd::fuzz::kKryptoknightVariants, {data + 1, size - 1});
  return 0;
}
