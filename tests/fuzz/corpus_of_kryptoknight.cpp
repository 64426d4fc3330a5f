#include "tests/fuzz/corpus_of_kryptoknight.h"

#include <string>

#include "core/wire/message_codec.h"
#include "tests/fuzz/kryptoknight_scene.h"

namespace keyd::fuzz {
namespace {

void append(Bytes& out, ByteView octets) { out.insert(out.end(), octets.begin(), octets.end()); }
void append_packet(Bytes& out, ByteView packet) {
  out.push_back(static_cast<std::uint8_t>(packet.size() >> 8));
  out.push_back(static_cast<std::uint8_t>(packet.size()));
  append(out, packet);
}

// A whole exchange: each side's packets for the decoders, the reply for the client alone.
void save_exchange(const SaveSeed& save, int variant) {
  const std::string name = "kryptoknight_" + std::to_string(variant);
  FixedRandom client_random('C'), server_random('S');
  exchange::KryptoknightClient client(kryptoknight_choice(variant), small_limits());
  exchange::KryptoknightServer server;
  const Bytes start = client.start(std::ref(client_random)).value();
  wire::ClientPacket from_client;
  must(wire::decode(start, from_client) == wire::Decoded::kMessage);
  const Bytes reply = server
                          .reply(start, from_client.kryptoknight_start(), kryptoknight_hash(variant),
                                 kryptoknight_carriage(variant), std::ref(server_random))
                          .value();
  wire::ServerPacket from_server;
  must(wire::decode(reply, from_server) == wire::Decoded::kMessage);
  must(client.take_reply(reply, from_server.kryptoknight_reply()).has_value());
  must(client.open_session(exchange::hash_password(bytes_of(kPassword), client.how()).value()).has_value());
  const Bytes password = client.send_password(bytes_of(kPassword)).value();
  must(wire::decode(password, from_client) == wire::Decoded::kMessage);
  must(server.take_password(password, from_client.kryptoknight_password()).has_value());
  const Bytes confirmation = server.confirm().value();

  Bytes said_by_client, said_by_server{0}, alone{static_cast<std::uint8_t>(variant)};
  append_packet(said_by_client, start);
  append_packet(said_by_client, password);
  append_packet(said_by_server, reply);
  append_packet(said_by_server, confirmation);
  append(alone, reply);
  save("client_packet", name, said_by_client);
  save("server_packet", name, said_by_server);
  save("kryptoknight_reply", "honest_" + std::to_string(variant), alone);
}

// As a hostile server says it.
void save_reply(const SaveSeed& save, const std::string& name, const crypto::CryptSetting& setting) {
  wire::ServerPacket packet;
  wire::KryptoknightReply& reply = *packet.mutable_kryptoknight_reply();
  reply.set_server_random(std::string(32, 's'));
  reply.set_session_id(std::string(16, 'i'));
  reply.set_server_nonce(std::string(16, 'n'));
  reply.set_wrapped_key(std::string(48, 'w'));
  reply.set_salt_carriage(setting.salt.empty() ? wire::SALT_CARRIAGE_NONE : wire::SALT_CARRIAGE_BESIDE_NONCE);
  reply.set_salt(setting.salt);
  reply.set_setting_head(setting.head);
  reply.set_setting_tail(setting.tail);
  Bytes out{0};
  append(out, wire::encode(packet));
  save("kryptoknight_reply", name, out);
}

void save_settings(const SaveSeed& save) {
  const std::pair<const char*, crypto::CryptSetting> settings[] = {
      {"yescrypt", {"$y$j75$", "F5Jx5fExrKuPp53xLKQ.Y/", "$"}},
      {"yescrypt_small", {"$y$j31$", "abcdefghijklmnop", "$"}},
      {"yescrypt_p", {"$y$j75.0$", "abcdefghijklmnop", "$"}},
      {"yescrypt_t", {"$y$j75/0$", "abcdefghijklmnop", "$"}},
      {"yescrypt_much", {"$y$jYT$", "abcdefghijklmnop", "$"}},
      {"gost_yescrypt", {"$gy$j31$", "abcdefghijklmnop", "$"}},
      {"scrypt", {"$7$3/..../....", "abcdefghijk", "$"}},
      {"scrypt_much", {"$7$zzzzzzzzzzz", "abcdefghijk", "$"}},
      {"bcrypt", {"$2b$04$", "abcdefghijklmnopqrstuu", ""}},
      {"sha512crypt", {"$6$rounds=1000$", "saltsaltsaltsalt", "$"}},
      {"sha512crypt_much", {"$6$rounds=999999999$", "saltsaltsaltsalt", "$"}},
      {"sha512crypt_cost_as_salt", {"$6$", "rounds=999999999", "$"}},
      {"sha256crypt", {"$5$rounds=1000$", "saltsalt", "$"}},
      {"sha1crypt", {"$sha1$10$", "abcdefgh", "$"}},
      {"sunmd5", {"$md5,rounds=1$", "abcdefgh", "$"}},
      {"sunmd5_bare", {"$md5$", "abcdefgh", ""}},
      {"md5crypt", {"$1$", "abcdefgh", "$"}},
      {"nt", {"$3$", "", "$"}},
      {"bsdicrypt", {"_/...", "abcd", ""}},
      {"descrypt", {"", "ab", ""}},
      {"bigcrypt", {"", "ab............", ""}},
  };
  for (const auto& [name, setting] : settings) {
    save_reply(save, name, setting);
    Bytes parts{static_cast<std::uint8_t>(setting.head.size()),
                static_cast<std::uint8_t>(setting.salt.size())};
    append(parts, bytes_of(setting.text()));
    save("crypt_setting", std::string("parts_") + name, parts);
    if (!crypto::check_crypt_setting(setting,
                                     {.memory = 1u << 20, .rounds = 10'000, .bcrypt_log = 4, .methods = {}}))
      continue;
    const auto hash = crypto::crypt_password(bytes_of("correct horse battery"), setting);
    must(hash.has_value());
    Bytes string{'h'};
    append(string, hash->reveal());
    save("crypt_setting", std::string("hash_") + name, string);
  }
}

void save_steps(const SaveSeed& save) {
  const auto steps = [&](const std::string& name, const Bytes& seed) {
    save("kryptoknight_steps", name, seed);
  };
  for (int variant = 0; variant < kKryptoknightVariants; ++variant) {
    const auto v = static_cast<std::uint8_t>(variant);
    const std::string number = std::to_string(variant);
    steps("exchange_" + number,
          {v, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 0, 1, 'x', 0, 7, 0, 0, 1, 'y', 0});
    steps("wrong_hash_" + number, {v, 0, 1, 0, 2, 0, 3, 3, 4, 0, 5, 0});
    steps("wrong_password_" + number, {v, 0, 1, 0, 2, 0, 3, 0, 4, 3, 5, 0, 6, 0});
  }
  steps("altered_start", {0, 0, 1, 0xf0, 0, 8, 1, 2, 0, 3, 0, 4, 0, 5, 0});
  steps("altered_reply", {0, 0, 1, 0, 2, 0xf0, 0, 80, 1, 3, 0, 4, 0});
  steps("altered_historic_reply", {3, 0, 1, 0, 2, 0xf0, 0, 8, 1, 3, 0, 4, 0, 5, 0});
  steps("cut_password", {0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0xe0, 1, 6, 0});
  steps("altered_command", {4, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0xf0, 0, 4, 1});
}

}  // namespace

void save_kryptoknight_seeds(const SaveSeed& save) {
  for (int variant = 0; variant < kKryptoknightVariants; ++variant) save_exchange(save, variant);
  save_settings(save);
  save_steps(save);
}

}  // namespace keyd::fuzz
