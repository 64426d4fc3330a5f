#include "core/exchange/challenge.h"

#include <array>
#include <cstdlib>

#include "core/base/untrusted_text.h"
#include "core/crypto/digest.h"
#include "core/wire/message_codec.h"

namespace keyd::exchange {
namespace {

constexpr std::uint32_t kModernNonceBits = 256, kShortestNonceBits = 16, kLongestNonceBits = 256;
constexpr std::size_t kMaxServerName = 255;  // octets
constexpr int kDraws = 64;

// ---- derivations

struct ExchangeKeys {
  secret::SecretBuffer k1, k2;
};

Result<ExchangeKeys> derive_keys(const wire::ChallengeStart& start, const wire::ChallengeNumbers& numbers,
                                 ByteView password) {
  auto k1 = transform(start.transform(), password, bytes_of(numbers.nonce1()));
  if (!k1) return std::unexpected(k1.error());
  // With one key it serves both directions; the traffic keys differ all the same, by label.
  auto k2 = transform(start.transform(), password,
                      bytes_of(start.key_count() == 2 ? numbers.nonce2() : numbers.nonce1()));
  if (!k2) return std::unexpected(k2.error());
  return ExchangeKeys{std::move(*k1), std::move(*k2)};
}

// RFC 1828 section 1: the key, filled as MD5 itself pads (0x80, zeros, the length in bits, little-endian) to
// a multiple of 512 bits, then the data, then the key again.
void keyed_md5_rfc1828(ByteView key, ByteView data, MutableByteView out) {
  std::array<std::uint8_t, 128> fill{};
  const std::size_t zeros = (64 + 56 - (key.size() + 1) % 64) % 64;
  const std::uint64_t bits = std::uint64_t{key.size()} * 8;
  fill[0] = 0x80;
  for (std::size_t i = 0; i < 8; ++i) fill[1 + zeros + i] = static_cast<std::uint8_t>(bits >> (8 * i));
  crypto::digest(crypto::Hash::kMd5, {key, ByteView(fill).first(1 + zeros + 8), data, key}, out);
}

}  // namespace

Result<secret::SecretBuffer> transform(wire::Transform t, ByteView password, ByteView nonce) {
  switch (t) {
    case wire::TRANSFORM_HMAC_SHA256: {
      secret::SecretBuffer key(crypto::kSha256Size);
      crypto::hmac(crypto::Hash::kSha256, password, {nonce}, key.reveal());
      return key;
    }
    case wire::TRANSFORM_MD5: {
      secret::SecretBuffer key(crypto::kMd5Size);
      crypto::digest(crypto::Hash::kMd5, {password, nonce}, key.reveal());
      return key;
    }
    case wire::TRANSFORM_HMAC_MD5: {
      secret::SecretBuffer key(crypto::kMd5Size);
      crypto::hmac(crypto::Hash::kMd5, password, {nonce}, key.reveal());
      return key;
    }
    case wire::TRANSFORM_KEYED_MD5_RFC1828: {
      secret::SecretBuffer key(crypto::kMd5Size);
      keyed_md5_rfc1828(password, nonce, key.reveal());
      return key;
    }
    default: return fail(Code::kInvalid, "unknown transform");
  }
}

Result<void> check_choice(const wire::ChallengeStart& start) {
  if (!is_acceptable_name(start.user())) return fail(Code::kInvalid, "not a user name");
  if (start.client_random().size() != wire::kClientRandomSize)
    return fail(Code::kInvalid, "client_random is not 32 octets");
  if (start.server_name().empty() || start.server_name().size() > kMaxServerName) {
    return fail(Code::kInvalid, "server_name is not 1 to 255 octets");
  }
  if (!start.renews().empty() && start.renews().size() != wire::kSessionIdSize) {
    return fail(Code::kInvalid, "renews is not a session id");
  }
  if (start.key_count() != 1 && start.key_count() != 2)
    return fail(Code::kInvalid, "key_count is not 1 or 2");
  switch (start.suite()) {
    case wire::SUITE_MODERN:
      if (start.transform() != wire::TRANSFORM_HMAC_SHA256 || start.nonce_bits() != kModernNonceBits) {
        return fail(Code::kInvalid, "the modern suite is hmac-sha256 with 256-bit numbers");
      }
      return {};
    case wire::SUITE_HISTORIC:
      if (start.transform() != wire::TRANSFORM_MD5 && start.transform() != wire::TRANSFORM_HMAC_MD5 &&
          start.transform() != wire::TRANSFORM_KEYED_MD5_RFC1828) {
        return fail(Code::kInvalid, "the historic suite is md5, hmac-md5 or keyed-md5-rfc1828");
      }
      // Claim 8: "the first random number is sixteen bits in length".
      if (start.nonce_bits() < kShortestNonceBits || start.nonce_bits() > kLongestNonceBits ||
          start.nonce_bits() % 8 != 0) {
        return fail(Code::kInvalid, "historic numbers have 16 to 256 bits, a multiple of 8");
      }
      return {};
    default: return fail(Code::kInvalid, "unknown suite");
  }
}

// ---- the client's steps

std::unexpected<Error> ChallengeClient::failed(Code code, const char* why) {
  state_ = State::kFailed;
  channel_.reset();
  return fail(code, why);
}

Result<Bytes> ChallengeClient::start(const RandomSource& random) {
  if (state_ != State::kIdle) return failed(Code::kRefused, "start out of order");
  std::array<std::uint8_t, wire::kClientRandomSize> rc{};
  if (!random(rc)) return failed(Code::kBroken, "no random numbers");
  start_.set_client_random(rc.data(), rc.size());
  if (auto checked = check_choice(start_); !checked) {
    state_ = State::kFailed;
    return std::unexpected(checked.error());
  }
  wire::ClientPacket packet;
  *packet.mutable_challenge_start() = start_;
  Bytes octets = wire::encode(packet);
  transcript_.client_said(octets);
  state_ = State::kStarted;
  return octets;
}

Result<void> ChallengeClient::take_numbers(ByteView packet, const wire::ChallengeNumbers& numbers) {
  if (state_ != State::kStarted) return failed(Code::kRefused, "numbers out of order");
  const std::size_t size = start_.nonce_bits() / 8;
  if (numbers.server_random().size() != wire::kServerRandomSize ||
      numbers.session_id().size() != wire::kSessionIdSize || numbers.nonce1().size() != size ||
      numbers.nonce2().size() != (start_.key_count() == 2 ? size : 0)) {
    return failed(Code::kInvalid, "the server's numbers are not of the sizes asked for");
  }
  // Claim 9 wants two keys; equal numbers would make them one.
  if (start_.key_count() == 2 && numbers.nonce1() == numbers.nonce2()) {
    return failed(Code::kInvalid, "the server's two numbers are the same");
  }
  numbers_ = numbers;
  transcript_.server_said(packet);
  state_ = State::kNumbers;
  return {};
}

Result<Bytes> ChallengeClient::prove(ByteView password) {
  if (state_ != State::kNumbers) return failed(Code::kRefused, "proof out of order");
  const auto keys = derive_keys(start_, numbers_, password);
  if (!keys) return failed(Code::kBroken, "cannot derive the keys");
  const auto th = transcript_.hash();
  channel_.emplace(Role::kClient, keys->k1.reveal(), keys->k2.reveal(), th);
  const auto record = channel_->seal(RecordType::kFinished, th);
  if (!record) return failed(Code::kBroken, "cannot seal the proof");
  wire::ClientPacket packet;
  packet.set_finished(record->data(), record->size());
  Bytes octets = wire::encode(packet);
  transcript_.client_said(octets);
  state_ = State::kProved;
  return octets;
}

Result<SecureChannel> ChallengeClient::finish(ByteView packet, ByteView finished_record) {
  if (state_ != State::kProved) return failed(Code::kRefused, "finish out of order");
  const auto said = channel_->open(RecordType::kFinished, finished_record);
  if (!said || !crypto::constant_time_equal(said->reveal(), transcript_.hash())) {
    return failed(Code::kRefused, "the server does not know the password, or the conversation was changed");
  }
  transcript_.server_said(packet);
  state_ = State::kDone;
  SecureChannel channel = std::move(*channel_);
  channel_.reset();
  return channel;
}

// ---- the server's steps

std::unexpected<Error> ChallengeServer::failed(Code code, const char* why) {
  state_ = State::kFailed;
  channel_.reset();
  return fail(code, why);
}

Result<Bytes> ChallengeServer::challenge(ByteView packet, const wire::ChallengeStart& start,
                                         const RandomSource& random,
                                         const std::function<bool(ByteView n1, ByteView n2)>& admissible) {
  if (state_ != State::kIdle) return failed(Code::kRefused, "start out of order");
  if (auto checked = check_choice(start); !checked) {
    state_ = State::kFailed;
    return std::unexpected(checked.error());
  }
  start_ = start;
  transcript_.client_said(packet);

  std::array<std::uint8_t, wire::kServerRandomSize> rs{};
  std::array<std::uint8_t, wire::kSessionIdSize> id{};
  if (!random(rs) || !random(id)) return failed(Code::kBroken, "no random numbers");
  const std::size_t size = start.nonce_bits() / 8;
  Bytes n1(size), n2(start.key_count() == 2 ? size : 0);
  bool drawn = false;
  for (int i = 0; i < kDraws && !drawn; ++i) {
    if (!random(n1) || !random(n2)) return failed(Code::kBroken, "no random numbers");
    drawn = n1 != n2 && admissible(n1, n2);
  }
  if (!drawn)
    return failed(Code::kExhausted, "no unused random numbers of this length are left for this user");

  numbers_.set_server_random(rs.data(), rs.size());
  numbers_.set_session_id(id.data(), id.size());
  numbers_.set_nonce1(n1.data(), n1.size());
  numbers_.set_nonce2(n2.data(), n2.size());
  wire::ServerPacket reply;
  *reply.mutable_challenge_numbers() = numbers_;
  Bytes octets = wire::encode(reply);
  transcript_.server_said(octets);
  state_ = State::kChallenged;
  return octets;
}

Result<void> ChallengeServer::verify(ByteView packet, ByteView finished_record, ByteView password) {
  if (state_ != State::kChallenged) return failed(Code::kRefused, "proof out of order");
  const auto keys = derive_keys(start_, numbers_, password);
  if (!keys) return failed(Code::kBroken, "cannot derive the keys");
  const auto th = transcript_.hash();
  channel_.emplace(Role::kServer, keys->k1.reveal(), keys->k2.reveal(), th);
  const auto said = channel_->open(RecordType::kFinished, finished_record);
  if (!said || !crypto::constant_time_equal(said->reveal(), th)) return failed(Code::kRefused, "wrong proof");
  transcript_.client_said(packet);
  state_ = State::kProved;
  return {};
}

Result<Bytes> ChallengeServer::confirm() {
  if (state_ != State::kProved) return failed(Code::kRefused, "confirmation out of order");
  const auto record = channel_->seal(RecordType::kFinished, transcript_.hash());
  if (!record) return failed(Code::kBroken, "cannot seal the confirmation");
  wire::ServerPacket packet;
  packet.set_finished(record->data(), record->size());
  Bytes octets = wire::encode(packet);
  transcript_.server_said(octets);
  state_ = State::kDone;
  return octets;
}

SecureChannel ChallengeServer::take_channel() {
  if (state_ != State::kDone || !channel_) std::abort();
  SecureChannel channel = std::move(*channel_);
  channel_.reset();
  return channel;
}

}  // namespace keyd::exchange
