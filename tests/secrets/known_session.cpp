#include "tests/secrets/known_session.h"

#include "core/crypto/random.h"
#include "core/exchange/transcript.h"
#include "core/wire/message_codec.h"

namespace keyd::testing {

std::string marked_text(std::size_t size) {
  constexpr char kLetters[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_+=,.";
  std::string out(size, '\0');
  if (!crypto::fill_random({reinterpret_cast<std::uint8_t*>(out.data()), out.size()})) std::abort();
  for (char& c : out) c = kLetters[static_cast<unsigned char>(c) % (sizeof kLetters - 1)];
  return out;
}

bool KnownSession::log_in(const wire::ChallengeStart& choice, const std::string& password) {
  exchange::Transcript transcript;
  raw.machine.emplace(choice);
  const auto start = raw.machine->start(crypto::fill_random);
  if (!start || !raw.send(*start)) return false;
  const auto answer = raw.receive();
  if (!answer || wire::decode(*answer, raw.last_packet) != wire::Decoded::kMessage) return false;
  if (!raw.last_packet.has_challenge_numbers()) return false;
  const wire::ChallengeNumbers numbers = raw.last_packet.challenge_numbers();
  if (!raw.machine->take_numbers(*answer, numbers)) return false;
  transcript.client_said(*start);
  transcript.server_said(*answer);
  const auto k1 = exchange::transform(choice.transform(), bytes_of(password), bytes_of(numbers.nonce1()));
  const auto k2 =
      exchange::transform(choice.transform(), bytes_of(password),
                          bytes_of(choice.key_count() == 2 ? numbers.nonce2() : numbers.nonce1()));
  if (!k1 || !k2) return false;
  hunt_.mark(name + " k1", k1->reveal());
  if (choice.key_count() == 2) hunt_.mark(name + " k2", k2->reveal());
  mirror_.emplace(exchange::Role::kClient, k1->reveal(), k2->reveal(), transcript.hash());
  mark_epoch();
  return raw.prove(password);
}

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
