#include "tests/support/changing_client.h"

#include "core/crypto/random.h"

namespace keyd::testing {

bool ChangingClient::log_in(const std::string& name, const std::string& password) {
  user = name;
  wire::SrpStart choice = RawClient::srp_choice(name);
  choice.set_can_change_password(true);
  if (!raw.begin_srp(choice)) return false;
  if (!raw.prove_srp(password)) return false;
  session_id = raw.srp->session_id();
  change.emplace(raw.srp->take_keys(), exchange::ChangeContext{user, wire::SUITE_MODERN},
                 raw.srp->parameters(), exchange::SrpClientPolicy{});
  return true;
}

std::optional<ChangingClient::Reply> ChangingClient::ask(const wire::SessionRequest& request,
                                                         ByteView payload) {
  const auto plaintext = wire::encode_session(request, payload);
  const auto record = raw.channel->seal(exchange::RecordType::kSession, plaintext.reveal());
  wire::ClientPacket packet;
  packet.set_record(record->data(), record->size());
  if (!raw.send(packet)) return std::nullopt;
  raw.last_packet = raw.receive_message();
  if (!raw.last_packet.has_record()) return std::nullopt;
  const auto opened = raw.channel->open(exchange::RecordType::kSession, bytes_of(raw.last_packet.record()));
  Reply reply;
  ByteView rest;
  if (!opened || !wire::decode_session(opened->reveal(), reply.message, rest)) return std::nullopt;
  reply.payload.assign(rest.begin(), rest.end());
  if (reply.message.has_change_request()) {
    const wire::ChangeRequest& question = reply.message.change_request();
    (void)change->take_question(
        bytes_of(question.eap()), bytes_of(question.derivation()),
        [](std::string_view) -> Result<Bytes> { return fail(Code::kNotFound, "nowhere"); });
  }
  return reply;
}

bool ChangingClient::be_asked() {
  wire::SessionRequest request;
  request.mutable_change_asked()->set_wanted(true);
  const auto reply = ask(request);
  return reply && reply->message.has_change_asked() && change->serial() != 0;
}

wire::SrpStart ChangingClient::nested_choice() const {
  wire::SrpStart choice = RawClient::srp_choice(user);
  choice.set_renews(session_id);
  choice.set_can_change_password(true);
  return choice;
}

std::optional<ChangingClient::Reply> ChangingClient::ask_nested(wire::NestedPurpose purpose,
                                                                ByteView packet) {
  wire::SessionRequest request;
  request.mutable_nested()->set_purpose(purpose);
  auto reply = ask(request, packet);
  last_nested.Clear();
  if (reply && reply->message.has_nested()) {
    last_nested_octets = reply->payload;
    (void)wire::decode(last_nested_octets, last_nested);
  }
  return reply;
}

bool ChangingClient::ask_srp_nested(wire::NestedPurpose purpose, const Result<Bytes>& packet) {
  return packet && ask_nested(purpose, *packet) && last_nested.has_srp();
}

bool ChangingClient::nested(wire::NestedPurpose purpose, const std::string& password) {
  exchange::SrpClient machine(nested_choice(), {});
  if (!ask_srp_nested(purpose, machine.start(crypto::fill_random)) ||
      !ask_srp_nested(purpose, machine.take_challenge(last_nested_octets, last_nested.srp(),
                                                      crypto::fill_random_private)) ||
      !machine.take_key(last_nested_octets, last_nested.srp()) ||
      !ask_srp_nested(purpose, machine.prove(bytes_of(password))) ||
      !ask_srp_nested(purpose, machine.take_proof(last_nested_octets, last_nested.srp())))
    return false;
  auto channel = machine.finish(last_nested_octets, last_nested.srp());
  if (!channel) return false;
  if (purpose != wire::NESTED_PURPOSE_REAUTHENTICATE) return true;
  raw.channel.emplace(std::move(*channel));
  session_id = machine.session_id();
  change.emplace(machine.take_keys(), exchange::ChangeContext{user, wire::SUITE_MODERN}, machine.parameters(),
                 exchange::SrpClientPolicy{});
  return true;
}

Bytes ChangingClient::answer(const std::string& fresh) const {
  const auto v = exchange::make_verifier(change->fresh(), bytes_of(user), bytes_of(fresh));
  return *change->answer(v->reveal(), crypto::fill_random);
}

wire::SessionRequest ChangingClient::answer_request(ByteView packet) {
  wire::SessionRequest request;
  request.mutable_change_answer()->set_eap(packet.data(), packet.size());
  return request;
}

}  // namespace keyd::testing
