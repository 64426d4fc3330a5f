// Inside core/crypto only: the methods of crypt(3) that we know, and what the text of a setting says about
// its method and cost. The formats are crypt(5)'s; what it leaves open is as libcrypt reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/password_hash.h"

namespace keyd::crypto {

// What a method's cost is counted in, and so what limits it.
enum class CostUnit : std::uint8_t { kMemory, kRounds, kBcryptLog };

struct CryptMethod {
  std::string_view name, prefix;  // several prefixes may have one name
  CostUnit unit;
  std::uint8_t hash_size;              // characters of the hash; a bigcrypt hash is a number of such pieces
  std::uint8_t least_salt, most_salt;  // characters
  std::string_view tail;               // what stands between salt and hash
  bool for_new_passwords;              // as far as we are asked: libcrypt has its own word in it
  std::uint8_t salt_step;              // the salt's text may be shortened to a multiple of it; 0: not at all
  // The cost by what stands between the prefix and the salt; nothing when it is not exactly that.
  std::optional<CryptCost> (*cost)(std::string_view options);
};

// The method of these parts, when they have the right shape for it. Null otherwise.
[[nodiscard]] const CryptMethod* method_of(const CryptSetting& setting);
// The one to make new settings of; null when there is none of that name.
[[nodiscard]] const CryptMethod* method_named(std::string_view name);

// What method_of(setting) would cost.
[[nodiscard]] std::optional<CryptCost> cost_of(const CryptSetting& setting);

// The parts of what stands before a hash (`hash_size` 0: of a bare setting, as crypt_gensalt(3) makes them).
[[nodiscard]] std::optional<CryptSetting> split_setting(const CryptMethod& method, std::string_view text);

// The parts of the setting of a hash string.
[[nodiscard]] std::optional<CryptSetting> split_hash_string(std::string_view crypt_string);

}  // namespace keyd::crypto
