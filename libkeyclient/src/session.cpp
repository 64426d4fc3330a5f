#include "libkeyclient/src/session.h"

#include <algorithm>
#include <utility>

#include "core/crypto/random.h"
#include "core/exchange/password_history.h"
#include "libkeyclient/src/placed_parameters.h"

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

}  // namespace

Outcome<Session> Session::authenticate(KeydLink& link, const Target& target, const Login& login,
                                       const std::string& renews, secret::SecretBuffer& password) {
  auto established = run_exchange(link, target.server_name, login, renews, password);
  if (!established) return std::unexpected(established.error());
  return Session(std::move(link), target.runtime_dir, std::move(*established));
}

Outcome<Session> Session::adopt(KeydLink link, ByteView handover) {
  if (handover.size() != kHandoverSize || text_of(handover.first(16)) != kHandoverMagic) {
    return failed(KEYCLIENT_INVALID, "what KEYD_SESSION names is no session");
  }
  auto channel = exchange::SecureChannel::take_over(handover.subspan(16 + wire::kSessionIdSize));
  if (!channel) return failed(KEYCLIENT_INVALID, "what KEYD_SESSION names is no session");
  Session session(std::move(link), {},  // it cannot be asked for a password: there are no keys for that here
                  {std::move(*channel), std::string(text_of(handover.subspan(16, wire::kSessionIdSize)))});
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
  if (auto ready = provide_command_key(); !ready) return std::unexpected(ready.error());
  return exchange_records(request, payload);
}

Outcome<void> Session::provide_command_key() {
  if (!command_keys_ || !std::exchange(command_keys_->used, true)) return {};
  exchange::CommandKeyRequest asked;
  auto fresh = asked.ask(crypto::fill_random);
  if (!fresh) return std::unexpected(failure_of(fresh.error()));
  wire::SessionRequest request;
  *request.mutable_fresh_key() = std::move(*fresh);
  const auto reply = exchange_records(request, {});
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_fresh_key()) return std::unexpected(unexpected_answer());
  const wire::WrappedKey& answer = reply->message.fresh_key();
  link_.abandon();  // until this end has gone over too
  const auto key =
      asked.take(answer, command_keys_->suite, command_keys_->hash.reveal(), command_keys_->host_port);
  if (!key) return failed(KEYCLIENT_GONE, key.error().message() + "; the session is over");
  channel_.advance_with_key(asked.client_nonce(), bytes_of(answer.server_nonce()), key->reveal());
  link_.resume();
  return {};
}

// The sealed receipt: with whatever is asked next.
wire::SessionRequest Session::with_receipt(const wire::SessionRequest& request) {
  wire::SessionRequest out = request;
  out.set_change_received(std::exchange(received_, 0));
  return out;
}

