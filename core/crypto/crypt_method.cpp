// A setting may come from a hostile server, and libcrypt would begin at once with whatever work it asks for.
// So each part is read here as libcrypt reads it, and what is not exactly one of its forms is none.
#include "core/crypto/crypt_method.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace keyd::crypto {
namespace {

constexpr std::size_t kMaxHead = 128, kMaxSalt = 86;  // characters

// ---- characters

// libcrypt's own base 64, in the order of their values.
constexpr std::string_view kDigits64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

bool is_digit64(char c) { return kDigits64.contains(c); }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }
// crypt(5): printable, and none of the delimiters of passwd(5) and shadow(5).
bool is_free(char c) { return c > ' ' && c <= '~' && !std::string_view("$:;*!\\").contains(c); }

bool all(std::string_view text, bool (*is)(char)) { return std::ranges::all_of(text, is); }

// Takes a decimal number without leading zeros from the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  if (text.empty() || text.front() < '1' || text.front() > '9') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

std::uint64_t product(std::initializer_list<std::uint64_t> factors) {
  std::uint64_t out = 1;
  for (const auto factor : factors) {
    if (__builtin_mul_overflow(out, factor, &out)) return std::numeric_limits<std::uint64_t>::max();
  }
  return out;
}

CryptCost rounds(std::uint64_t count) { return {.method = {}, .memory = 0, .rounds = count}; }

// ---- costs

// N, r and the rest of what a memory-hard method fills. Passes over the same memory count like more of it:
// they take the time.
CryptCost filled(unsigned n_log2, std::uint64_t r, std::uint64_t p, std::uint64_t passes) {
  if (n_log2 > 63) return {.method = {}, .memory = std::numeric_limits<std::uint64_t>::max()};
  return {.method = {}, .memory = product({128, std::uint64_t{1} << n_log2, r, p, passes})};
}

// yescrypt's numbers: short ones have one digit, each further digit is announced by the size of the first.
std::optional<std::uint32_t> take_yescrypt_number(std::string_view& text, std::uint32_t least) {
  if (text.empty() || !is_digit64(text.front())) return std::nullopt;
  auto digit = static_cast<std::uint32_t>(kDigits64.find(text.front()));
  std::uint64_t number = least;
  std::uint32_t start = 0, end = 47, more = 0;
  for (; digit > end; ++more) {
    number += std::uint64_t{end + 1 - start} << (6 * more);
    start = end + 1;
    end = start + (62 - end) / 2;
  }
  number += std::uint64_t{digit - start} << (6 * more);
  text.remove_prefix(1);
  while (more-- > 0) {
    if (text.empty() || !is_digit64(text.front())) return std::nullopt;
    number += std::uint64_t{kDigits64.find(text.front())} << (6 * more);
    text.remove_prefix(1);
  }
  if (number > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return static_cast<std::uint32_t>(number);
}

// "j9T$": flavour, log2 N, r, and p and t where they are said. A ROM or a hash upgrade (g) is not for us.
std::optional<CryptCost> yescrypt_cost(std::string_view options) {
  constexpr std::uint32_t kLastFlavour = 257, kHasP = 1, kHasT = 2;
  const auto flavour = take_yescrypt_number(options, 0);
  if (!flavour || *flavour > kLastFlavour) return std::nullopt;
  const auto n_log2 = take_yescrypt_number(options, 1);
  if (!n_log2 || *n_log2 > 63) return std::nullopt;
  const auto r = take_yescrypt_number(options, 1);
  if (!r) return std::nullopt;
  std::uint32_t p = 1, t = 0;
  if (options != "$") {
    const auto has = take_yescrypt_number(options, 1);
    if (!has || *has > (kHasP | kHasT)) return std::nullopt;
    if ((*has & kHasP) != 0) {
      const auto said = take_yescrypt_number(options, 2);
      if (!said) return std::nullopt;
      p = *said;
    }
    if ((*has & kHasT) != 0) {
      const auto said = take_yescrypt_number(options, 1);
      if (!said) return std::nullopt;
      t = *said;
    }
  }
  if (options != "$") return std::nullopt;
  return filled(*n_log2, *r, p, std::uint64_t{t} + 1);
}

// Digits of base 64, the least first.
std::optional<std::uint32_t> digits64(std::string_view text) {
  if (!all(text, is_digit64)) return std::nullopt;
  std::uint32_t number = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    number = number << 6 | static_cast<std::uint32_t>(kDigits64.find(text[i]));
  }
  return number;
}

// "CU..../....": log2 N in one digit, r and p in five.
std::optional<CryptCost> scrypt_cost(std::string_view options) {
  if (options.size() != 11) return std::nullopt;
  const auto n_log2 = digits64(options.substr(0, 1)), r = digits64(options.substr(1, 5)),
             p = digits64(options.substr(6));
  if (!n_log2 || !r || !p || *n_log2 == 0 || *r == 0 || *p == 0) return std::nullopt;
  return filled(*n_log2, *r, *p, 1);
}

