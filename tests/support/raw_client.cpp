#include "tests/support/raw_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <map>

#include "core/base/clock.h"
#include "core/crypto/random.h"

namespace keyd::testing {

namespace {
UniqueFd connect_to(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    socket.reset();
  return socket;
}
}  // namespace

RawClient::RawClient(const std::string& runtime_dir, const std::string& socket)
    : path_(runtime_dir + "/" + socket), socket_(connect_to(path_)) {}

bool RawClient::send(ByteView packet, int descriptor) {
  return wire::send_packet(socket_.get(), packet, descriptor);
}
bool RawClient::send(wire::ClientPacket packet) { return send(wire::encode(packet)); }

std::optional<Bytes> RawClient::receive(double seconds) {
  pollfd entry{socket_.get(), POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(seconds * 1000)) != 1) return std::nullopt;
  Bytes buffer(wire::kMaxPacket);
  const auto received = wire::receive_packet(socket_.get(), buffer);
  if (received.outcome != wire::ReceiveOutcome::kPacket) return std::nullopt;
  buffer.resize(received.size);
  return buffer;
}

wire::ServerPacket RawClient::receive_message(double seconds) {
  wire::ServerPacket message;
  const auto packet = receive(seconds);
  if (!packet || wire::decode(*packet, message) != wire::Decoded::kMessage) message.Clear();
  return message;
}

bool RawClient::closed_within(double seconds) {
  const BootTime deadline = boot_now() + static_cast<std::uint64_t>(seconds * 1e9);
  Bytes buffer(wire::kMaxPacket);
  while (boot_now() < deadline) {
    pollfd entry{socket_.get(), POLLIN, 0};
    ::poll(&entry, 1, 50);
    if (entry.revents == 0) continue;
    const auto received = wire::receive_packet(socket_.get(), buffer);
    if (received.outcome != wire::ReceiveOutcome::kPacket) return true;
  }
  return false;
}

wire::ChallengeStart RawClient::choice(const std::string& user) {
  wire::ChallengeStart start;
  start.set_user(user);
  start.set_suite(wire::SUITE_MODERN);
  start.set_transform(wire::TRANSFORM_HMAC_SHA256);
  start.set_nonce_bits(256);
  start.set_key_count(2);
  start.set_server_name("localhost");
  return start;
}

bool RawClient::start(const wire::ChallengeStart& wanted) {
  knight.reset();
  machine.emplace(wanted);
  const auto packet = machine->start(crypto::fill_random);
  if (!packet || !send(*packet)) return false;
  const auto answer = receive();
  if (!answer || wire::decode(*answer, last_packet) != wire::Decoded::kMessage) return false;
  return last_packet.has_challenge_numbers() &&
         machine->take_numbers(*answer, last_packet.challenge_numbers()).has_value();
}

namespace {
// Tier watch, while something else of the machine makes many process events: another keyd's start is enough.
bool is_behind(const wire::ServerPacket& packet) {
  return packet.has_refused() && packet.refused().code() == wire::REFUSAL_BUSY &&
         packet.refused().text().find("process events") != std::string::npos;
}
}  // namespace

bool RawClient::passes(BootTime deadline) {
  const bool earlier = last_packet.has_refused() && last_packet.refused().code() == wire::REFUSAL_ALREADY;
  if ((!earlier && !is_behind(last_packet)) || boot_now() > deadline) return false;
  ::poll(nullptr, 0, 1);
  socket_ = connect_to(path_);
  return true;
}

template <typename Start>
bool RawClient::begin_with(Start choice) {
  const BootTime deadline = boot_now() + 10 * kSecond;
  while (!start(choice)) {
    if (!passes(deadline)) return false;
  }
  return true;
}

bool RawClient::begin(const std::string& user) { return begin_with(choice(user)); }

bool RawClient::authenticate(const std::string& user, const std::string& password) {
  const BootTime deadline = boot_now() + 10 * kSecond;
  while (!begin(user) || !prove(password)) {
    if (!passes(deadline)) return false;
  }
  return true;
}

Bytes RawClient::proof(const std::string& password) {
  auto packet = machine->prove(bytes_of(password));
  return packet ? std::move(*packet) : Bytes();
}

bool RawClient::prove(const std::string& password) {
  const Bytes packet = proof(password);
  if (packet.empty() || !send(packet)) return false;
  return finish();
}

bool RawClient::finish() {
  const auto answer = receive();
  if (!answer || wire::decode(*answer, last_packet) != wire::Decoded::kMessage || !last_packet.has_finished())
    return false;
  auto established = knight ? knight->finish(*answer, bytes_of(last_packet.finished()))
                            : machine->finish(*answer, bytes_of(last_packet.finished()));
  if (!established) return false;
  channel.emplace(std::move(*established));
  return true;
}

