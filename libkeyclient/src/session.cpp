#include "libkeyclient/src/session.h"

#include <algorithm>

#include "core/crypto/random.h"
#include "core/exchange/challenge.h"

namespace keyd::client {
namespace {

constexpr std::string_view kHandoverMagic = "keyd/1 handover\n";
static_assert(kHandoverMagic.size() == 16);

using FreshOctets = std::array<std::uint8_t, 32>;

Outcome<FreshOctets> draw_fresh() {
  FreshOctets fresh{};
  if (!crypto::fill_random(fresh)) return failed(KEYCLIENT_INTERNAL, "no random numbers");
  return fresh;
}

std::string text_from(const FreshOctets& fresh) { return {fresh.begin(), fresh.end()}; }

Failure unexpected_answer() { return {KEYCLIENT_INVALID, "keyd answered something else than was asked"}; }

}  // namespace

Outcome<Session> Session::authenticate(KeydLink& link, const std::string& server_name, const Login& login,
                                       const std::string& renews, secret::SecretBuffer& password) {
  wire::ChallengeStart choice = login.choice;
  choice.set_server_name(server_name);
  choice.set_renews(renews);
  exchange::ChallengeClient machine(choice);

  const auto start = machine.start(crypto::fill_random);
  if (!start) return std::unexpected(failure_of(start.error()));
  const auto numbers = link.ask(*start);
  if (!numbers) return std::unexpected(numbers.error());
  if (numbers->message.has_refused()) return std::unexpected(failure_of(numbers->message.refused()));
  if (!numbers->message.has_challenge_numbers()) return std::unexpected(unexpected_answer());
  if (auto taken = machine.take_numbers(numbers->packet, numbers->message.challenge_numbers()); !taken) {
    return std::unexpected(failure_of(taken.error()));
  }

  if (password.empty()) {
    auto given = login.password();
    if (!given) return std::unexpected(given.error());
    password = std::move(*given);
  }
  const auto proof = machine.prove(password.reveal());
  if (!proof) return std::unexpected(failure_of(proof.error()));
  const auto judged = link.ask(*proof);
  if (!judged) return std::unexpected(judged.error());
  if (judged->message.has_denied()) return failed(KEYCLIENT_DENIED, "denied: wrong user name or password");
  if (judged->message.has_refused()) return std::unexpected(failure_of(judged->message.refused()));
  if (!judged->message.has_finished()) return std::unexpected(unexpected_answer());
  auto channel = machine.finish(judged->packet, bytes_of(judged->message.finished()));
  if (!channel) return failed(KEYCLIENT_SERVER_UNPROVEN, channel.error().message());
  return Session(std::move(link), std::move(*channel), machine.session_id());
}

Outcome<Session> Session::adopt(KeydLink link, ByteView handover) {
  if (handover.size() != kHandoverSize || text_of(handover.first(16)) != kHandoverMagic) {
    return failed(KEYCLIENT_INVALID, "what KEYD_SESSION names is no session");
  }
  auto channel = exchange::SecureChannel::take_over(handover.subspan(16 + wire::kSessionIdSize));
  if (!channel) return failed(KEYCLIENT_INVALID, "what KEYD_SESSION names is no session");
  Session session(std::move(link), std::move(*channel),
                  std::string(text_of(handover.subspan(16, wire::kSessionIdSize))));
  const auto fresh = draw_fresh();
  if (!fresh) return std::unexpected(fresh.error());
  wire::SessionRequest request;
  request.mutable_adopt()->set_random(text_from(*fresh));
  const auto reply = session.ask_once(request, {});
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_adopt() || reply->message.adopt().random().size() != fresh->size()) {
    return std::unexpected(unexpected_answer());
  }
  session.channel_.advance_for_new_image(*fresh, bytes_of(reply->message.adopt().random()));
  return session;
}

