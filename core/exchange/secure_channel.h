// The sealed channel of a session: AES-256-GCM records with a key, an IV and a counter for each direction,
// re-keyed by epochs. Both ends; no I/O. docs/protocols/secure-channel.md is the same in prose.
//
// Record, in octets:      type(1) | epoch(4, big-endian) | counter(8, big-endian) | ciphertext | tag(16)
//   additional data       the 13 octets before the ciphertext
//   nonce                 IV xor (0^4 | counter)
//
// Keys. k1 and k2 are the exchange's (k2 = k1 when it made one); TH is the transcript hash up to the last
// packet before the client's Finished; r is the client's | the server's 32 fresh octets. KDF is
// HKDF-SHA256(secret, salt, info).
//   traffic(c2s, 0)  = KDF(k1, TH, "keyd/1 traffic c2s" | be32(0))      44 octets: key(32) | IV(12)
//   traffic(s2c, 0)  = KDF(k2, TH, "keyd/1 traffic s2c" | be32(0))      (seed 000, claims 6, 10)
//   chain(0)         = KDF(k1 | k2, TH, "keyd/1 chain" | be32(0))
//   exporter         = KDF(k1 | k2, TH, "keyd/1 exporter")
//   chain(e+1)       = KDF(chain(e), r, "keyd/1 chain" | be32(e+1))
//   traffic(d, e+1)  = KDF(chain(e+1), r, "keyd/1 traffic " d | be32(e+1))
//   a command's key: as above, with secret chain(e) | SK                 (`kryptoknight`, per_command)
//   exporter'        = KDF(chain(e+1), r, "keyd/1 exporter")            after a planned exec was adopted
//   export(label, n) = KDF(exporter, "", "keyd/1 export" | be32(|label|) | label | be32(n))
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/crypto/aead.h"
#include "core/secret/secret.h"

namespace keyd::exchange {

enum class Role { kClient, kServer };

enum class RecordType : std::uint8_t {
  kFinished = 1,     // of an exchange
  kSession = 2,      // a SessionRequest or SessionReply
  kApplication = 3,  // a program's own
  kPassword = 4,     // the clear password, as the first thing in a session of `kryptoknight`
};

inline constexpr std::size_t kRecordHeader = 13, kRecordOverhead = kRecordHeader + 16;  // octets
// Records a direction carries under one key before its end asks for the next epoch, and before it stops (RFC
// 8446 section 5.5 puts AES-GCM's limit at 2^24.5 full-size records).
inline constexpr std::uint64_t kRekeyAfter = std::uint64_t{1} << 23, kStopAfter = std::uint64_t{1} << 24;

class SecureChannel {
 public:
  // Epoch 0, from the exchange's keys and the transcript hash.
  SecureChannel(Role role, ByteView k1, ByteView k2, ByteView transcript_hash);

  // One record around `plaintext` in our direction. kExhausted when the epoch carried kStopAfter records.
  [[nodiscard]] Result<Bytes> seal(RecordType type, ByteView plaintext);
  // The plaintext of the peer's next record: of this type, this epoch, and with the very next counter.
  // Nothing otherwise; the channel is then of no further use and its keys are wiped.
  [[nodiscard]] std::optional<secret::SecretBuffer> open(RecordType type, ByteView record);
  // The same in the caller's memory: `record` holds plaintext.size() + kRecordOverhead octets and lies apart
  // from `plaintext`; `plaintext` holds kRecordOverhead less than the record (nothing when that is shorter)
  // and lies apart from it. When nothing opens, nothing of it is in `plaintext`.
  [[nodiscard]] Result<void> seal_into(RecordType type, ByteView plaintext, MutableByteView record);
  [[nodiscard]] bool open_into(RecordType type, ByteView record, MutableByteView plaintext);

  // To the next epoch, on both ends at the same point of the conversation. 32 octets each.
  void advance(ByteView client_fresh, ByteView server_fresh);
  // The same, with a key that both ends have for the next command alone (`kryptoknight`, per_command). The fresh
  // octets are the two nonces that made it: 16 or 32 octets, both alike.
  void advance_with_key(ByteView client_fresh, ByteView server_fresh, ByteView key);
  // Like advance, and with a new exporter: what the image before the exec exported stays its own.
  void advance_for_new_image(ByteView client_fresh, ByteView server_fresh);

  // A key for the program's own use; never one of the channel's. `out` holds 1..8160 octets. kInvalid
  // otherwise, or when `label` is longer than 255 octets.
  [[nodiscard]] Result<void> export_key(std::string_view label, MutableByteView out) const;

  [[nodiscard]] std::uint32_t epoch() const { return epoch_; }
  [[nodiscard]] bool wants_rekey() const { return sent_ >= kRekeyAfter || received_ >= kRekeyAfter; }

  // A client's channel at the start of an epoch (nothing sealed or opened in it yet: else it aborts) as
  // octets, to be taken over by the image after a planned exec, and back. Nothing: not such octets. The
  // caller keeps them in memory fit for secrets.
  static constexpr std::size_t kHandoverSize = 4 + 152;
  [[nodiscard]] secret::SecretBuffer hand_over() const;
  [[nodiscard]] static std::optional<SecureChannel> take_over(ByteView octets);

 private:
  explicit SecureChannel(Role role) : role_(role) {}
  struct KeyBlockTag;
  // c2s key(32) iv(12) | s2c key(32) iv(12) | chain(32) | exporter(32)
  static constexpr std::size_t kTraffic = 44, kKeyBlock = 2 * kTraffic + 32 + 32;
  [[nodiscard]] MutableByteView traffic(bool client_to_server) {
    return keys_.reveal().subspan(client_to_server ? 0 : kTraffic, kTraffic);
  }
  [[nodiscard]] MutableByteView chain() { return keys_.reveal().subspan(2 * kTraffic, 32); }
  [[nodiscard]] MutableByteView exporter() { return keys_.reveal().subspan(2 * kTraffic + 32, 32); }
  void next_epoch(ByteView fresh, ByteView key = {});
  [[nodiscard]] bool open_sealed(ByteView header, ByteView sealed, MutableByteView plaintext);
  [[nodiscard]] crypto::ExpandedKey* expanded(bool client_to_server);  // null: use the key itself
  [[nodiscard]] bool wiped() const;

  Role role_;
  std::uint32_t epoch_ = 0;
  std::uint64_t sent_ = 0, received_ = 0;
  bool dead_ = false;
  secret::Secret<kKeyBlock, KeyBlockTag> keys_;
  // Of this epoch, for c2s and s2c, made at the second record of a direction: the first is an exchange's
  // Finished, after which most channels are idle.
  std::array<std::optional<crypto::ExpandedKey>, 2> expanded_;
};

}  // namespace keyd::exchange
