#include "core/exchange/kryptoknight.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/base/untrusted_text.h"
#include "core/crypto/digest.h"
#include "core/exchange/kryptoknight_keys.h"
#include "core/exchange/kryptoknight_messages.h"
#include "core/wire/message_codec.h"

namespace keyd::exchange {
namespace {

constexpr std::string_view kLabel = "keyd/1 kryptoknight login";
constexpr std::size_t kMaxServerName = 255;  // octets

// 317, 323: what both ends know about the SessionKey on its way. `bound` is the caller's, who keeps it.
Wrapping wrapping_of(const wire::KryptoknightStart& start, const wire::KryptoknightReply& reply,
                     ByteView hash, ByteView after_start, ByteView bound) {
  return {.suite = start.suite(),
          .hash = hash,
          .client_nonce = bytes_of(start.client_nonce()),
          .server_nonce = bytes_of(reply.server_nonce()),
          .host_port = start.server_name(),
          .label = kLabel,
          .transcript = after_start,
          // Not zeros: where Ns is the salt, the same start twice would have the same SecretHash twice.
          .fresh = bytes_of(reply.server_random()),
          .bound = bound};
}

}  // namespace

Result<secret::SecretBuffer> hash_password(ByteView password, const PasswordHash& how) {
  if (password.empty() || password.size() > wire::kMaxPassword) {
    return fail(Code::kInvalid, "a password has 1 to 1024 octets");
  }
  switch (how.suite) {
    case wire::SUITE_MODERN: return crypto::crypt_password(password, how.setting);
    case wire::SUITE_HISTORIC: {
      if (how.salt.size() > kMaxHistoricSalt) return fail(Code::kInvalid, "a salt has at most 32 octets");
      secret::SecretBuffer hash(crypto::kMd5Size);
      password_hash_historic(password, how.salt, hash.reveal());
      return hash;
    }
    default: return fail(Code::kInvalid, "unknown suite");
  }
}

Result<void> check_start(const wire::KryptoknightStart& start) {
  if (!is_acceptable_name(start.user())) return fail(Code::kInvalid, "not a user name");
  if (start.client_random().size() != wire::kClientRandomSize)
    return fail(Code::kInvalid, "client_random is not 32 octets");
  if (start.server_name().empty() || start.server_name().size() > kMaxServerName) {
    return fail(Code::kInvalid, "server_name is not 1 to 255 octets");
  }
  if (!start.renews().empty() && start.renews().size() != wire::kSessionIdSize) {
    return fail(Code::kInvalid, "renews is not a session id");
  }
  // Column 3: "a 128 bit random client nonce".
  if (start.client_nonce().size() != kKryptoknightNonce)
    return fail(Code::kInvalid, "client_nonce is not 16 octets");
  if (start.suite() != wire::SUITE_MODERN && start.suite() != wire::SUITE_HISTORIC) {
    return fail(Code::kInvalid, "unknown suite");
  }
  return {};
}

// ---- the client's steps

std::unexpected<Error> KryptoknightClient::failed(Code code, std::string why) {
  state_ = State::kFailed;
  channel_.reset();
  hash_ = {};
  return fail(code, std::move(why));
}

Result<Bytes> KryptoknightClient::start(const RandomSource& random) {
  if (state_ != State::kIdle) return failed(Code::kRefused, "start out of order");
  std::array<std::uint8_t, wire::kClientRandomSize> rc{};
  std::array<std::uint8_t, kKryptoknightNonce> nc{};
  if (!random(rc) || !random(nc)) return failed(Code::kBroken, "no random numbers");
  start_.set_client_random(rc.data(), rc.size());
  start_.set_client_nonce(nc.data(), nc.size());
  if (const auto checked = check_start(start_); !checked)
    return failed(checked.error().code, checked.error().detail);
  wire::ClientPacket packet;
  *packet.mutable_kryptoknight_start() = start_;
  Bytes octets = wire::encode(packet);
  transcript_.client_said(octets);
  after_start_ = transcript_.hash();
  state_ = State::kStarted;
  return octets;
}

Result<void> KryptoknightClient::take_reply(ByteView packet, const wire::KryptoknightReply& reply) {
  if (state_ != State::kStarted) return failed(Code::kRefused, "reply out of order");
  const WrappedSize size = wrapped_size(start_.suite());
  if (reply.server_random().size() != wire::kServerRandomSize ||
      reply.session_id().size() != wire::kSessionIdSize ||
      reply.server_nonce().size() != kKryptoknightNonce || reply.wrapped_key().size() != size.key ||
      reply.proof().size() != size.proof) {
    return failed(Code::kInvalid, "the server's reply is not of the sizes asked for");
  }
  auto how = read_salt(start_.suite(), reply);
  if (!how) return failed(how.error().code, how.error().detail);
  if (start_.suite() == wire::SUITE_MODERN) {
    const auto cost = crypto::check_crypt_setting(how->setting, limits_);
    if (!cost) return failed(cost.error().code, cost.error().detail);
  }
  how_ = *std::move(how);
  reply_ = reply;
  transcript_.server_said(packet);
  state_ = State::kReplied;
  return {};
}

Result<void> KryptoknightClient::open_session(secret::SecretBuffer password_hash) {
  if (state_ != State::kReplied) return failed(Code::kRefused, "session out of order");
  if (!is_hash_of(start_.suite(), password_hash.reveal()))
    return failed(Code::kInvalid, "not a hash of this suite");
  const Bytes bound = bound_to_key(reply_, after_start_);
  const auto session_key =
      unwrap_session_key(wrapping_of(start_, reply_, password_hash.reveal(), after_start_, bound),
                         bytes_of(reply_.wrapped_key()), bytes_of(reply_.proof()));
  if (!session_key) return failed(session_key.error().code, session_key.error().detail);
  hash_ = std::move(password_hash);
  channel_.emplace(Role::kClient, session_key->reveal(), session_key->reveal(), transcript_.hash());
  state_ = State::kOpened;
  return {};
}

Result<Bytes> KryptoknightClient::send_password(ByteView password) {
  if (state_ != State::kOpened) return failed(Code::kRefused, "password out of order");
  const auto plaintext = pad_password(start_.suite(), password);
  if (!plaintext) return failed(plaintext.error().code, plaintext.error().detail);
  const auto record = channel_->seal(RecordType::kPassword, plaintext->reveal());
  if (!record) return failed(Code::kBroken, "cannot seal the password");
  transcript_.client_said(*record);
  const auto finished = channel_->seal(RecordType::kFinished, transcript_.hash());
  if (!finished) return failed(Code::kBroken, "cannot seal the proof");
  wire::ClientPacket packet;
  wire::KryptoknightPassword& message = *packet.mutable_kryptoknight_password();
  message.set_password(record->data(), record->size());
  message.set_finished(finished->data(), finished->size());
  Bytes octets = wire::encode(packet);
  transcript_.client_said(octets);
  state_ = State::kProved;
  return octets;
}

Result<SecureChannel> KryptoknightClient::finish(ByteView packet, ByteView finished_record) {
  if (state_ != State::kProved) return failed(Code::kRefused, "finish out of order");
  const auto said = channel_->open(RecordType::kFinished, finished_record);
  if (!said || !crypto::constant_time_equal(said->reveal(), transcript_.hash())) {
    return failed(Code::kRefused, "the conversation was changed");
  }
  transcript_.server_said(packet);
  state_ = State::kDone;
  SecureChannel channel = std::move(*channel_);
  channel_.reset();
  return channel;
}

secret::SecretBuffer KryptoknightClient::take_hash() { return std::exchange(hash_, {}); }

// ---- the server's steps

std::unexpected<Error> KryptoknightServer::failed(Code code, std::string why) {
  state_ = State::kFailed;
  channel_.reset();
  session_key_ = {};
  stored_.hash = {};
  return fail(code, std::move(why));
}

Result<Bytes> KryptoknightServer::reply(ByteView packet, const wire::KryptoknightStart& start,
                                        PasswordHash stored, wire::SaltCarriage carriage,
                                        const RandomSource& random) {
  if (state_ != State::kIdle) return failed(Code::kRefused, "start out of order");
  if (const auto checked = check_start(start); !checked)
    return failed(checked.error().code, checked.error().detail);
  if (stored.suite != start.suite() || !is_hash_of(stored.suite, stored.hash.reveal())) {
    return failed(Code::kBroken, "the stored hash is not of this suite");
  }
  start_ = start;
  stored_ = std::move(stored);
  transcript_.client_said(packet);
  const auto after_start = transcript_.hash();

  std::array<std::uint8_t, wire::kServerRandomSize> rs{};
  std::array<std::uint8_t, wire::kSessionIdSize> id{};
  std::array<std::uint8_t, kKryptoknightNonce> ns{};
  if (!random(rs) || !random(id) || !random(ns)) return failed(Code::kBroken, "no random numbers");
  reply_.set_server_random(rs.data(), rs.size());
  reply_.set_session_id(id.data(), id.size());
  reply_.set_server_nonce(ns.data(), ns.size());
  if (const auto put = put_salt(stored_, carriage, reply_); !put)
    return failed(put.error().code, put.error().detail);

  auto session_key = draw_session_key(start_.suite(), random);
  if (!session_key) return failed(session_key.error().code, session_key.error().detail);
  const Bytes bound = bound_to_key(reply_, after_start);
  const auto wrapped = wrap_session_key(
      wrapping_of(start_, reply_, stored_.hash.reveal(), after_start, bound), session_key->reveal());
  if (!wrapped) return failed(wrapped.error().code, wrapped.error().detail);
  session_key_ = *std::move(session_key);
  reply_.set_wrapped_key(wrapped->key.data(), wrapped->key.size());
  reply_.set_proof(wrapped->proof.data(), wrapped->proof.size());

  wire::ServerPacket said;
  *said.mutable_kryptoknight_reply() = reply_;
  Bytes octets = wire::encode(said);
  transcript_.server_said(octets);
  state_ = State::kReplied;
  return octets;
}

Result<secret::SecretBuffer> KryptoknightServer::take_password(ByteView packet,
                                                               const wire::KryptoknightPassword& message) {
  if (state_ != State::kReplied) return failed(Code::kRefused, "password out of order");
  const ByteView record = bytes_of(message.password());
  channel_.emplace(Role::kServer, session_key_.reveal(), session_key_.reveal(), transcript_.hash());
  session_key_ = {};
  const auto plaintext = channel_->open(RecordType::kPassword, record);
  if (!plaintext)
    return failed(Code::kRefused, "the password does not open: its sender does not know the stored hash");
  transcript_.client_said(record);
  const auto said = channel_->open(RecordType::kFinished, bytes_of(message.finished()));
  if (!said || !crypto::constant_time_equal(said->reveal(), transcript_.hash())) {
    return failed(Code::kInvalid, "the session opened, and the conversation was changed");
  }
  auto password = unpad_password(start_.suite(), plaintext->reveal());
  if (!password) return failed(password.error().code, password.error().detail);
  transcript_.client_said(packet);
  state_ = State::kPassword;
  return password;
}

Result<Bytes> KryptoknightServer::confirm() {
  if (state_ != State::kPassword) return failed(Code::kRefused, "confirmation out of order");
  const auto record = channel_->seal(RecordType::kFinished, transcript_.hash());
  if (!record) return failed(Code::kBroken, "cannot seal the confirmation");
  wire::ServerPacket packet;
  packet.set_finished(record->data(), record->size());
  Bytes octets = wire::encode(packet);
  transcript_.server_said(octets);
  state_ = State::kDone;
  return octets;
}

SecureChannel KryptoknightServer::take_channel() {
  if (state_ != State::kDone || !channel_) std::abort();
  SecureChannel channel = std::move(*channel_);
  channel_.reset();
  return channel;
}

secret::SecretBuffer KryptoknightServer::take_hash() { return std::exchange(stored_.hash, {}); }

}  // namespace keyd::exchange
