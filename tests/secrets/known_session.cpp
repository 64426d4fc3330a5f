#include "tests/secrets/known_session.h"

#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "core/exchange/kryptoknight_messages.h"
#include "core/wire/message_codec.h"

namespace keyd::testing {

std::string marked_text(std::size_t size) {
  constexpr char kLetters[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_+=,.";
  std::string out(size, '\0');
  if (!crypto::fill_random({reinterpret_cast<std::uint8_t*>(out.data()), out.size()})) std::abort();
  for (char& c : out) c = kLetters[static_cast<unsigned char>(c) % (sizeof kLetters - 1)];
  return out;
}

secret::SecretBuffer mark_hash(Hunt& hunt, const std::string& name, const exchange::PasswordHash& how,
                               const std::string& password) {
  auto hash = exchange::hash_password(bytes_of(password), how);
  if (!hash) std::abort();
  // keyd tells anybody the setting before it.
  hunt.mark(name + " stored hash", hash->reveal().subspan(how.setting.text().size()));
  return std::move(*hash);
}

secret::SecretBuffer mark_verifier(Hunt& hunt, const std::string& name,
                                   const exchange::VerifierParameters& by, const std::string& user,
                                   const std::string& password) {
  auto x = exchange::derive_x(by.derivation, bytes_of(user), bytes_of(password), by.salt);
  if (!x) std::abort();
  hunt.mark(name + " x", x->reveal());
  hunt.mark(name + " verifier", exchange::verifier_of(by.group, x->reveal()).reveal());
  return std::move(*x);
}

// A packet of the exchange and its answer, both of which become part of the transcript.
bool KnownSession::converse(const Result<Bytes>& packet) {
  if (!packet || !raw.send(*packet)) return false;
  auto answer = raw.receive();
  if (!answer || wire::decode(*answer, raw.last_packet) != wire::Decoded::kMessage) return false;
  transcript_.client_said(*packet);
  transcript_.server_said(*answer);
  answer_ = std::move(*answer);
  return true;
}

const std::string& KnownSession::said(const std::string& password) const {
  return says.empty() ? password : says;
}

bool KnownSession::log_in(const std::string& scheme, const std::string& user, const std::string& password,
                          wire::Suite suite) {
  const auto begin = [&](auto choice) {
    choice.set_suite(suite);
    if (renews) choice.set_renews(session_id_);
    return log_in(choice, password);
  };
  if (scheme == "kryptoknight") return begin(RawClient::knight_choice(user));
  if (scheme == "srp") return begin(RawClient::srp_choice(user));
  auto challenge = RawClient::choice(user);
  if (suite == wire::SUITE_HISTORIC) challenge.set_transform(wire::TRANSFORM_HMAC_MD5);
  return begin(challenge);
}

// ---- challenge

bool KnownSession::log_in(const wire::ChallengeStart& choice, const std::string& password) {
  transcript_ = {};
  raw.machine.emplace(choice);
  if (!converse(raw.machine->start(crypto::fill_random)) || !raw.last_packet.has_challenge_numbers())
    return false;
  const wire::ChallengeNumbers numbers = raw.last_packet.challenge_numbers();
  if (!raw.machine->take_numbers(answer_, numbers)) return false;
  session_id_ = raw.machine->session_id();
  const auto k1 = exchange::transform(choice.transform(), bytes_of(password), bytes_of(numbers.nonce1()));
  const auto k2 =
      exchange::transform(choice.transform(), bytes_of(password),
                          bytes_of(choice.key_count() == 2 ? numbers.nonce2() : numbers.nonce1()));
  if (!k1 || !k2) return false;
  mark("k1", k1->reveal());
  if (choice.key_count() == 2) mark("k2", k2->reveal());
  mirror_.emplace(exchange::Role::kClient, k1->reveal(), k2->reveal(), transcript_.hash());
  mark_epoch();
  return raw.prove(said(password));
}

// ---- kryptoknight: the letters are those of core/exchange/kryptoknight.h

secret::SecretBuffer KnownSession::mark_session_key(const wire::KryptoknightStart& start, ByteView hash,
                                                    ByteView after_start) {
  const wire::KryptoknightReply& reply = raw.last_packet.kryptoknight_reply();
  const ByteView Nc = bytes_of(start.client_nonce()), Ns = bytes_of(reply.server_nonce()),
                 wrapped = bytes_of(reply.wrapped_key());
  if (start.suite() == wire::SUITE_HISTORIC) {
    secret::SecretBuffer SH(exchange::kSecretHashHistoric);
    exchange::secret_hash_historic(hash, Nc, Ns, start.server_name(), SH.reveal());
    mark("SecretHash", SH.reveal());
    auto SK = exchange::unwrap_session_key_historic(SH.reveal(), wrapped);
    if (!SK) std::abort();
    mark("SessionKey", SK->reveal());
    return std::move(*SK);
  }
  secret::SecretBuffer SH(exchange::kSecretHashModern), SK(wrapped.size() - crypto::kAeadTagSize);
  const std::string nonces(start.client_nonce() + reply.server_nonce());
  const std::string info =
      "keyd/1 kryptoknight login" + start.server_name() + std::string(keyd::text_of(after_start));
  crypto::hkdf_sha256(hash, bytes_of(nonces), bytes_of(info), SH.reveal());
  mark("SecretHash", SH.reveal());
  if (!crypto::aead_open(SH.reveal(), bytes_of(reply.server_random()).first(crypto::kAeadNonceSize),
                         exchange::bound_to_key(reply, after_start), wrapped, SK.reveal()))
    std::abort();
  mark("SessionKey", SK.reveal());
  return SK;
}

bool KnownSession::log_in(const wire::KryptoknightStart& choice, const std::string& password) {
  transcript_ = {};
  raw.knight.emplace(choice);
  const auto start = raw.knight->start(crypto::fill_random);
  if (!converse(start) || !raw.last_packet.has_kryptoknight_reply()) return false;
  if (!raw.knight->take_reply(answer_, raw.last_packet.kryptoknight_reply())) return false;
  session_id_ = raw.knight->session_id();
  auto hash = mark_hash(hunt_, name, raw.knight->how(), password);
  exchange::Transcript after_start;
  after_start.client_said(*start);
  const auto SK = mark_session_key(raw.knight->choice(), hash.reveal(), after_start.hash());
  mirror_.emplace(exchange::Role::kClient, SK.reveal(), SK.reveal(), transcript_.hash());
  mark_epoch();
  if (!raw.knight->open_session(std::move(hash)) ||
      !converse(raw.knight->send_password(bytes_of(said(password)))) || !raw.last_packet.has_finished())
    return false;
  auto established = raw.knight->finish(answer_, bytes_of(raw.last_packet.finished()));
  if (established) raw.channel.emplace(std::move(*established));
  return established.has_value();
}

// ---- srp: the letters are those of core/exchange/srp_numbers.h

// Gives K, with keyd's answer to the client's key at hand.
secret::SecretBuffer KnownSession::mark_srp_numbers(const wire::SrpStart& choice, ByteView a,
                                                    const std::string& password) {
  using crypto::Number;
  const bool historic = choice.suite() == wire::SUITE_HISTORIC;
  const auto rules = historic ? exchange::SrpRules::srp3() : exchange::SrpRules::srp6a();
  const auto form = historic ? exchange::EapSrpForm::type19() : exchange::EapSrpForm::of_vendor();
  const auto key = exchange::decode_srp_message(form, bytes_of(raw.last_packet.srp().eap()));
  const auto by = raw.srp->parameters();
  const auto x = mark_verifier(hunt_, name, by, choice.user(), password);
  const auto pair = exchange::ephemeral_of(by.group, secret::SecretBuffer::copy_of(a));
  const auto B = exchange::public_value(by.group, key->body);
  const auto u = exchange::u_of(rules, by.group, Number::of(pair.power.reveal()), *B);
  const auto& N = by.group.modulus();
  const auto kv = N.multiply(exchange::k_of(rules, by.group),
                             Number::of(exchange::verifier_of(by.group, x.reveal()).reveal()));
  mark("g^b", N.subtract(*B, kv).secret_octets().reveal());
  const auto S = exchange::client_S(rules, pair, Number::of(x.reveal()), *B, *u);
  mark("S", S.secret_octets().reveal());
  auto K = exchange::K_of(rules, S);
  mark("K", K.reveal());
  return K;
}

bool KnownSession::log_in(const wire::SrpStart& choice, const std::string& password) {
  transcript_ = {};
  raw.srp.emplace(choice, exchange::SrpClientPolicy{});
  Bytes a;
  const auto draw = [&a](MutableByteView out) {
    a.resize(out.size());
    if (!crypto::fill_random_private(a)) return false;
    a[0] |= 0x80;  // as draw_ephemeral does
    std::ranges::copy(a, out.begin());
    return true;
  };
  if (!converse(raw.srp->start(crypto::fill_random)) ||
      !converse(raw.srp->take_challenge(answer_, raw.last_packet.srp(), draw)) ||
      !raw.srp->take_key(answer_, raw.last_packet.srp()))
    return false;
  session_id_ = raw.srp->session_id();
  const auto K = mark_srp_numbers(choice, a, password);
  if (!converse(raw.srp->prove(bytes_of(said(password)))) || !raw.last_packet.has_srp()) return false;
  mirror_.emplace(exchange::Role::kClient, K.reveal(), K.reveal(), transcript_.hash());
  mark_epoch();
  if (!converse(raw.srp->take_proof(answer_, raw.last_packet.srp()))) return false;
  auto established = raw.srp->finish(answer_, raw.last_packet.srp());
  if (!established) return false;
  raw.channel.emplace(std::move(*established));
  const auto keys = raw.srp->take_keys();
  int number = 0;
  for (const auto* key : {&keys.encrypt_client_to_server, &keys.encrypt_server_to_client,
                          &keys.authenticate_client_to_server, &keys.authenticate_server_to_client})
    mark("change key " + std::to_string(++number), key->reveal());
  return true;
}

// ---- sessions

void KnownSession::mark_epoch() {
  const auto handed = mirror_->hand_over();
  const ByteView keys = handed.reveal().subspan(4);
  const std::string epoch = name + " epoch " + std::to_string(mirror_->epoch()) + " ";
  // The keys without the 12 octets behind each: those, combined with a public counter, are the nonces of GCM,
  // whose secrecy nothing rests on, and OpenSSL's calls leave them on the stack.
  hunt_.mark(epoch + "c2s", keys.first(32));
  hunt_.mark(epoch + "s2c", keys.subspan(44, 32));
  hunt_.mark(epoch + "chain", keys.subspan(88, 32));
  if (mirror_->epoch() == 0) hunt_.mark(name + " exporter", keys.subspan(120, 32));
}

bool KnownSession::rekey() {
  Bytes fresh(32);
  if (!crypto::fill_random(fresh)) return false;
  wire::SessionRequest request;
  request.mutable_rekey()->set_random(fresh.data(), fresh.size());
  const auto reply = raw.ask(request);
  if (!reply || !reply->has_rekey()) return false;
  raw.channel->advance(fresh, bytes_of(reply->rekey().random()));
  mirror_->advance(fresh, bytes_of(reply->rekey().random()));
  mark_epoch();
  return true;
}

bool KnownSession::end() {
  wire::SessionRequest request;
  request.mutable_end();
  return raw.ask(request).has_value();
}

std::optional<std::string> KnownSession::credential(const std::string& wanted) {
  wire::SessionRequest request;
  request.mutable_credential()->set_name(wanted);
  std::string value;
  const auto reply = raw.ask(request, &value);
  if (!reply || !reply->has_credential()) return std::nullopt;
  return value;
}

}  // namespace keyd::testing
