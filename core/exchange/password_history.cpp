#include "core/exchange/password_history.h"

#include <algorithm>
#include <array>

#include "core/base/untrusted_text.h"
#include "core/crypto/scrypt.h"
#include "core/exchange/srp_verifier.h"
#include "core/wire/limits.h"

namespace keyd::exchange {
namespace {

constexpr std::string_view kLabel = "keyd/1 password history";

// A code point's octets in the lower ones of a number: in UTF-8 they order as the code points do.
std::uint32_t next_character(ByteView& utf8) {
  const std::uint8_t first = utf8.front();
  const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  std::uint32_t character = 0;
  for (const std::uint8_t octet : utf8.first(length)) character = character << 8 | octet;
  utf8 = utf8.subspan(length);
  return character;
}

void sort_characters(ByteView utf8, MutableByteView out) {
  secret::SecretBuffer room(utf8.size() * sizeof(std::uint32_t));
  const std::span all(reinterpret_cast<std::uint32_t*>(room.reveal().data()), utf8.size());
  std::size_t count = 0;
  while (!utf8.empty()) all[count++] = next_character(utf8);
  std::ranges::sort(all.first(count));
  std::size_t at = 0;
  for (const std::uint32_t character : all.first(count)) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      if (const auto octet = static_cast<std::uint8_t>(character >> shift); octet != 0 || shift == 0)
        out[at++] = octet;
    }
  }
}

}  // namespace

Result<secret::SecretBuffer> history_hash(ByteView password, ByteView history_salt) {
  if (history_salt.size() != kHistorySaltSize)
    return fail(Code::kInvalid, "the salt of a password history has 16 octets");
  if (password.empty() || password.size() > wire::kMaxPassword)
    return fail(Code::kInvalid, "a password has 1 to 1024 octets");
  auto sorted = secret::SecretBuffer::copy_of(password);
  if (is_utf8(text_of(password))) {
    sort_characters(password, sorted.reveal());
  } else {
    std::ranges::sort(sorted.reveal());
  }
  std::array<std::uint8_t, kLabel.size() + kHistorySaltSize> salt{};
  const auto behind = std::ranges::copy(kLabel, salt.begin()).out;
  std::ranges::copy(history_salt, behind);
  return crypto::scrypt(sorted.reveal(), salt, kDefaultDerivation.cost, kHistoryHashSize);
}

}  // namespace keyd::exchange
