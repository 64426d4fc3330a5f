// Both ends use what was proved only after it was proved: K leaves a step only inside the channel and the keys, which
// are made when M1 (the server) or M2 (the client) has been verified.
#include "core/exchange/srp.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/base/untrusted_text.h"
#include "core/crypto/digest.h"
#include "core/wire/limits.h"

namespace keyd::exchange {
namespace {

constexpr std::size_t kMaxServerName = 255;  // octets
constexpr std::uint8_t kFirstIdentifier = 1;

bool is_historic(const wire::SrpStart& start) { return start.suite() == wire::SUITE_HISTORIC; }

EapSrpForm form_of(const wire::SrpStart& start, std::uint32_t vendor_id) {
  return is_historic(start) ? EapSrpForm::type19() : EapSrpForm::of_vendor(vendor_id);
}

// ---- packets

template <typename Packet>
Bytes encode(Packet& packet) {
  packet.set_version(wire::kVersion);
  Bytes out(packet.ByteSizeLong());
  packet.SerializeWithCachedSizesToArray(out.data());
  return out;
}

Bytes client_packet(const wire::SrpPacket& message) {
  wire::ClientPacket packet;
  *packet.mutable_srp() = message;
  return encode(packet);
}

Bytes server_packet(const wire::SrpPacket& message) {
  wire::ServerPacket packet;
  *packet.mutable_srp() = message;
  return encode(packet);
}

// Fields that a packet of this step does not have are a mistake, or somebody's.
bool has_beside(const wire::SrpPacket& packet, std::size_t server_random, std::size_t session_id,
                bool finished) {
  return packet.server_random().size() == server_random && packet.session_id().size() == session_id &&
         packet.finished().empty() != finished;
}

// ---- derivations

SrpRules rules_of(const wire::SrpStart& start) {
  if (!is_historic(start)) return SrpRules::srp6a();
  return SrpRules::srp3(start.interleave() == wire::SRP_INTERLEAVE_STANFORD ? Interleave::kStanford
                                                                            : Interleave::kRfc2945);
}

struct Proven {
  secret::SecretBuffer K;
  Proofs proofs;
};

Proven prove_from(const wire::SrpStart& start, const SrpGroup& group, ByteView salt,
                  std::uint8_t challenge_identifier, const crypto::Number& A, const crypto::Number& B,
                  const crypto::Number& S) {
  const SrpRules rules = rules_of(start);
  Proven out{K_of(rules, S), {}};
  const std::array<std::uint8_t, 2> identifier_and_type{challenge_identifier, eap_type::kSrpSha1};
  const ByteView extra = is_historic(start) ? ByteView(identifier_and_type) : ByteView();
  out.proofs = proofs_of(rules, group, bytes_of(start.user()), salt, A, B, out.K.reveal(), extra);
  return out;
}

SrpKeys keys_from(const wire::SrpStart& start, ByteView K, ByteView server_random, ByteView transcript_hash) {
  if (!is_historic(start)) return modern_srp_keys(K, transcript_hash);
  return historic_srp_keys(K, bytes_of(start.client_random()), server_random);
}

Bytes copy_of(ByteView octets) { return {octets.begin(), octets.end()}; }

}  // namespace

Result<void> check_start(const wire::SrpStart& start) {
  if (!is_acceptable_name(start.user())) return fail(Code::kInvalid, "not a user name");
  if (start.client_random().size() != wire::kClientRandomSize)
    return fail(Code::kInvalid, "client_random is not 32 octets");
  if (start.server_name().empty() || start.server_name().size() > kMaxServerName)
    return fail(Code::kInvalid, "server_name is not 1 to 255 octets");
  if (!start.renews().empty() && start.renews().size() != wire::kSessionIdSize)
    return fail(Code::kInvalid, "renews is not a session id");
  switch (start.suite()) {
    case wire::SUITE_MODERN:
      if (start.interleave() != 0) return fail(Code::kInvalid, "the modern suite interleaves nothing");
      return {};
    case wire::SUITE_HISTORIC:
      if (!wire::SrpInterleave_IsValid(start.interleave())) return fail(Code::kInvalid, "unknown interleave");
      return {};
    default: return fail(Code::kInvalid, "unknown suite");
  }
}

// ---- the client's steps

std::unexpected<Error> SrpClient::failed(Code code, const char* why) {
  state_ = State::kFailed;
  pair_.reset();
  K_ = {};
  channel_.reset();
  keys_.reset();
  return fail(code, why);
}
std::unexpected<Error> SrpClient::failed(const Error& error) {
  (void)failed(error.code, "");
  return std::unexpected(error);
}

Result<EapSrpMessage> SrpClient::next_request(const wire::SrpPacket& packet, SrpSubtype subtype) {
  const auto message = decode_srp_message(form_of(start_, policy_.vendor_id), bytes_of(packet.eap()));
  if (!message) return message;
  if (message->code != EapCode::kRequest || message->subtype != subtype)
    return fail(Code::kRefused, "not the server's next message");
  // RFC 3748 section 4.1: a new Request has another Identifier than the one before.
  if (state_ != State::kStarted && message->identifier == identifier_)
    return fail(Code::kRefused, "the server repeats itself");
  identifier_ = message->identifier;
  return message;
}

Result<Bytes> SrpClient::respond(SrpSubtype subtype, ByteView body, ByteView finished) {
  const auto eap = encode_srp_message(
      form_of(start_, policy_.vendor_id),
      {.code = EapCode::kResponse, .identifier = identifier_, .subtype = subtype, .body = body});
  if (!eap) return eap;
  wire::SrpPacket packet;
  packet.set_eap(eap->data(), eap->size());
  packet.set_finished(finished.data(), finished.size());
  Bytes octets = client_packet(packet);
  transcript_.client_said(octets);
  return octets;
}

Result<Bytes> SrpClient::start(const RandomSource& random) {
  if (state_ != State::kIdle) return failed(Code::kRefused, "start out of order");
  std::array<std::uint8_t, wire::kClientRandomSize> rc{};
  if (!random(rc)) return failed(Code::kBroken, "no random numbers");
  start_.set_client_random(rc.data(), rc.size());
  if (auto checked = check_start(start_); !checked) return failed(checked.error());
  wire::ClientPacket packet;
  *packet.mutable_srp_start() = start_;
  Bytes octets = encode(packet);
  transcript_.client_said(octets);
  state_ = State::kStarted;
  return octets;
}

Result<Bytes> SrpClient::take_challenge(ByteView packet, const wire::SrpPacket& challenge,
                                        const RandomSource& random) {
  if (state_ != State::kStarted) return failed(Code::kRefused, "challenge out of order");
  const bool historic = is_historic(start_);
  if (!has_beside(challenge, historic ? wire::kServerRandomSize : 0, wire::kSessionIdSize, false))
    return failed(Code::kInvalid, "the Challenge does not have its sizes");
  const auto message = next_request(challenge, SrpSubtype::kKey);
  if (!message) return failed(message.error());
  const auto body = decode_challenge(form_of(start_, policy_.vendor_id), message->body);
  if (!body) return failed(body.error());
  if (text_of(body->name) != start_.server_name())
    return failed(Code::kRefused, "the Challenge of another server");
  if (body->salt.empty()) return failed(Code::kInvalid, "no salt");
  // Both are weighed before any work, and before anybody is asked for a password.
  if (!historic) {
    if (auto taken = check_derivation(body->derivation, policy_.derivations); !taken)
      return failed(taken.error());
  }
  const auto group = accept_group(body->modulus_octets(), body->generator_octets(), policy_.groups);
  if (!group) return failed(group.error());
  auto pair = draw_ephemeral(*group, random);
  if (!pair) return failed(pair.error());

  challenge_identifier_ = message->identifier;
  session_id_ = challenge.session_id();
  server_random_ = copy_of(historic ? bytes_of(challenge.server_random()) : body->server_random);
  salt_ = copy_of(body->salt);
  derivation_ = body->derivation;
  group_ = *group;
  pair_ = std::move(*pair);
  transcript_.server_said(packet);
  auto octets = respond(SrpSubtype::kKey, pair_->power.reveal());
  if (!octets) return failed(octets.error());
  state_ = State::kChallenged;
  return octets;
}

Result<void> SrpClient::take_key(ByteView packet, const wire::SrpPacket& key) {
  if (state_ != State::kChallenged) return failed(Code::kRefused, "key out of order");
  if (!has_beside(key, 0, 0, false)) return failed(Code::kInvalid, "the Server Key has other fields");
  const auto message = next_request(key, SrpSubtype::kValidator);
  if (!message) return failed(message.error());
  auto B = public_value(pair_->group, message->body);
  if (!B) return failed(B.error());
  auto u = u_of(rules_of(start_), pair_->group, crypto::Number::of(pair_->power.reveal()), *B);
  if (!u) return failed(u.error());
  B_ = std::move(*B);
  u_ = std::move(*u);
  transcript_.server_said(packet);
  state_ = State::kKeyed;
  return {};
}

Result<Bytes> SrpClient::prove(ByteView password) {
  if (state_ != State::kKeyed) return failed(Code::kRefused, "proof out of order");
  const auto x = derive_x(derivation_, bytes_of(start_.user()), password, salt_);
  if (!x) return failed(x.error());
  const crypto::Number S = client_S(rules_of(start_), *pair_, crypto::Number::of(x->reveal()), *B_, *u_);
  Proven proven = prove_from(start_, pair_->group, salt_, challenge_identifier_,
                             crypto::Number::of(pair_->power.reveal()), *B_, S);
  pair_.reset();
  K_ = std::move(proven.K);
  M2_ = std::move(proven.proofs.M2);
  const EapSrpForm form = form_of(start_, policy_.vendor_id);
  const auto body =
      encode_validator(form, EapCode::kResponse,
                       {.flags = kKeyIsForEncryption, .proof = proven.proofs.M1, .hidden_pseudonym = {}});
  if (!body) return failed(body.error());
  auto octets = respond(SrpSubtype::kValidator, *body);
  if (!octets) return failed(octets.error());
  state_ = State::kProved;
  return octets;
}

Result<Bytes> SrpClient::take_proof(ByteView packet, const wire::SrpPacket& validator) {
  if (state_ != State::kProved) return failed(Code::kRefused, "the server's proof out of order");
  if (!has_beside(validator, 0, 0, false))
    return failed(Code::kInvalid, "the Server Validator has other fields");
  const auto message = next_request(validator, SrpSubtype::kConfirmation);
  if (!message) return failed(message.error());
  const auto body = decode_validator(form_of(start_, policy_.vendor_id), EapCode::kRequest, message->body);
  if (!body) return failed(body.error());
  if (body->flags != kKeyIsForEncryption || !body->hidden_pseudonym.empty())
    return failed(Code::kInvalid, "the Server Validator is not keyd's");
  if (!crypto::constant_time_equal(body->proof, M2_))
    return failed(Code::kRefused, "the server does not know the verifier, or the conversation was changed");

  transcript_.server_said(packet);
  const auto th = transcript_.hash();
  channel_.emplace(Role::kClient, K_.reveal(), K_.reveal(), th);
  keys_ = keys_from(start_, K_.reveal(), server_random_, th);
  K_ = {};
  const auto record = channel_->seal(RecordType::kFinished, th);
  if (!record) return failed(record.error());
  auto octets = respond(SrpSubtype::kConfirmation, {}, *record);
  if (!octets) return failed(octets.error());
  state_ = State::kAcknowledged;
  return octets;
}

Result<SecureChannel> SrpClient::finish(ByteView packet, const wire::SrpPacket& success) {
  if (state_ != State::kAcknowledged) return failed(Code::kRefused, "finish out of order");
  if (!has_beside(success, 0, 0, true)) return failed(Code::kInvalid, "Success has other fields");
  // RFC 3748 section 4.2: with the Identifier of the Response that it answers.
  const auto eap = decode_whole_eap(bytes_of(success.eap()));
  if (!eap || eap->code != EapCode::kSuccess || eap->identifier != identifier_)
    return failed(Code::kRefused, "not the Success of this exchange");
  const auto said = channel_->open(RecordType::kFinished, bytes_of(success.finished()));
  if (!said || !crypto::constant_time_equal(said->reveal(), transcript_.hash()))
    return failed(Code::kRefused, "the conversation was changed");
  transcript_.server_said(packet);
  state_ = State::kDone;
  SecureChannel channel = std::move(*channel_);
  channel_.reset();
  return channel;
}

SrpKeys SrpClient::take_keys() {
  if (state_ != State::kDone || !keys_) std::abort();
  SrpKeys keys = std::move(*keys_);
  keys_.reset();
  return keys;
}

// ---- the server's steps

std::unexpected<Error> SrpServer::failed(Code code, const char* why) {
  state_ = State::kFailed;
  verifier_.reset();
  pair_.reset();
  channel_.reset();
  keys_.reset();
  return fail(code, why);
}
std::unexpected<Error> SrpServer::failed(const Error& error) {
  (void)failed(error.code, "");
  return std::unexpected(error);
}

Result<EapSrpMessage> SrpServer::response(const wire::SrpPacket& packet, SrpSubtype subtype) {
  const auto message = decode_srp_message(form_of(start_, vendor_id_), bytes_of(packet.eap()));
  if (!message) return message;
  if (message->code != EapCode::kResponse || message->subtype != subtype ||
      message->identifier != identifier_)
    return fail(Code::kRefused, "not the Response to the last Request");
  return message;
}

Result<Bytes> SrpServer::request(SrpSubtype subtype, ByteView body, wire::SrpPacket beside) {
  ++identifier_;
  const auto eap = encode_srp_message(
      form_of(start_, vendor_id_),
      {.code = EapCode::kRequest, .identifier = identifier_, .subtype = subtype, .body = body});
  if (!eap) return eap;
  beside.set_eap(eap->data(), eap->size());
  Bytes octets = server_packet(beside);
  transcript_.server_said(octets);
  return octets;
}

Result<Bytes> SrpServer::challenge(ByteView packet, const wire::SrpStart& start, SrpVerifier verifier,
                                   const RandomSource& random) {
  if (state_ != State::kIdle) return failed(Code::kRefused, "start out of order");
  if (auto checked = check_start(start); !checked) return failed(checked.error());
  const bool historic = is_historic(start);
  if (verifier.salt.empty() || verifier.salt.size() > kLongestSalt ||
      !check_verifier(verifier.group, verifier.v.reveal()))
    return failed(Code::kBroken, "not a verifier");
  if (historic && verifier.derivation.kind != DerivationKind::kSha1)
    return failed(Code::kBroken, "the historic suite takes verifiers by SHA-1");
  start_ = start;
  verifier_ = std::move(verifier);
  transcript_.client_said(packet);

  std::array<std::uint8_t, wire::kServerRandomSize> rs{};
  std::array<std::uint8_t, wire::kSessionIdSize> id{};
  if (!random(rs) || !random(id)) return failed(Code::kBroken, "no random numbers");
  server_random_ = copy_of(rs);
  session_id_ = text_of(id);
  wire::SrpPacket beside;
  beside.set_session_id(session_id_);
  if (historic) beside.set_server_random(rs.data(), rs.size());
  const auto body =
      encode_challenge(form_of(start_, vendor_id_), {.server_random = rs,
                                                     .derivation = verifier_->derivation,
                                                     .name = bytes_of(start_.server_name()),
                                                     .salt = verifier_->salt,
                                                     .generator = verifier_->group.generator_octets(),
                                                     .modulus = verifier_->group.modulus_octets()});
  if (!body) return failed(body.error());
  identifier_ = kFirstIdentifier - 1;
  auto octets = request(SrpSubtype::kKey, *body, std::move(beside));
  if (!octets) return failed(octets.error());
  state_ = State::kChallenged;
  return octets;
}

Result<Bytes> SrpServer::take_key(ByteView packet, const wire::SrpPacket& key, EphemeralPair pair) {
  if (state_ != State::kChallenged) return failed(Code::kRefused, "key out of order");
  if (pair.group != verifier_->group) return failed(Code::kBroken, "a pair of another group");
  if (!has_beside(key, 0, 0, false)) return failed(Code::kInvalid, "the Client Key has other fields");
  const auto message = response(key, SrpSubtype::kKey);
  if (!message) return failed(message.error());
  auto A = public_value(verifier_->group, message->body);
  if (!A) return failed(A.error());
  const SrpRules rules = rules_of(start_);
  auto B = B_of(rules, pair, crypto::Number::of(verifier_->v.reveal()));
  if (!B) return failed(B.error());
  auto u = u_of(rules, verifier_->group, *A, *B);
  if (!u) return failed(u.error());
  pair_ = std::move(pair);
  A_ = std::move(*A);
  B_ = std::move(*B);
  u_ = std::move(*u);
  transcript_.client_said(packet);
  auto octets = request(SrpSubtype::kValidator, B_->public_octets());
  if (!octets) return failed(octets.error());
  state_ = State::kKeyed;
  return octets;
}

Result<Bytes> SrpServer::verify(ByteView packet, const wire::SrpPacket& validator) {
  if (state_ != State::kKeyed) return failed(Code::kRefused, "proof out of order");
  if (!has_beside(validator, 0, 0, false))
    return failed(Code::kInvalid, "the Client Validator has other fields");
  const auto message = response(validator, SrpSubtype::kValidator);
  if (!message) return failed(message.error());
  const EapSrpForm form = form_of(start_, vendor_id_);
  const auto body = decode_validator(form, EapCode::kResponse, message->body);
  if (!body) return failed(body.error());
  if (body->flags != kKeyIsForEncryption) return failed(Code::kInvalid, "the key is for encryption");
  const crypto::Number S = server_S(*pair_, crypto::Number::of(verifier_->v.reveal()), *A_, *u_);
  const Proven proven = prove_from(start_, verifier_->group, verifier_->salt, kFirstIdentifier, *A_, *B_, S);
  // RFC 2945 section 3: the server shows its proof only to who has shown a right one.
  if (!crypto::constant_time_equal(body->proof, proven.proofs.M1))
    return failed(Code::kRefused, "wrong proof");
  pair_.reset();
  verifier_.reset();

  transcript_.client_said(packet);
  const auto validated =
      encode_validator(form, EapCode::kRequest,
                       {.flags = kKeyIsForEncryption, .proof = proven.proofs.M2, .hidden_pseudonym = {}});
  if (!validated) return failed(validated.error());
  auto octets = request(SrpSubtype::kConfirmation, *validated);
  if (!octets) return failed(octets.error());
  const auto th = transcript_.hash();
  channel_.emplace(Role::kServer, proven.K.reveal(), proven.K.reveal(), th);
  keys_ = keys_from(start_, proven.K.reveal(), server_random_, th);
  state_ = State::kProved;
  return octets;
}

Result<void> SrpServer::take_finished(ByteView packet, const wire::SrpPacket& ack) {
  if (state_ != State::kProved) return failed(Code::kRefused, "Ack out of order");
  if (!has_beside(ack, 0, 0, true)) return failed(Code::kInvalid, "the Ack has other fields");
  const auto message = response(ack, SrpSubtype::kConfirmation);
  if (!message) return failed(message.error());
  if (!message->body.empty()) return failed(Code::kInvalid, "an Ack says nothing");
  const auto said = channel_->open(RecordType::kFinished, bytes_of(ack.finished()));
  if (!said || !crypto::constant_time_equal(said->reveal(), transcript_.hash()))
    return failed(Code::kRefused, "the conversation was changed");
  transcript_.client_said(packet);
  state_ = State::kFinished;
  return {};
}

Result<Bytes> SrpServer::confirm() {
  if (state_ != State::kFinished) return failed(Code::kRefused, "confirmation out of order");
  const auto record = channel_->seal(RecordType::kFinished, transcript_.hash());
  if (!record) return failed(record.error());
  const auto eap = encode_eap({.code = EapCode::kSuccess, .identifier = identifier_, .type = 0, .data = {}});
  if (!eap) return failed(eap.error());
  wire::SrpPacket packet;
  packet.set_eap(eap->data(), eap->size());
  packet.set_finished(record->data(), record->size());
  Bytes octets = server_packet(packet);
  transcript_.server_said(octets);
  state_ = State::kDone;
  return octets;
}

SecureChannel SrpServer::take_channel() {
  if (state_ != State::kDone || !channel_) std::abort();
  SecureChannel channel = std::move(*channel_);
  channel_.reset();
  return channel;
}

SrpKeys SrpServer::take_keys() {
  if (state_ != State::kDone || !keys_) std::abort();
  SrpKeys keys = std::move(*keys_);
  keys_.reset();
  return keys;
}

}  // namespace keyd::exchange