Outcome<Session::Reply> Session::ask_once(const wire::SessionRequest& request, ByteView payload) {
  if (!link_.usable()) return failed(KEYCLIENT_GONE, "the conversation with keyd has broken off");
  const auto plaintext = wire::encode_session(request, payload);
  const auto record = channel_.seal(exchange::RecordType::kSession, plaintext.reveal());
  if (!record) return std::unexpected(failure_of(record.error()));
  wire::ClientPacket packet;
  packet.set_record(record->data(), record->size());
  auto answer = link_.ask(wire::encode(packet));
  if (!answer) return std::unexpected(answer.error());
  if (answer->message.has_refused()) {
    // Outside the channel keyd refuses only what ends the session; anybody's words, so no more than that is
    // believed.
    Failure refusal = failure_of(answer->message.refused());
    refusal.status = KEYCLIENT_GONE;
    return std::unexpected(std::move(refusal));
  }
  link_.abandon();  // until the answer has proved to be one
  if (!answer->message.has_record()) return std::unexpected(unexpected_answer());
  auto opened = channel_.open(exchange::RecordType::kSession, bytes_of(answer->message.record()));
  if (!opened) return failed(KEYCLIENT_GONE, "keyd's record does not open; the session is over");
  Reply reply;
  reply.plaintext = std::move(*opened);
  if (!wire::decode_session(reply.plaintext.reveal(), reply.message, reply.payload)) {
    return std::unexpected(unexpected_answer());
  }
  link_.resume();
  if (reply.message.has_refused()) return std::unexpected(failure_of(reply.message.refused()));
  return reply;
}

Outcome<Session::Reply> Session::ask(const wire::SessionRequest& request, ByteView payload) {
  if (channel_.wants_rekey()) {
    if (auto done = rekey(); !done) return std::unexpected(done.error());
  }
  return ask_once(request, payload);
}

Outcome<void> Session::rekey() {
  const auto fresh = draw_fresh();
  if (!fresh) return std::unexpected(fresh.error());
  wire::SessionRequest request;
  request.mutable_rekey()->set_random(text_from(*fresh));
  const auto reply = ask_once(request, {});
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_rekey() || reply->message.rekey().random().size() != fresh->size()) {
    return std::unexpected(unexpected_answer());
  }
  channel_.advance(*fresh, bytes_of(reply->message.rekey().random()));
  return {};
}

Outcome<void> Session::end() {
  wire::SessionRequest request;
  request.mutable_end();
  const auto reply = ask(request);
  if (!reply) return std::unexpected(reply.error());
  return {};
}

Outcome<secret::SecretBuffer> Session::credential(const std::string& name) {
  wire::SessionRequest request;
  request.mutable_credential()->set_name(name);
  auto reply = ask(request);
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_credential()) return std::unexpected(unexpected_answer());
  return secret::SecretBuffer::copy_of(reply->payload);
}

Outcome<std::vector<std::string>> Session::credential_names() {
  wire::SessionRequest request;
  request.mutable_credential_names();
  const auto reply = ask(request);
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_credential_names()) return std::unexpected(unexpected_answer());
  const auto& names = reply->message.credential_names().names();
  return std::vector<std::string>(names.begin(), names.end());
}

Outcome<secret::SecretBuffer> Session::echo(ByteView data) {
  wire::SessionRequest request;
  request.mutable_echo();
  const auto reply = ask(request, data);
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_echo()) return std::unexpected(unexpected_answer());
  return secret::SecretBuffer::copy_of(reply->payload);
}

Outcome<secret::SecretBuffer> Session::plan_exec() {
  const auto fresh = draw_fresh();
  if (!fresh) return std::unexpected(fresh.error());
  wire::SessionRequest request;
  request.mutable_plan_exec()->set_random(text_from(*fresh));
  const auto reply = ask(request);
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_plan_exec() || reply->message.plan_exec().random().size() != fresh->size()) {
    return std::unexpected(unexpected_answer());
  }
  channel_.advance(*fresh, bytes_of(reply->message.plan_exec().random()));
  const auto keys = channel_.hand_over();
  secret::SecretBuffer handover(kHandoverSize);
  auto at = std::ranges::copy(kHandoverMagic, handover.reveal().begin()).out;
  at = std::ranges::copy(id_, at).out;
  std::ranges::copy(keys.reveal(), at);
  return handover;
}

}  // namespace keyd::client
