#include "tests/adversarial/hostile_keyd.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "core/crypto/random.h"
#include "core/wire/message_codec.h"
#include "core/wire/packet_socket.h"

namespace keyd::testing {
namespace {

UniqueFd listen_at(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 64) != 0) {
    ::abort();
  }
  return socket;
}

void send_along(int socket, ByteView packet, const std::vector<int>& descriptors) {
  iovec part{const_cast<std::uint8_t*>(packet.data()), packet.size()};
  const std::size_t passed = descriptors.size() * sizeof(int);
  std::vector<std::uint8_t> control(CMSG_SPACE(passed));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(passed);
    std::memcpy(CMSG_DATA(header), descriptors.data(), passed);
  }
  (void)!::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

wire::Fresh fresh() {
  wire::Fresh out;
  out.set_random(std::string(32, 'f'));
  return out;
}

}  // namespace

HostileKeyd::HostileKeyd() {
  std::string pattern = "/tmp/keyd-hostile.XXXXXX";
  directory_ = ::mkdtemp(pattern.data());
  clients_listener_ = listen_at(directory_ + "/keyd.sock");
  administrators_listener_ = listen_at(directory_ + "/admin.sock");
  stop_.reset(::eventfd(0, EFD_CLOEXEC));
  thread_ = std::thread([this] { serve(); });
}

HostileKeyd::~HostileKeyd() {
  const std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  thread_.join();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void HostileKeyd::set_attack(Attack attack) {
  const std::lock_guard lock(mutex_);
  attack_ = std::move(attack);
}

int HostileKeyd::proofs() const {
  const std::lock_guard lock(mutex_);
  return proofs_;
}

bool HostileKeyd::has_seen_the_password() const {
  const std::lock_guard lock(mutex_);
  return has_seen_the_password_;
}

std::size_t HostileKeyd::connections() const {
  const std::lock_guard lock(mutex_);
  return clients_.size();
}

void HostileKeyd::serve() {
  for (;;) {
    std::vector<pollfd> entries{{stop_.get(), POLLIN, 0},
                                {clients_listener_.get(), POLLIN, 0},
                                {administrators_listener_.get(), POLLIN, 0}};
    for (const auto& client : clients_) entries.push_back({client->socket.get(), POLLIN, 0});
    ::poll(entries.data(), entries.size(), -1);
    if (entries[0].revents != 0) return;
    const std::lock_guard lock(mutex_);
    for (std::size_t i = clients_.size(); i > 0; --i) {
      if (entries[i + 2].revents == 0 || answer(*clients_[i - 1])) continue;
      clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i - 1));
    }
    if (entries[1].revents != 0) accept_from(clients_listener_.get(), false);
    if (entries[2].revents != 0) accept_from(administrators_listener_.get(), true);
  }
}

void HostileKeyd::accept_from(int listener, bool administrator) {
  auto client = std::make_unique<Client>();
  client->socket.reset(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  client->administrator = administrator;
  if (client->socket.valid()) clients_.push_back(std::move(client));
}

bool HostileKeyd::answer(Client& client) {
  Bytes packet(wire::kMaxPacket);
  const auto received = wire::receive_packet(client.socket.get(), packet);
  if (received.outcome != wire::ReceiveOutcome::kPacket) return false;
  packet.resize(received.size);
  has_seen_the_password_ |= text_of(packet).find(kPassword) != std::string_view::npos;
  client.heard.push_back(packet);
  Move move{client.heard.size() - 1, &client.heard, &client.said, {}, {}, false};
  if (Bytes answer = honest_answer(client, packet); !answer.empty())
    move.packets.push_back(std::move(answer));
  if (attack_) attack_(move);
  for (std::size_t i = 0; i < move.packets.size(); ++i) {
    client.said.push_back(move.packets[i]);
    send_along(client.socket.get(), move.packets[i], i == 0 ? move.descriptors : std::vector<int>());
  }
  return !move.close;
}

Bytes HostileKeyd::honest_answer(Client& client, ByteView packet) {
  wire::ClientPacket message;
  if (client.administrator || wire::decode(packet, message) != wire::Decoded::kMessage) return {};
  if (message.has_challenge_start()) {
    client.machine = exchange::ChallengeServer();
    const auto numbers = client.machine.challenge(packet, message.challenge_start(), crypto::fill_random,
                                                  [](ByteView, ByteView) { return true; });
    return numbers ? *numbers : Bytes();
  }
  if (message.has_finished()) {
    ++proofs_;
    if (client.machine.verify(packet, bytes_of(message.finished()), bytes_of(kPassword))) {
      const auto confirmation = client.machine.confirm();
      client.channel.emplace(client.machine.take_channel());
      return *confirmation;
    }
    wire::ServerPacket denied;
    denied.mutable_denied();
    return wire::encode(denied);
  }
  if (message.has_record() && client.channel) return honest_reply(client, bytes_of(message.record()));
  wire::ServerPacket table;
  table.mutable_table();
  return wire::encode(table);
}

Bytes HostileKeyd::honest_reply(Client& client, ByteView record) {
  const auto opened = client.channel->open(exchange::RecordType::kSession, record);
  wire::SessionRequest request;
  ByteView payload;
  if (!opened || !wire::decode_session(opened->reveal(), request, payload)) return {};
  wire::SessionReply reply;
  ByteView back;
  const wire::Fresh* theirs = nullptr;
  switch (request.body_case()) {
    case wire::SessionRequest::kRekey: *reply.mutable_rekey() = fresh(), theirs = &request.rekey(); break;
    case wire::SessionRequest::kPlanExec:
      *reply.mutable_plan_exec() = fresh(), theirs = &request.plan_exec();
      break;
    case wire::SessionRequest::kEnd: reply.mutable_end(); break;
    case wire::SessionRequest::kCredential: reply.mutable_credential(), back = bytes_of(kCredential); break;
    case wire::SessionRequest::kCredentialNames: reply.mutable_credential_names()->add_names("token"); break;
    default: reply.mutable_echo(), back = payload; break;
  }
  const auto plaintext = wire::encode_session(reply, back);
  const auto sealed = client.channel->seal(exchange::RecordType::kSession, plaintext.reveal());
  if (theirs != nullptr) client.channel->advance(bytes_of(theirs->random()), bytes_of(fresh().random()));
  wire::ServerPacket packet;
  packet.set_record(sealed->data(), sealed->size());
  return wire::encode(packet);
}

bool is_printable(const std::string& line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto c = static_cast<unsigned char>(line[i]), next = static_cast<unsigned char>(line[i + 1]);
    if ((c < ' ' && c != '\n') || c == 0x7f || (c == 0xc2 && next < 0xa0)) return false;  // C0, DEL, C1
  }
  return line.find("\u202e") == std::string::npos;
}

}  // namespace keyd::testing
