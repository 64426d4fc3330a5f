// The one place that calls libcrypt. Its working storage, the password and the hash lie together in one block
// of the locked pool. What it is asked to do was looked at before (crypt_method.cpp): a setting that is not
// understood is not tried.
#include "core/crypto/password_hash.h"

#include <crypt.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "core/crypto/crypt_method.h"
#include "core/crypto/random.h"

namespace keyd::crypto {
namespace {

static_assert(kMaxCryptString == CRYPT_OUTPUT_SIZE - 1);
static_assert(kMaxCryptPassword == CRYPT_MAX_PASSPHRASE_SIZE - 1);
static_assert(sizeof(crypt_data) <= secret::LockedPool::kLargestBlock);

constexpr std::size_t kSaltOctets = 16;     // random octets for a new salt
constexpr std::size_t kLeastSaltText = 11;  // characters of 6 bits: 64 bits and two

// The longest text of at most `longest` characters that the method takes and that still is a good salt.
void shorten(const CryptMethod& method, std::string& salt, std::size_t longest) {
  if (method.salt_step == 0 || salt.size() <= longest) return;
  const std::size_t step = method.salt_step, least = (kLeastSaltText + step - 1) / step * step;
  salt.resize(std::min(salt.size(), std::max(least, longest / step * step)));
}

}  // namespace

Result<CryptCost> check_crypt_setting(const CryptSetting& setting, const CryptLimits& limits) {
  const CryptMethod* const method = method_of(setting);
  auto cost = cost_of(setting);
  if (method == nullptr || !cost || crypt_checksalt(setting.text().c_str()) == CRYPT_SALT_INVALID) {
    return fail(Code::kInvalid, "not a crypt(3) setting that this libcrypt knows");
  }
  if (!limits.methods.empty() && std::ranges::find(limits.methods, cost->method) == limits.methods.end()) {
    return fail(Code::kRefused, cost->method + " is not among the accepted methods");
  }
  const bool too_much = method->unit == CostUnit::kMemory ? cost->memory > limits.memory
                        : method->unit == CostUnit::kBcryptLog
                            ? cost->rounds >> std::min(limits.bcrypt_log, 63u) > 1
                            : cost->rounds > limits.rounds;
  if (too_much)
    return fail(Code::kRefused, "a hash by " + cost->method + " with this cost would take too much");
  return *std::move(cost);
}

Result<CryptSetting> setting_of(ByteView crypt_string) {
  auto setting = split_hash_string(text_of(crypt_string));
  if (!setting || crypt_checksalt(setting->text().c_str()) == CRYPT_SALT_INVALID) {
    return fail(Code::kInvalid, "not a crypt(3) hash string of a method that this libcrypt knows");
  }
  return *std::move(setting);
}

Result<CryptSetting> make_crypt_setting(const std::string& method, unsigned cost, std::size_t longest_salt) {
  const CryptMethod* const found = method_named(method);
  if (found == nullptr) return fail(Code::kInvalid, "not a crypt(3) method for new passwords");
  std::array<std::uint8_t, kSaltOctets> octets{};
  if (!fill_random(octets)) return fail(Code::kBroken, "no random numbers");
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> text{};
  const std::string prefix(found->prefix);
  if (crypt_gensalt_rn(prefix.c_str(), cost, reinterpret_cast<const char*>(octets.data()), kSaltOctets,
                       text.data(), static_cast<int>(text.size())) == nullptr) {
    return fail(Code::kInvalid, "libcrypt makes no setting of " + method + " with this cost");
  }
  auto setting = split_setting(*found, text.data());
  if (!setting) return fail(Code::kBroken, "libcrypt's own setting of " + method + " is not understood");
  shorten(*found, setting->salt, longest_salt);
  setting->tail = found->tail;
  if (crypt_checksalt(setting->text().c_str()) != CRYPT_SALT_OK) {
    return fail(Code::kInvalid, "libcrypt says that " + method + " is not for new passwords");
  }
  return *std::move(setting);
}

bool is_crypt_password(ByteView password) {
  return !password.empty() && password.size() <= kMaxCryptPassword &&
         std::ranges::find(password, 0) == password.end();
}

Result<secret::SecretBuffer> crypt_password(ByteView password, const CryptSetting& setting) {
  if (!is_crypt_password(password)) {
    return fail(Code::kInvalid, "a password for crypt(3) has 1 to 511 octets, and none is zero");
  }
  const std::string text = setting.text();
  if (method_of(setting) == nullptr || text.size() > kMaxCryptString) {
    return fail(Code::kInvalid, "not a crypt(3) setting that this libcrypt knows");
  }
  secret::SecretBuffer storage(sizeof(crypt_data));  // zeros: what libcrypt wants before the first use
  auto* const data = reinterpret_cast<crypt_data*>(storage.reveal().data());
  std::memcpy(data->input, password.data(), password.size());
  std::memcpy(data->setting, text.c_str(), text.size() + 1);
  errno = 0;
  const char* const out = crypt_rn(data->input, data->setting, data, sizeof *data);
  // "*0" and "*1" are how libcrypt says no where it gives a string.
  if (out == nullptr || out[0] == '*' || out[0] == '\0') {
    if (errno == ENOMEM) return fail_errno(Code::kExhausted, "no memory to hash a password");
    return fail_errno(Code::kInvalid, "libcrypt does not take this setting");
  }
  return secret::SecretBuffer::copy_of(bytes_of({out, strnlen(out, kMaxCryptString)}));
}

}  // namespace keyd::crypto
