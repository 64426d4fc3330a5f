#include "tests/bench/srp_renewer.h"

#include <algorithm>

#include "core/crypto/random.h"

namespace keyd::bench {

using exchange::EapSrpForm;
using exchange::SrpSubtype;

bool SrpRenewer::log_in() { return begin() && take_challenge() && prove() && confirm(); }

std::optional<exchange::EapSrpMessage> SrpRenewer::hear(SrpSubtype subtype) {
  const auto packet = raw_.receive(60);
  if (!packet || wire::decode(*packet, answer_) != wire::Decoded::kMessage || !answer_.has_srp())
    return std::nullopt;
  transcript_.server_said(*packet);
  const auto message = exchange::decode_srp_message(EapSrpForm(), bytes_of(answer_.srp().eap()));
  if (!message || message->subtype != subtype) return std::nullopt;
  identifier_ = message->identifier;
  return *message;
}

bool SrpRenewer::say(SrpSubtype subtype, ByteView body, ByteView finished) {
  const auto eap = exchange::encode_srp_message(
      EapSrpForm(),
      {.code = exchange::EapCode::kResponse, .identifier = identifier_, .subtype = subtype, .body = body});
  if (!eap) return false;
  wire::ClientPacket packet;
  packet.mutable_srp()->set_eap(eap->data(), eap->size());
  packet.mutable_srp()->set_finished(finished.data(), finished.size());
  const Bytes octets = wire::encode(packet);
  transcript_.client_said(octets);
  return raw_.send(octets);
}

// 1
bool SrpRenewer::begin() {
  transcript_ = {};
  wire::ClientPacket packet;
  wire::SrpStart& start = *packet.mutable_srp_start();
  start = testing::RawClient::srp_choice(user_);
  Bytes random(wire::kClientRandomSize);
  if (!crypto::fill_random(random)) return false;
  start.set_client_random(random.data(), random.size());
  start.set_renews(session_);
  const Bytes octets = wire::encode(packet);
  transcript_.client_said(octets);
  return raw_.send(octets);
}

// 2 and 3
bool SrpRenewer::take_challenge() {
  const auto message = hear(SrpSubtype::kKey);
  if (!message) return false;
  const auto challenge = exchange::decode_challenge(EapSrpForm(), message->body);
  if (!challenge) return false;
  if (x_.empty() || !std::ranges::equal(salt_, challenge->salt)) {
    salt_.assign(challenge->salt.begin(), challenge->salt.end());
    auto group = exchange::accept_group(challenge->modulus_octets(), challenge->generator_octets(),
                                        exchange::GroupPolicy());
    auto x = exchange::derive_x(challenge->derivation, bytes_of(user_), bytes_of(password_), salt_);
    if (!group || !x) return false;
    auto pair = exchange::draw_ephemeral(*group, crypto::fill_random_private);
    if (!pair) return false;
    group_ = std::move(*group);
    x_ = std::move(*x);
    pair_ = std::move(*pair);
  }
  session_ = answer_.srp().session_id();
  return say(SrpSubtype::kKey, pair_->power.reveal());
}

// 4 to 6
bool SrpRenewer::prove() {
  const auto key = hear(SrpSubtype::kValidator);
  if (!key) return false;
  const auto rules = exchange::SrpRules::srp6a();
  const crypto::Number A = crypto::Number::of(pair_->power.reveal()), B = crypto::Number::of(key->body);
  const auto u = exchange::u_of(rules, *group_, A, B);
  if (!u) return false;
  const crypto::Number S = exchange::client_S(rules, *pair_, crypto::Number::of(x_.reveal()), B, *u);
  const secret::SecretBuffer K = exchange::K_of(rules, S);
  const auto proofs = exchange::proofs_of(rules, *group_, bytes_of(user_), salt_, A, B, K.reveal(), {});
  const auto body = exchange::encode_validator(
      EapSrpForm(), exchange::EapCode::kResponse,
      {.flags = exchange::kKeyIsForEncryption, .proof = proofs.M1, .hidden_pseudonym = {}});
  if (!body || !say(SrpSubtype::kValidator, *body)) return false;
  const auto validator = hear(SrpSubtype::kConfirmation);
  if (!validator) return false;
  const auto proved = exchange::decode_validator(EapSrpForm(), exchange::EapCode::kRequest, validator->body);
  if (!proved || !std::ranges::equal(proved->proof, proofs.M2)) return false;
  channel_.emplace(exchange::Role::kClient, K.reveal(), K.reveal(), transcript_.hash());
  return true;
}

// 7 and 8
bool SrpRenewer::confirm() {
  const auto record = channel_->seal(exchange::RecordType::kFinished, transcript_.hash());
  if (!record || !say(SrpSubtype::kConfirmation, {}, *record)) return false;
  const auto packet = raw_.receive(60);
  return packet && wire::decode(*packet, answer_) == wire::Decoded::kMessage && answer_.has_srp() &&
         channel_->open(exchange::RecordType::kFinished, bytes_of(answer_.srp().finished())).has_value();
}

}  // namespace keyd::bench
