#include "tests/adversarial/conversation.h"

#include <poll.h>
#include <unistd.h>

#include <ostream>

#include "core/crypto/random.h"

namespace keyd::testing {

const char* name_of(Stage stage) {
  switch (stage) {
    case Stage::kFresh: return "Fresh";
    case Stage::kChallenged: return "Challenged";
    case Stage::kEstablished: return "Established";
    case Stage::kRenewing: return "Renewing";
    case Stage::kHandedOver: return "HandedOver";
    case Stage::kAnswered: return "Answered";
  }
  return "?";
}

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  constexpr std::array kNames{"nothing", "numbers", "finished",        "reply",   "table",
                              "denied",  "inside",  "refused outside", "unproven"};
  return out << kNames[static_cast<std::size_t>(answer.said)] << ' ' << wire::RefusalCode_Name(answer.code);
}

wire::Fresh fresh_of(char octet) {
  wire::Fresh fresh;
  fresh.set_random(std::string(32, octet));
  return fresh;
}

Conversation::Conversation(const std::string& runtime_dir, Stage stage, const std::string& user,
                           const std::string& password)
    : raw(runtime_dir),
      runtime_dir_(runtime_dir),
      user_(user),
      password_(password),
      reached_(advance_to(stage)) {}

Conversation::~Conversation() {
  // What was begun here ends now, for this process is to begin again: keyd hears of a closed connection in
  // its own time, and a record that awaits an exec outlives it.
  RawClient administrator(runtime_dir_, "admin.sock");
  wire::AdminRequest request;
  request.mutable_revoke_process()->set_pid(static_cast<std::uint32_t>(::getpid()));
  if (administrator.send(wire::encode(request))) (void)administrator.receive();
}

bool Conversation::advance_to(Stage stage) {
  if (stage == Stage::kFresh) return raw.connected();
  if (stage == Stage::kChallenged) return raw.begin(user_);
  if (stage == Stage::kAnswered) return raw.begin_knight(RawClient::knight_choice(user_));
  if (!raw.authenticate(user_, password_)) return false;
  session_id_ = raw.machine->session_id();
  if (stage == Stage::kRenewing) {
    auto choice = RawClient::choice(user_);
    choice.set_renews(session_id_);
    return raw.start(choice);
  }
  if (stage == Stage::kHandedOver) {
    wire::SessionRequest plan;
    *plan.mutable_plan_exec() = fresh_of('p');
    const auto reply = raw.ask(plan);
    if (!reply || !reply->has_plan_exec()) return false;
    raw.channel->advance(bytes_of(plan.plan_exec().random()), bytes_of(reply->plan_exec().random()));
  }
  return true;
}

Bytes Conversation::start(bool renews) {
  auto choice = RawClient::choice(user_);
  if (renews) choice.set_renews(session_id_.empty() ? std::string(16, 's') : session_id_);
  raw.knight.reset();
  raw.machine.emplace(choice);
  return *raw.machine->start(crypto::fill_random);
}

Bytes Conversation::knight_start(bool renews) {
  auto choice = RawClient::knight_choice(user_);
  if (renews) choice.set_renews(session_id_.empty() ? std::string(16, 's') : session_id_);
  raw.knight.emplace(choice);
  return *raw.knight->start(crypto::fill_random);
}

Bytes Conversation::password() {
  if (raw.knight) {
    if (Bytes packet = raw.password_packet(password_); !packet.empty()) return packet;
  }
  wire::ClientPacket packet;
  packet.mutable_kryptoknight_password()->set_password(std::string("\x04", 1) + std::string(156, '\0'));
  packet.mutable_kryptoknight_password()->set_finished(std::string("\x01", 1) + std::string(60, '\0'));
  return wire::encode(packet);
}

Bytes Conversation::proof() {
  if (raw.machine) {
    if (Bytes packet = raw.proof(password_); !packet.empty()) return packet;
  }
  wire::ClientPacket packet;
  packet.set_finished(std::string("\x01", 1) + std::string(60, '\0'));
  return wire::encode(packet);
}

Bytes Conversation::record(const wire::SessionRequest& request) {
  if (raw.channel) return raw.sealed(request);
  wire::ClientPacket packet;
  packet.set_record(std::string("\x02", 1) + std::string(40, '\0'));
  return wire::encode(packet);
}

Answer Conversation::say(ByteView packet) {
  if (!raw.send(packet)) return {};
  return hear();
}

Answer Conversation::hear() {
  auto packet = raw.receive();
  heard = packet ? std::move(*packet) : Bytes();
  if (heard.empty() || wire::decode(heard, raw.last_packet) != wire::Decoded::kMessage) return {};
  return judge(raw.last_packet);
}

Answer Conversation::judge(const wire::ServerPacket& packet) {
  switch (packet.body_case()) {
    case wire::ServerPacket::kChallengeNumbers:
    case wire::ServerPacket::kKryptoknightReply: return {Said::kNumbers};
    case wire::ServerPacket::kTable: return {Said::kTable};
    case wire::ServerPacket::kDenied: return {Said::kDenied};
    case wire::ServerPacket::kRefused: return {Said::kRefused, packet.refused().code()};
    case wire::ServerPacket::kFinished: {
      if (!raw.machine && !raw.knight) return {Said::kUnproven};
      auto channel = raw.knight ? raw.knight->finish(heard, bytes_of(packet.finished()))
                                : raw.machine->finish(heard, bytes_of(packet.finished()));
      if (!channel) return {Said::kUnproven};
      raw.channel.emplace(std::move(*channel));
      session_id_ = raw.knight ? raw.knight->session_id() : raw.machine->session_id();
      return {Said::kFinished};
    }
    case wire::ServerPacket::kRecord: {
      wire::SessionReply reply;
      ByteView payload;
      if (!raw.channel) return {Said::kUnproven};
      const auto opened = raw.channel->open(exchange::RecordType::kSession, bytes_of(packet.record()));
      if (!opened || !wire::decode_session(opened->reveal(), reply, payload)) return {Said::kUnproven};
      if (reply.has_refused()) return {Said::kRefusedInside, reply.refused().code()};
      return {Said::kReply};
    }
    default: return {};
  }
}

Answer Conversation::prove_all_the_same() {
  if (raw.last_packet.has_kryptoknight_reply()) {
    if (!raw.knight || !raw.knight->take_reply(heard, raw.last_packet.kryptoknight_reply()))
      return {Said::kUnproven};
    const Bytes packet = raw.password_packet(password_);
    return packet.empty() ? Answer{Said::kUnproven} : say(packet);
  }
  if (!raw.machine) return {Said::kUnproven};
  if (!raw.machine->take_numbers(heard, raw.last_packet.challenge_numbers())) return {Said::kUnproven};
  return say(proof());
}

bool Conversation::is_closed() const {
  pollfd entry{raw.descriptor(), POLLIN, 0};
  return ::poll(&entry, 1, 0) != 0;
}

}  // namespace keyd::testing
