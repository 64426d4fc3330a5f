// Texts that want to be hash strings or settings of crypt(3). 'h' | text: a hash string. Anything else: the
// lengths of head and salt | head | salt | tail, as a server would send them. Whatever is taken has a cost,
// and what libcrypt makes of it has the same setting again: nothing of a hash was in it, and nothing that was
// read as salt was read as a cost.
#include <limits>

#include "core/crypto/password_hash.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/locked_memory_balance.h"

namespace keyd::fuzz {
namespace {

using crypto::CryptSetting;

constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
constexpr std::string_view kLongPassword = "longer than eight characters";

// No input is slow.
bool is_cheap(const CryptSetting& setting) {
  const crypto::CryptLimits limits{.memory = 1u << 18, .rounds = 1000, .bcrypt_log = 4, .methods = {}};
  return crypto::check_crypt_setting(setting, limits).has_value();
}

void check_hashed(const CryptSetting& setting) {
  const auto hash = crypto::crypt_password(bytes_of(kLongPassword), setting);
  if (!hash) return must(hash.error().code == Code::kInvalid);
  const auto again = crypto::setting_of(hash->reveal());
  must(again.has_value() && again->head == setting.head && again->salt == setting.salt);
  // The tail may be left out, but SunMD5's is hashed.
  must(again->tail == setting.tail || (setting.tail.empty() && !setting.head.starts_with("$md5")));
  const auto repeated = crypto::crypt_password(bytes_of(kLongPassword), *again);
  must(repeated.has_value() && text_of(repeated->reveal()) == text_of(hash->reveal()));
}

void check(const CryptSetting& setting) {
  const auto cost =
      crypto::check_crypt_setting(setting, {.memory = kAny, .rounds = kAny, .bcrypt_log = 63, .methods = {}});
  if (!cost) {
    must(!crypto::crypt_password(bytes_of(kLongPassword), setting).has_value());
    return;
  }
  must(!cost->method.empty() && (cost->memory > 0) != (cost->rounds > 0));
  must(setting.head.size() <= 128 && setting.salt.size() <= 86 && setting.tail.size() <= 1);
  must(!setting.salt.starts_with("rounds="));  // that libcrypt would read, at whatever it costs
  if (is_cheap(setting)) check_hashed(setting);
}

void check_hash_string(ByteView text) {
  const auto setting = crypto::setting_of(text);
  if (!setting) return;
  const bool is_bigcrypt = setting->head.empty() && setting->salt.size() > 2;
  const std::string start = is_bigcrypt ? setting->salt.substr(0, 2) : setting->text();
  must(text_of(text).starts_with(start) && text.size() >= start.size() + 11);
  check(*setting);
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd::fuzz;
  if (size > 1024) return 0;
  const LockedMemoryBalance balance;
  Script script({data, size});
  if (const std::uint8_t first = script.octet(); first == 'h') {
    check_hash_string(script.take(size));
  } else {
    const std::size_t salt_size = script.octet();
    keyd::crypto::CryptSetting setting;
    setting.head = keyd::text_of(script.take(first));
    setting.salt = keyd::text_of(script.take(salt_size));
    setting.tail = keyd::text_of(script.take(size));
    check(setting);
  }
  return 0;
}