// ---- kryptoknight

wire::KryptoknightStart RawClient::knight_choice(const std::string& user, wire::Suite suite) {
  wire::KryptoknightStart start;
  start.set_user(user);
  start.set_suite(suite);
  start.set_server_name("localhost");
  return start;
}

bool RawClient::start(const wire::KryptoknightStart& wanted) {
  knight.emplace(wanted);
  const auto packet = knight->start(crypto::fill_random);
  if (!packet || !send(*packet)) return false;
  const auto answer = receive();
  if (!answer || wire::decode(*answer, last_packet) != wire::Decoded::kMessage) return false;
  return last_packet.has_kryptoknight_reply() &&
         knight->take_reply(*answer, last_packet.kryptoknight_reply()).has_value();
}

bool RawClient::begin_knight(const wire::KryptoknightStart& choice) { return begin_with(choice); }

namespace {
// Tests ask for the same hash over and over.
secret::SecretBuffer hash_of(const std::string& password, const exchange::PasswordHash& how) {
  static std::map<std::string, std::string> known;
  const std::string key = password + '\0' + how.setting.text() + '\0' + to_hex(how.salt);
  auto found = known.find(key);
  if (found == known.end()) {
    const auto hash = exchange::hash_password(bytes_of(password), how);
    if (!hash) return {};
    found = known.emplace(key, text_of(hash->reveal())).first;
  }
  return secret::SecretBuffer::copy_of(bytes_of(found->second));
}
}  // namespace

Bytes RawClient::password_packet(const std::string& password, const std::string& hashed) {
  auto hash = hash_of(hashed.empty() ? password : hashed, knight->how());
  if (hash.empty() || !knight->open_session(std::move(hash))) return {};
  auto packet = knight->send_password(bytes_of(password));
  return packet ? std::move(*packet) : Bytes();
}

bool RawClient::prove_knight(const std::string& password) {
  const Bytes packet = password_packet(password);
  return !packet.empty() && send(packet) && finish();
}

bool RawClient::authenticate_knight(const wire::KryptoknightStart& choice, const std::string& password) {
  return begin_knight(choice) && prove_knight(password);
}

// ---- srp

wire::SrpStart RawClient::srp_choice(const std::string& user, wire::Suite suite) {
  wire::SrpStart start;
  start.set_user(user);
  start.set_suite(suite);
  start.set_server_name("localhost");
  return start;
}

bool RawClient::ask_srp(const Result<Bytes>& packet) {
  if (!packet || !send(*packet)) return false;
  auto answer = receive();
  last_packet.Clear();
  if (!answer || wire::decode(*answer, last_packet) != wire::Decoded::kMessage) return false;
  last_octets_ = std::move(*answer);
  return last_packet.has_srp();
}

bool RawClient::start(const wire::SrpStart& wanted) {
  knight.reset();
  exchange::SrpClientPolicy policy;
  policy.derivations.sha1 = policy.derivations.sha256 = true;
  srp.emplace(wanted, policy);
  if (!ask_srp(srp->start(crypto::fill_random))) return false;
  if (!ask_srp(srp->take_challenge(last_octets_, last_packet.srp(), crypto::fill_random_private)))
    return false;
  return srp->take_key(last_octets_, last_packet.srp()).has_value();
}

bool RawClient::begin_srp(const wire::SrpStart& choice) { return begin_with(choice); }

bool RawClient::prove_srp(const std::string& password) {
  if (!ask_srp(srp->prove(bytes_of(password)))) return false;
  if (!ask_srp(srp->take_proof(last_octets_, last_packet.srp()))) return false;
  auto established = srp->finish(last_octets_, last_packet.srp());
  if (!established) return false;
  channel.emplace(std::move(*established));
  return true;
}

Bytes RawClient::sealed(const wire::SessionRequest& request) {
  const auto plaintext = wire::encode_session(request, {});
  const auto record = channel->seal(exchange::RecordType::kSession, plaintext.reveal());
  wire::ClientPacket packet;
  packet.set_record(record->data(), record->size());
  return wire::encode(packet);
}

std::optional<wire::SessionReply> RawClient::ask(const wire::SessionRequest& request, std::string* payload) {
  if (!send(sealed(request))) return std::nullopt;
  last_packet = receive_message();
  if (!last_packet.has_record()) return std::nullopt;
  const auto opened = channel->open(exchange::RecordType::kSession, bytes_of(last_packet.record()));
  wire::SessionReply reply;
  ByteView rest;
  if (!opened || !wire::decode_session(opened->reveal(), reply, rest)) return std::nullopt;
  if (payload != nullptr) *payload = text_of(rest);
  return reply;
}

}  // namespace keyd::testing