std::optional<CryptCost> sha2_cost(std::string_view options) {
  if (options.empty()) return rounds(5000);
  if (!take_word(options, "rounds=")) return std::nullopt;
  const auto count = take_number(options);
  if (!count || *count < 1000 || *count > 999'999'999 || options != "$") return std::nullopt;
  return rounds(*count);
}

std::optional<CryptCost> sha1_cost(std::string_view options) {
  const auto count = take_number(options);
  if (!count || *count > std::numeric_limits<std::uint32_t>::max() || options != "$") return std::nullopt;
  return rounds(*count);
}

std::optional<CryptCost> sunmd5_cost(std::string_view options) {
  constexpr std::uint64_t kAlways = 4096, kMost = 4'294'963'199;  // rounds; crypt(5)
  if (options == "$") return rounds(kAlways);
  if (!take_word(options, ",rounds=")) return std::nullopt;
  const auto count = take_number(options);
  if (!count || *count > kMost || options != "$") return std::nullopt;
  return rounds(kAlways + *count);
}

// "05$": the logarithm.
std::optional<CryptCost> bcrypt_cost(std::string_view options) {
  const auto is_decimal = [](char c) { return c >= '0' && c <= '9'; };
  if (options.size() != 3 || !is_decimal(options[0]) || !is_decimal(options[1]) || options[2] != '$')
    return std::nullopt;
  const auto log2 = static_cast<unsigned>((options[0] - '0') * 10 + (options[1] - '0'));
  if (log2 < 4 || log2 > 31) return std::nullopt;
  return rounds(std::uint64_t{1} << log2);
}

std::optional<CryptCost> bsdicrypt_cost(std::string_view options) {
  const auto count = options.size() == 4 ? digits64(options) : std::nullopt;
  if (!count || *count == 0) return std::nullopt;
  return rounds(*count);
}

template <std::uint64_t kCount>
std::optional<CryptCost> fixed_cost(std::string_view options) {
  if (!options.empty()) return std::nullopt;
  return rounds(kCount);
}

// ---- the methods

// A setting of bigcrypt is told from one of descrypt by its length alone; what follows the two characters of
// salt does not count. We write it as these, and take them for a part of the salt's text.
constexpr std::string_view kBigcryptPad = "............";
constexpr std::size_t kDesSalt = 2, kDesHash = 11, kMaxBigcryptPieces = 16;

using enum CostUnit;
constexpr std::array<CryptMethod, 16> kMethods{{
    // name, prefix, unit, hash, salt, tail, new, step, cost
    {"yescrypt", "$y$", kMemory, 43, 0, 86, "$", true, 4, yescrypt_cost},
    {"gost-yescrypt", "$gy$", kMemory, 43, 0, 86, "$", true, 4, yescrypt_cost},
    {"scrypt", "$7$", kMemory, 43, 0, 86, "$", true, 1, scrypt_cost},
    {"bcrypt", "$2b$", kBcryptLog, 31, 22, 22, "", true, 0, bcrypt_cost},
    {"bcrypt", "$2a$", kBcryptLog, 31, 22, 22, "", false, 0, bcrypt_cost},
    {"bcrypt", "$2x$", kBcryptLog, 31, 22, 22, "", false, 0, bcrypt_cost},
    {"bcrypt", "$2y$", kBcryptLog, 31, 22, 22, "", false, 0, bcrypt_cost},
    {"sha512crypt", "$6$", kRounds, 86, 0, 16, "$", true, 1, sha2_cost},
    {"sha256crypt", "$5$", kRounds, 43, 0, 16, "$", true, 1, sha2_cost},
    {"sha1crypt", "$sha1$", kRounds, 28, 1, 64, "$", false, 0, sha1_cost},
    {"sunmd5", "$md5", kRounds, 22, 1, 8, "$", false, 0, sunmd5_cost},
    {"md5crypt", "$1$", kRounds, 22, 0, 8, "$", false, 0, fixed_cost<1000>},
    {"nt", "$3$", kRounds, 32, 0, 0, "$", false, 0, fixed_cost<1>},
    {"bsdicrypt", "_", kRounds, kDesHash, 4, 4, "", false, 0, bsdicrypt_cost},
    {"descrypt", "", kRounds, kDesHash, kDesSalt, kDesSalt, "", false, 0, fixed_cost<25>},
    {"bigcrypt", "", kRounds, kDesHash, kDesSalt + kBigcryptPad.size(), kDesSalt + kBigcryptPad.size(), "",
     false, 0, fixed_cost<25 * kMaxBigcryptPieces>},
}};

