#include "core/exchange/secure_channel.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/crypto/aead.h"
#include "core/crypto/kdf.h"

namespace keyd::exchange {
namespace {

constexpr std::string_view kTrafficC2s = "keyd/1 traffic c2s", kTrafficS2c = "keyd/1 traffic s2c";
constexpr std::string_view kChain = "keyd/1 chain", kExporter = "keyd/1 exporter", kExport = "keyd/1 export";
constexpr std::size_t kFreshSize = 32;

Bytes info(std::string_view label, std::uint32_t number) {
  Bytes out(label.begin(), label.end());
  const auto octets = be32(number);
  out.insert(out.end(), octets.begin(), octets.end());
  return out;
}

std::array<std::uint8_t, kRecordHeader> header_of(RecordType type, std::uint32_t epoch,
                                                  std::uint64_t counter) {
  std::array<std::uint8_t, kRecordHeader> header{};
  header[0] = static_cast<std::uint8_t>(type);
  std::ranges::copy(be32(epoch), header.begin() + 1);
  std::ranges::copy(be64(counter), header.begin() + 5);
  return header;
}

std::array<std::uint8_t, crypto::kAeadNonceSize> nonce_of(ByteView iv, std::uint64_t counter) {
  std::array<std::uint8_t, crypto::kAeadNonceSize> nonce{};
  std::ranges::copy(iv, nonce.begin());
  const auto octets = be64(counter);
  for (std::size_t i = 0; i < octets.size(); ++i) nonce[4 + i] ^= octets[i];
  return nonce;
}

Bytes joined(ByteView a, ByteView b) {
  Bytes out(a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

}  // namespace

SecureChannel::SecureChannel(Role role, ByteView k1, ByteView k2, ByteView transcript_hash) : role_(role) {
  secret::SecretBuffer both(k1.size() + k2.size());
  std::ranges::copy(k1, both.reveal().begin());
  std::ranges::copy(k2, both.reveal().begin() + static_cast<std::ptrdiff_t>(k1.size()));
  crypto::hkdf_sha256(k1, transcript_hash, info(kTrafficC2s, 0), traffic(true));
  crypto::hkdf_sha256(k2, transcript_hash, info(kTrafficS2c, 0), traffic(false));
  crypto::hkdf_sha256(both.reveal(), transcript_hash, info(kChain, 0), chain());
  crypto::hkdf_sha256(both.reveal(), transcript_hash, bytes_of(kExporter), exporter());
}

Result<Bytes> SecureChannel::seal(RecordType type, ByteView plaintext) {
  Bytes record(kRecordOverhead + plaintext.size());
  if (auto sealed = seal_into(type, plaintext, record); !sealed) return std::unexpected(sealed.error());
  return record;
}

Result<void> SecureChannel::seal_into(RecordType type, ByteView plaintext, MutableByteView record) {
  if (dead_ || wiped()) return fail(Code::kRefused, "the channel has failed");
  if (sent_ >= kStopAfter) return fail(Code::kExhausted, "the channel needs new keys");
  if (record.size() != plaintext.size() + kRecordOverhead) std::abort();
  const auto header = header_of(type, epoch_, sent_);
  std::ranges::copy(header, record.begin());
  const bool c2s = role_ == Role::kClient;
  const ByteView keys = traffic(c2s);
  const auto nonce = nonce_of(keys.subspan(crypto::kAeadKeySize), sent_);
  if (auto* const key = sent_ > 0 ? expanded(c2s) : nullptr) {
    key->seal(nonce, header, plaintext, record.subspan(kRecordHeader));
  } else {
    crypto::aead_seal(keys.first(crypto::kAeadKeySize), nonce, header, plaintext,
                      record.subspan(kRecordHeader));
  }
  ++sent_;
  return {};
}

std::optional<secret::SecretBuffer> SecureChannel::open(RecordType type, ByteView record) {
  secret::SecretBuffer plaintext(record.size() - std::min(record.size(), kRecordOverhead));
  if (!open_into(type, record, plaintext.reveal())) return std::nullopt;
  return plaintext;
}

bool SecureChannel::open_into(RecordType type, ByteView record, MutableByteView plaintext) {
  if (plaintext.size() != record.size() - std::min(record.size(), kRecordOverhead)) std::abort();
  if (dead_ || received_ >= kStopAfter || wiped()) return false;
  const auto expected = header_of(type, epoch_, received_);
  if (record.size() >= kRecordOverhead && std::ranges::equal(record.first(kRecordHeader), expected) &&
      open_sealed(expected, record.subspan(kRecordHeader), plaintext)) {
    ++received_;
    return true;
  }
  dead_ = true;
  secret::wipe(keys_.reveal().data(), kKeyBlock);
  expanded_ = {};
  return false;
}

bool SecureChannel::open_sealed(ByteView header, ByteView sealed, MutableByteView plaintext) {
  const bool c2s = role_ == Role::kServer;
  const ByteView keys = traffic(c2s);
  const auto nonce = nonce_of(keys.subspan(crypto::kAeadKeySize), received_);
  if (auto* const key = received_ > 0 ? expanded(c2s) : nullptr)
    return key->open(nonce, header, sealed, plaintext);
  return crypto::aead_open(keys.first(crypto::kAeadKeySize), nonce, header, sealed, plaintext);
}

crypto::ExpandedKey* SecureChannel::expanded(bool client_to_server) {
  auto& key = expanded_[client_to_server ? 0 : 1];
  if (!key) key = crypto::ExpandedKey::of(traffic(client_to_server).first(crypto::kAeadKeySize));
  return key ? &*key : nullptr;
}

// A forked child sees zeros where the parent's keys are: it must not go on under a key that everybody knows.
bool SecureChannel::wiped() const {
  return std::ranges::all_of(keys_.reveal().subspan(2 * kTraffic, 32),
                             [](std::uint8_t octet) { return octet == 0; });
}

void SecureChannel::next_epoch(ByteView fresh, ByteView key) {
  secret::SecretBuffer previous(chain().size() + key.size());  // chain(e) | SK; all that can fail
  ++epoch_;
  sent_ = received_ = 0;
  expanded_ = {};
  std::ranges::copy(chain(), previous.reveal().begin());
  std::ranges::copy(key, previous.reveal().begin() + static_cast<std::ptrdiff_t>(chain().size()));
  crypto::hkdf_sha256(previous.reveal(), fresh, info(kChain, epoch_), chain());
  crypto::hkdf_sha256(chain(), fresh, info(kTrafficC2s, epoch_), traffic(true));
  crypto::hkdf_sha256(chain(), fresh, info(kTrafficS2c, epoch_), traffic(false));
}

void SecureChannel::advance(ByteView client_fresh, ByteView server_fresh) {
  if (client_fresh.size() != kFreshSize || server_fresh.size() != kFreshSize) std::abort();
  next_epoch(joined(client_fresh, server_fresh));
}

void SecureChannel::advance_with_key(ByteView client_fresh, ByteView server_fresh, ByteView key) {
  if (client_fresh.size() != server_fresh.size() ||
      (client_fresh.size() != 16 && client_fresh.size() != kFreshSize)) {
    std::abort();
  }
  next_epoch(joined(client_fresh, server_fresh), key);
}

void SecureChannel::advance_for_new_image(ByteView client_fresh, ByteView server_fresh) {
  advance(client_fresh, server_fresh);
  crypto::hkdf_sha256(chain(), joined(client_fresh, server_fresh), bytes_of(kExporter), exporter());
}

Result<void> SecureChannel::export_key(std::string_view label, MutableByteView out) const {
  if (label.size() > 255 || out.empty() || out.size() > crypto::kMaxHkdfOutput) {
    return fail(Code::kInvalid, "an export needs a label of at most 255 octets and 1 to 8160 octets of room");
  }
  if (dead_) return fail(Code::kRefused, "the channel has failed");
  Bytes what = info(kExport, static_cast<std::uint32_t>(label.size()));
  what.insert(what.end(), label.begin(), label.end());
  const auto size = be32(static_cast<std::uint32_t>(out.size()));
  what.insert(what.end(), size.begin(), size.end());
  crypto::hkdf_sha256(keys_.reveal().subspan(2 * kTraffic + 32, 32), {}, what, out);
  return {};
}

secret::SecretBuffer SecureChannel::hand_over() const {
  static_assert(kHandoverSize == 4 + kKeyBlock);
  if (!dead_ && (sent_ != 0 || received_ != 0))
    std::abort();  // the counters start at 0 over there: a nonce used twice
  secret::SecretBuffer out(kHandoverSize);
  std::ranges::copy(be32(epoch_), out.reveal().begin());
  std::ranges::copy(keys_.reveal(), out.reveal().begin() + 4);
  return out;
}

std::optional<SecureChannel> SecureChannel::take_over(ByteView octets) {
  if (octets.size() != kHandoverSize) return std::nullopt;
  SecureChannel channel(Role::kClient);
  channel.epoch_ = read_be32(octets);
  std::ranges::copy(octets.subspan(4), channel.keys_.reveal().begin());
  if (channel.epoch_ == 0 || channel.wiped()) return std::nullopt;
  return channel;
}

}  // namespace keyd::exchange