Outcome<Session::Reply> Session::exchange_records(const wire::SessionRequest& request, ByteView payload) {
  if (!link_.usable()) return failed(KEYCLIENT_GONE, "the conversation with keyd has broken off");
  const auto plaintext = wire::encode_session(with_receipt(request), payload);
  const auto record = channel_.seal(exchange::RecordType::kSession, plaintext.reveal());
  if (!record) return std::unexpected(failure_of(record.error()));
  wire::ClientPacket packet;
  packet.set_record(record->data(), record->size());
  auto answer = link_.ask(wire::encode(packet));
  if (!answer) return std::unexpected(answer.error());
  link_.abandon();  // until the answer has proved to be one, and there was memory for it
  if (answer->message.has_refused()) {
    // Outside the channel keyd refuses only what ends the session; anybody's words, so no more than that is
    // believed.
    Failure refusal = failure_of(answer->message.refused());
    refusal.status = KEYCLIENT_GONE;
    return std::unexpected(std::move(refusal));
  }
  if (!answer->message.has_record()) return std::unexpected(unexpected_answer());
  auto opened = channel_.open(exchange::RecordType::kSession, bytes_of(answer->message.record()));
  if (!opened) return failed(KEYCLIENT_GONE, "keyd's record does not open; the session is over");
  Reply reply;
  reply.plaintext = std::move(*opened);
  if (!wire::decode_session(reply.plaintext.reveal(), reply.message, reply.payload)) {
    return std::unexpected(unexpected_answer());
  }
  link_.resume();
  try {
    if (reply.message.has_change_request()) take_question(reply.message.change_request());
  } catch (const std::bad_alloc&) {
    // As one that did not arrive, which keyd asks again: the reply beside it is here. Who has asked for it is told.
    if (request.has_change_asked()) throw;
  }
  if (!reply.message.has_refused()) return reply;
  Failure refusal = failure_of(reply.message.refused());
  refusal.sealed = reply.message.refused().code();
  return std::unexpected(std::move(refusal));
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
  link_.abandon();  // until this end has gone over too
  channel_.advance(*fresh, bytes_of(reply->message.rekey().random()));
  link_.resume();
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

// ---- a change of the password

void Session::take_question(const wire::ChangeRequest& question) {
  if (!change_) return;
  const ByteView given = bytes_of(question.history_salt());
  Bytes salt(given.begin(), given.end());
  const auto taken = change_->machine.take_question(
      bytes_of(question.eap()), bytes_of(question.derivation()),
      [this](std::string_view name) { return read_placed(runtime_dir_, name); });
  if (!taken || salt.size() != exchange::kHistorySaltSize) return;
  change_->history_salt = std::move(salt);
  received_ = change_->machine.serial();
}

Outcome<void> Session::ask_for_change(bool wanted) {
  wire::SessionRequest request;
  request.mutable_change_asked()->set_wanted(wanted);
  const auto reply = ask(request);
  if (!reply) return std::unexpected(reply.error());
  if (!reply->message.has_change_asked()) return std::unexpected(unexpected_answer());
  if (!change_requested())
    return failed(KEYCLIENT_SERVER_UNPROVEN,
                  "keyd's request for a new password does not hold; it was ignored");
  return {};
}

namespace {
// What keyd refuses of a change leaves the session as it is, whatever the word.
Failure within_session(Failure refusal) {
  if (refusal.sealed != wire::REFUSAL_UNSPECIFIED &&
      (refusal.status == KEYCLIENT_GONE || refusal.status == KEYCLIENT_DEADLINE))
    refusal.status = KEYCLIENT_REFUSED;
  return refusal;
}
}  // namespace

Outcome<ServerAnswer> Session::ask_nested(wire::NestedPurpose purpose, ByteView packet) {
  wire::SessionRequest request;
  request.mutable_nested()->set_purpose(purpose);
  const auto reply = ask(request, packet);
  if (!reply) return std::unexpected(within_session(reply.error()));
  ServerAnswer answer;
  answer.packet.assign(reply->payload.begin(), reply->payload.end());
  if (!reply->message.has_nested() || wire::decode(answer.packet, answer.message) != wire::Decoded::kMessage)
    return std::unexpected(unexpected_answer());
  return answer;
}

Outcome<void> Session::answer_change(std::uint64_t serial, ByteView v, ByteView of_new, ByteView of_old) {
  if (change_->machine.serial() !=
      serial)  // of no use to keyd either, which asks something else now, or nothing
    return std::unexpected(Failure{KEYCLIENT_REFUSED, "keyd asks otherwise now", wire::REFUSAL_OUT_OF_ORDER});
  const auto answer = change_->machine.answer(v, crypto::fill_random);
  if (!answer) return std::unexpected(failure_of(answer.error()));
  wire::SessionRequest request;
  request.mutable_change_answer()->set_eap(answer->data(), answer->size());
  secret::SecretBuffer hashes(of_new.size() + of_old.size());
  std::ranges::copy(of_old, std::ranges::copy(of_new, hashes.reveal().begin()).out);
  const auto reply = ask(request, hashes.reveal());
  if (!reply) {
    // Another session has answered: what stood here is over, unless the refusal has brought the next question.
    if (reply.error().sealed == wire::REFUSAL_NOT_FOUND && change_->machine.serial() == serial)
      change_->machine.withdraw();
    return std::unexpected(within_session(reply.error()));
  }
  if (!reply->message.has_change_answer() ||
      !change_->machine.take_success(bytes_of(reply->message.change_answer().eap())))
    return std::unexpected(unexpected_answer());
  return {};
}

void Session::go_on_with(Established renewed) {
  channel_ = std::move(renewed.channel);
  id_ = std::move(renewed.session_id);
  change_ = std::move(renewed.change);
  received_ = 0;
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
  link_.abandon();  // whatever comes of it: the next image alone is heard there
  channel_.advance(*fresh, bytes_of(reply->message.plan_exec().random()));
  const auto keys = channel_.hand_over();
  secret::SecretBuffer handover(kHandoverSize);
  auto at = std::ranges::copy(kHandoverMagic, handover.reveal().begin()).out;
  at = std::ranges::copy(id_, at).out;
  std::ranges::copy(keys.reveal(), at);
  return handover;
}

}  // namespace keyd::client