bool has_free_salt(const CryptMethod& method) {
  return method.name.starts_with("sha") || method.name == "md5crypt";
}

bool is_salt_of(const CryptMethod& method, std::string_view salt) {
  if (salt.size() < method.least_salt || salt.size() > method.most_salt) return false;
  if (method.name == "bigcrypt") return all(salt, is_digit64) && salt.substr(kDesSalt) == kBigcryptPad;
  // Of the last digit libcrypt keeps two bits, and writes them so.
  if (method.name == "bcrypt" && !std::string_view(".Oeu").contains(salt.back())) return false;
  if (!has_free_salt(method) || method.name == "sha1crypt") return all(salt, is_digit64);
  // A cost would be read from it, and not from where we looked for one.
  return all(salt, is_free) && !salt.starts_with("rounds=");
}

bool is_tail_of(const CryptMethod& method, std::string_view tail) {
  return tail.empty() || tail == method.tail;
}

bool fits(const CryptMethod& method, const CryptSetting& setting) {
  return setting.head.starts_with(method.prefix) && is_salt_of(method, setting.salt) &&
         is_tail_of(method, setting.tail) &&
         method.cost(std::string_view(setting.head).substr(method.prefix.size())).has_value();
}

// The hash of SunMD5 stands behind one '$' or two. With two, the first belongs to the setting: it is hashed.
bool is_sunmd5(const CryptMethod& method) { return method.name == "sunmd5"; }

std::optional<CryptSetting> split_des(std::string_view text) {
  const bool is_long = text.size() > kDesSalt + kDesHash;
  const std::size_t pieces = (text.size() - std::min(text.size(), kDesSalt)) / kDesHash;
  if (pieces == 0 || pieces > kMaxBigcryptPieces || text.size() != kDesSalt + pieces * kDesHash)
    return std::nullopt;
  if (!all(text, is_digit64)) return std::nullopt;
  CryptSetting out{.head = {}, .salt = std::string(text.substr(0, kDesSalt)), .tail = {}};
  if (is_long) out.salt += kBigcryptPad;
  return out;
}

}  // namespace

const CryptMethod* method_of(const CryptSetting& setting) {
  if (setting.head.size() > kMaxHead || setting.salt.size() > kMaxSalt) return nullptr;
  const auto found =
      std::ranges::find_if(kMethods, [&](const CryptMethod& method) { return fits(method, setting); });
  return found == kMethods.end() ? nullptr : &*found;
}

const CryptMethod* method_named(std::string_view name) {
  const auto found = std::ranges::find(kMethods, name, &CryptMethod::name);
  return found == kMethods.end() || !found->for_new_passwords ? nullptr : &*found;
}

std::optional<CryptCost> cost_of(const CryptSetting& setting) {
  const CryptMethod* const method = method_of(setting);
  if (method == nullptr) return std::nullopt;
  auto cost = method->cost(std::string_view(setting.head).substr(method->prefix.size()));
  if (cost) cost->method = method->name;
  return cost;
}

std::optional<CryptSetting> split_setting(const CryptMethod& method, std::string_view text) {
  CryptSetting out;
  if (!method.tail.empty() && text.ends_with(method.tail)) {
    out.tail = method.tail;
    text.remove_suffix(method.tail.size());
  }
  // scrypt, bcrypt and bsdicrypt have no mark between cost and salt, but a fixed place for it.
  std::size_t salt_at = text.rfind('$') + 1;
  if (method.name == "scrypt") salt_at = method.prefix.size() + 11;
  if (method.name == "bsdicrypt") salt_at = method.prefix.size() + 4;
  if (salt_at > text.size()) return std::nullopt;
  out.head = text.substr(0, salt_at);
  out.salt = text.substr(salt_at);
  if (!fits(method, out)) return std::nullopt;
  return out;
}

std::optional<CryptSetting> split_hash_string(std::string_view crypt_string) {
  if (crypt_string.size() > kMaxCryptString) return std::nullopt;
  for (const CryptMethod& method : kMethods) {
    if (method.prefix.empty()) return split_des(crypt_string);
    if (!crypt_string.starts_with(method.prefix)) continue;
    if (crypt_string.size() < method.prefix.size() + method.hash_size) return std::nullopt;
    const std::string_view hash = crypt_string.substr(crypt_string.size() - method.hash_size);
    std::string_view before = crypt_string.substr(0, crypt_string.size() - method.hash_size);
    if (!all(hash, method.name == "nt" ? is_hex : is_digit64) || !before.ends_with(method.tail))
      return std::nullopt;
    if (is_sunmd5(method)) before.remove_suffix(1);
    return split_setting(method, before);
  }
  return std::nullopt;
}

}  // namespace keyd::crypto
