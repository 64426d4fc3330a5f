#include "core/exchange/kryptoknight_messages.h"

#include <algorithm>

namespace keyd::exchange {
namespace {

constexpr std::size_t kLengthSize = 2;                                  // octets before the password
constexpr std::size_t kMaxHead = 128, kMaxTextSalt = 86, kMaxTail = 2;  // octets
static_assert(kLengthSize + wire::kMaxPassword <= kMaxPaddedPassword);

std::size_t most_salt(wire::Suite suite) {
  return suite == wire::SUITE_MODERN ? kMaxTextSalt : kMaxHistoricSalt;
}

ByteView salt_of(const PasswordHash& stored) {
  return stored.suite == wire::SUITE_MODERN ? bytes_of(stored.setting.salt) : ByteView(stored.salt);
}

wire::SaltCarriage carriage_for(std::size_t salt_size, wire::SaltCarriage wished) {
  const bool may_be_nonce = wished == wire::SALT_CARRIAGE_IS_NONCE;
  const bool may_start_nonce = may_be_nonce || wished == wire::SALT_CARRIAGE_STARTS_NONCE;
  if (salt_size == 0) return wire::SALT_CARRIAGE_NONE;
  if (may_be_nonce && salt_size == kKryptoknightNonce) return wire::SALT_CARRIAGE_IS_NONCE;
  if (may_start_nonce && salt_size < kKryptoknightNonce) return wire::SALT_CARRIAGE_STARTS_NONCE;
  return wire::SALT_CARRIAGE_BESIDE_NONCE;
}

// The octets that the carriage names. Nothing when its fields do not agree with it.
std::optional<ByteView> salt_in(wire::Suite suite, const wire::KryptoknightReply& reply) {
  const ByteView nonce = bytes_of(reply.server_nonce()), salt = bytes_of(reply.salt());
  const bool has_salt = !salt.empty(), has_size = reply.salt_size() != 0;
  switch (reply.salt_carriage()) {
    case wire::SALT_CARRIAGE_NONE:
      if (has_salt || has_size) return std::nullopt;
      return ByteView();
    case wire::SALT_CARRIAGE_IS_NONCE:
      if (has_salt || has_size) return std::nullopt;
      return nonce;
    case wire::SALT_CARRIAGE_STARTS_NONCE:
      if (has_salt || !has_size || reply.salt_size() >= nonce.size()) return std::nullopt;
      return nonce.first(reply.salt_size());
    case wire::SALT_CARRIAGE_BESIDE_NONCE:
      if (!has_salt || has_size || salt.size() > most_salt(suite)) return std::nullopt;
      return salt;
    default: return std::nullopt;
  }
}

std::size_t padded_size(std::size_t password_size) {
  return (kLengthSize + password_size + kPasswordBlock - 1) / kPasswordBlock * kPasswordBlock;
}

}  // namespace

bool is_possible_password(wire::Suite suite, ByteView password) {
  if (password.empty() || password.size() > wire::kMaxPassword) return false;
  return suite != wire::SUITE_MODERN || crypto::is_crypt_password(password);
}

Result<void> put_salt(const PasswordHash& stored, wire::SaltCarriage wished, wire::KryptoknightReply& reply) {
  const ByteView salt = salt_of(stored);
  const crypto::CryptSetting& setting = stored.setting;
  if (salt.size() > most_salt(stored.suite) || setting.head.size() > kMaxHead ||
      setting.tail.size() > kMaxTail) {
    return fail(Code::kBroken, "the stored hash has a salt or a setting that is too long");
  }
  reply.set_salt_carriage(carriage_for(salt.size(), wished));
  if (reply.salt_carriage() == wire::SALT_CARRIAGE_BESIDE_NONCE) {
    reply.set_salt(salt.data(), salt.size());
  } else {
    std::ranges::copy(salt, reply.mutable_server_nonce()->begin());
  }
  if (reply.salt_carriage() == wire::SALT_CARRIAGE_STARTS_NONCE) {
    reply.set_salt_size(static_cast<std::uint32_t>(salt.size()));
  }
  if (stored.suite == wire::SUITE_MODERN) {
    reply.set_setting_head(setting.head);
    reply.set_setting_tail(setting.tail);
  }
  return {};
}

Result<PasswordHash> read_salt(wire::Suite suite, const wire::KryptoknightReply& reply) {
  const auto salt = salt_in(suite, reply);
  if (!salt) return fail(Code::kInvalid, "the server's way for the salt and its salt do not fit together");
  PasswordHash how;
  how.suite = suite;
  if (suite == wire::SUITE_MODERN) {
    if (reply.setting_head().size() > kMaxHead || reply.setting_tail().size() > kMaxTail) {
      return fail(Code::kInvalid, "the server's setting is too long");
    }
    how.setting = {
        .head = reply.setting_head(), .salt = std::string(text_of(*salt)), .tail = reply.setting_tail()};
    return how;
  }
  if (!reply.setting_head().empty() || !reply.setting_tail().empty()) {
    return fail(Code::kInvalid, "the historic suite has no setting");
  }
  how.salt.assign(salt->begin(), salt->end());
  return how;
}

Bytes bound_to_key(const wire::KryptoknightReply& reply, ByteView after_start) {
  Bytes out(after_start.begin(), after_start.end());
  const auto add = [&out](ByteView field) {
    const auto length = be32(static_cast<std::uint32_t>(field.size()));
    out.insert(out.end(), length.begin(), length.end());
    out.insert(out.end(), field.begin(), field.end());
  };
  add(bytes_of(reply.server_random()));
  add(bytes_of(reply.session_id()));
  add(bytes_of(reply.server_nonce()));
  add(be32(static_cast<std::uint32_t>(reply.salt_carriage())));
  add(be32(reply.salt_size()));
  add(bytes_of(reply.salt()));
  add(bytes_of(reply.setting_head()));
  add(bytes_of(reply.setting_tail()));
  return out;
}

Result<secret::SecretBuffer> pad_password(wire::Suite suite, ByteView password) {
  if (!is_possible_password(suite, password)) {
    return fail(Code::kInvalid,
                "a password has 1 to 1024 octets; in the modern suite at most 511, and none is zero");
  }
  secret::SecretBuffer out(padded_size(password.size()));
  out.reveal()[0] = static_cast<std::uint8_t>(password.size() >> 8);
  out.reveal()[1] = static_cast<std::uint8_t>(password.size());
  std::ranges::copy(password, out.reveal().begin() + kLengthSize);
  return out;
}

Result<secret::SecretBuffer> unpad_password(wire::Suite suite, ByteView plaintext) {
  const auto refused = [] {
    return fail(Code::kInvalid, "what came in the password's place is no password");
  };
  if (plaintext.size() < kPasswordBlock || plaintext.size() > kMaxPaddedPassword) return refused();
  const std::size_t size = static_cast<std::size_t>(plaintext[0]) << 8 | plaintext[1];
  if (size > wire::kMaxPassword || padded_size(size) != plaintext.size()) return refused();
  const ByteView password = plaintext.subspan(kLengthSize, size);
  if (!is_possible_password(suite, password)) return refused();
  const ByteView zeros = plaintext.subspan(kLengthSize + size);
  if (std::ranges::any_of(zeros, [](std::uint8_t octet) { return octet != 0; })) return refused();
  return secret::SecretBuffer::copy_of(password);
}

}  // namespace keyd::exchange
