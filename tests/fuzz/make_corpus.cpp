// Writes the seed corpora: real packets, records and tables of the scene (scene.h). usage: make_corpus FOLDER
// The same octets every time, but for a table's clock readings.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "core/table/table_reader.h"
#include "core/table/table_writer.h"
#include "core/wire/message_codec.h"
#include "tests/fuzz/corpus_of_kryptoknight.h"
#include "tests/fuzz/corpus_of_scripts.h"
#include "tests/fuzz/corpus_of_srp.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {
namespace {

std::filesystem::path folder;

void save(const std::string& target, const std::string& name, ByteView octets) {
  std::filesystem::create_directories(folder / target);
  std::ofstream file(folder / target / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(octets.data()), static_cast<std::streamsize>(octets.size()));
  must(file.good());
}

void append(Bytes& out, ByteView octets) { out.insert(out.end(), octets.begin(), octets.end()); }
void append_packet(Bytes& out, ByteView packet) {
  out.push_back(static_cast<std::uint8_t>(packet.size() >> 8));
  out.push_back(static_cast<std::uint8_t>(packet.size()));
  append(out, packet);
}

// A whole exchange, as the client's and as the server's side of the conversation.
void save_exchange(int variant) {
  exchange::ChallengeClient client(choice(variant));
  exchange::ChallengeServer server;
  FixedRandom client_random('C'), server_random('S');
  Bytes said_by_client, said_by_server{static_cast<std::uint8_t>(variant)};

  const auto start = client.start(std::ref(client_random));
  must(start.has_value());
  append_packet(said_by_client, *start);
  wire::ClientPacket from_client;
  must(wire::decode(*start, from_client) == wire::Decoded::kMessage);
  const auto numbers = server.challenge(*start, from_client.challenge_start(), std::ref(server_random),
                                        [](ByteView, ByteView) { return true; });
  must(numbers.has_value());
  append_packet(said_by_server, *numbers);
  wire::ServerPacket from_server;
  must(wire::decode(*numbers, from_server) == wire::Decoded::kMessage);
  must(client.take_numbers(*numbers, from_server.challenge_numbers()).has_value());
  const auto proof = client.prove(bytes_of(kPassword));
  must(proof.has_value());
  append_packet(said_by_client, *proof);
  must(wire::decode(*proof, from_client) == wire::Decoded::kMessage);
  must(server.verify(*proof, bytes_of(from_client.finished()), bytes_of(kPassword)).has_value());
  const auto confirmation = server.confirm();
  must(confirmation.has_value());
  append_packet(said_by_server, *confirmation);

  const std::string name = "exchange_" + std::to_string(variant);
  save("client_packet", name, said_by_client);
  save("client_packet", "start_" + std::to_string(variant), *start);
  save("server_packet", name, said_by_server);
}

void save_other_packets() {
  wire::ClientPacket table, record;
  table.mutable_table();
  save("client_packet", "table", wire::encode(table));
  record.set_record(std::string(64, 'x'));
  save("client_packet", "record", wire::encode(record));
  wire::ServerPacket denied, refused = wire::refusal(wire::REFUSAL_BUSY, "try again later"), reply;
  denied.mutable_denied();
  reply.mutable_table()->set_size(1 << 20);
  Bytes conversation{0};
  for (wire::ServerPacket* packet : {&denied, &refused, &reply})
    append_packet(conversation, wire::encode(*packet));
  save("server_packet", "refusals", conversation);
}

void save_session_plaintexts() {
  const auto save_one = [](const std::string& name, const auto& message, std::string_view payload) {
    save("session_plaintext", name, wire::encode_session(message, bytes_of(payload)).reveal());
  };
  wire::SessionRequest whoami, rekey, credential, echo;
  whoami.mutable_whoami();
  rekey.mutable_rekey()->set_random(std::string(32, 'c'));
  credential.mutable_credential()->set_name("db/password");
  echo.mutable_echo();
  save_one("whoami", whoami, "");
  save_one("rekey", rekey, "");
  save_one("credential", credential, "");
  save_one("echo", echo, "a payload of some octets");
  wire::SessionReply identity, names, refused;
  identity.mutable_whoami()->set_user("ada");
  identity.mutable_whoami()->set_session_id(std::string(16, 'i'));
  identity.mutable_whoami()->set_expires(1'000'000'000'000);
  names.mutable_credential_names()->add_names("db/password");
  names.mutable_credential_names()->add_names("api");
  refused.mutable_refused()->set_code(wire::REFUSAL_GONE);
  save_one("identity", identity, "");
  save_one("names", names, "");
  save_one("refused", refused, "");
}

void save_records() {
  using exchange::RecordType;
  for (const unsigned type : {1u, 2u, 3u}) {
    for (const bool later : {false, true}) {
      auto client = channel(exchange::Role::kClient);
      if (later) client.advance(fresh('c'), fresh('s'));
      // The target takes 1 + octet % 3 for the type, the highest bit for the epoch.
      unsigned selector = later ? 0x80 : 0;
      while (1 + selector % 3 != type) ++selector;
      Bytes out{static_cast<std::uint8_t>(selector)};
      for (const std::string_view text : {"", "first", "a longer plaintext that fills more than one block"}) {
        append_packet(out, *client.seal(static_cast<RecordType>(type), bytes_of(text)));
      }
      save("sealed_record", "type_" + std::to_string(type) + (later ? "_epoch_1" : "_epoch_0"), out);
    }
  }
  auto client = channel(exchange::Role::kClient);
  client.advance(fresh('c'), fresh('s'));
  Bytes handover{0xff};
  append(handover, client.hand_over().reveal());
  save("sealed_record", "handover", handover);
}

void save_admin_packets() {
  const auto save_one = [](const std::string& name, auto packet) {
    save("admin_packet", name, wire::encode(packet));
  };
  wire::AdminRequest add, show, list, set, revoke, health;
  add.set_secret_follows(true);
  add.mutable_user_add()->set_name("ada");
  add.mutable_user_add()->add_schemes("challenge");
  show.mutable_user_show()->set_name("Grüße");
  list.mutable_user_list()->set_after("ada");
  set.mutable_credential_set()->set_user("ada");
  set.mutable_credential_set()->set_name("db/password");
  revoke.mutable_revoke_process()->set_pid(4711);
  health.mutable_health();
  save_one("user_add", add);
  save_one("user_show", show);
  save_one("user_list", list);
  save_one("credential_set", set);
  save_one("revoke_process", revoke);
  save_one("health", health);
  wire::AdminReply users, ready;
  for (const char* name : {"ada", "grace"}) {
    wire::UserRecord& user = *users.mutable_users()->add_users();
    user.set_name(name);
    user.set_state("active");
    user.add_schemes("challenge");
    user.set_created(1'700'000'000);
  }
  ready.mutable_health()->set_ready(true);
  ready.mutable_health()->set_tier("watch");
  save_one("reply_users", users);
  save_one("reply_health", ready);
}

void save_tables() {
  constexpr std::uint32_t kCapacity = 32;
  auto memory = table::SealedMemfd::create(table::table_size(kCapacity));
  must(memory.has_value());
  const auto* const start = static_cast<const std::uint8_t*>((*memory)->data());
  const std::size_t size = (*memory)->size();
  table::TableWriter writer(std::move(*memory), table::TableBell::create().value(), kCapacity,
                            table::Tier::kWatch, 1);
  const auto save_now = [&](const std::string& name, std::uint8_t more) {
    Bytes out{0, more};
    append(out, {start, size});
    save("task_table", name, out);
  };
  save_now("empty", 0);
  for (std::uint32_t i = 1; i <= 8; ++i) {
    table::TaskRecord record;
    record.inode = i;
    record.pid = i;
    record.expires = ~0ull;
    record.user_size = 3;
    const auto handle = writer.bind(record, i % 2);
    must(handle.has_value());
    if (i > 2) {
      must(writer.transition(*handle, table::TaskState::kPending, table::TaskState::kComplete, 0,
                             table::Reason::kExchange));
    }
  }
  writer.heartbeat(~0ull >> 1);  // not 0: the target renews it
  save_now("records", 0);
  save_now("larger_than_it_is", 1);
  writer.mark_down();
  save_now("down", 0);
}

void save_texts() {
  const char* const texts[] = {"ada",
                               "-f",
                               " a",
                               "Grüße 名前",
                               "a\nb",
                               "\x1b[31mred",
                               "\u202e(evil)",
                               "\xc0\xaf",
                               "\xed\xa0\x80",
                               "\xf4\x90\x80\x80",
                               "\xf0\x9f\x94\x91",
                               "\"quoted\\\"",
                               "\xe4\xb8"};
  int number = 0;
  for (const char* text : texts) save("untrusted_text", std::to_string(number++), bytes_of(text));
  save("untrusted_text", "64", bytes_of(std::string(64, 'a')));
  save("untrusted_text", "65", bytes_of(std::string(65, 'a')));
}

}  // namespace
}  // namespace keyd::fuzz

int main(int argc, char** argv) {
  using namespace keyd::fuzz;
  if (argc != 2) {
    std::cerr << "usage: make_corpus FOLDER\n";
    return 2;
  }
  folder = argv[1];
  for (int variant = 0; variant < kVariants; ++variant) save_exchange(variant);
  save_other_packets();
  save_session_plaintexts();
  save_records();
  save_admin_packets();
  save_tables();
  save_texts();
  save_script_seeds(save);
  save_kryptoknight_seeds(save);
  save_srp_seeds(save);
  return 0;
}
