// As getspent(3) reads it: lines without content and those that begin with '#' are nobody's, dates are decimal and may
// be absent. The fields about ageing are keyd's own matter and not looked at, but for the expiry: whose account has
// expired cannot log in, and must not be able to by being imported.
#include "tools/keyadm/shadow_line.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/base/untrusted_text.h"
#include "core/crypto/password_hash.h"

namespace keyd::keyadm {
namespace {

constexpr std::size_t kFields = 9, kFieldsOfPlainLine = 2;
constexpr std::size_t kHash = 1, kLastChange = 2, kExpiry = 7;
constexpr std::uint64_t kLastDay = 2'932'896;  // 9999-12-31
constexpr std::uint64_t kDay = 86'400;         // seconds

struct Fields {
  std::array<std::string_view, kFields> text;
  std::size_t count = 0;  // may be more than there is room for
};

Fields split(std::string_view line) {
  Fields fields;
  for (;;) {
    const std::size_t end = line.find(':');
    if (fields.count < kFields) fields.text[fields.count] = line.substr(0, end);
    ++fields.count;
    if (end == std::string_view::npos) return fields;
    line.remove_prefix(end + 1);
  }
}

// Days, or nothing when the field is empty. kInvalid: something else than days.
Result<std::optional<std::uint64_t>> days(std::string_view field, const char* what) {
  if (field.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : field) {
    if (c < '0' || c > '9' || value > kLastDay)
      return fail(Code::kInvalid, std::string("the ") + what + " is no number of days");
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (value > kLastDay) return fail(Code::kInvalid, std::string("the ") + what + " is after the year 9999");
  return value;
}

// The password field, into `out`.
Result<void> read_hash(std::string_view field, ShadowLine& out) {
  if (field.empty()) return fail(Code::kInvalid, "the password field is empty: anybody could log in");
  const std::size_t marks = std::min(field.find_first_not_of('!'), field.size());
  field.remove_prefix(marks);
  if (field.empty() || field.front() == '*') {
    out.kind = ShadowLine::Kind::kNoPassword;
    return {};
  }
  if (field.size() > crypto::kMaxCryptString ||
      !std::ranges::all_of(field, [](char c) { return c > 0x20 && c < 0x7f; }))
    return fail(Code::kInvalid, "the password field is no crypt(3) hash");
  out.kind = ShadowLine::Kind::kHash;
  out.hash = bytes_of(field);
  out.locked = marks != 0;
  return {};
}

}  // namespace

Result<ShadowLine> parse_shadow_line(ByteView line, std::uint64_t today) {
  const std::string_view text = text_of(line);
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos || text[first] == '#') return ShadowLine();
  const Fields fields = split(text);
  if (fields.count != kFields && fields.count != kFieldsOfPlainLine) {
    return fail(Code::kInvalid, "it has " + std::to_string(fields.count) +
                                    (fields.count == 1 ? " field" : " fields") +
                                    ", not 9 (or 2: name and hash)");
  }
  ShadowLine out;
  out.name = fields.text[0];
  if (!is_acceptable_name(out.name)) return fail(Code::kInvalid, "its name is none that keyd takes");
  const auto changed = days(fields.text[kLastChange], "last change"),
             expiry = days(fields.text[kExpiry], "expiry");
  for (const auto* each : {&changed, &expiry})
    if (!*each) return std::unexpected(each->error());
  out.password_changed = changed->value_or(0) * kDay;
  if (auto read = read_hash(fields.text[kHash], out); !read) return std::unexpected(read.error());
  // shadow(5): on that day it is expired already.
  if (out.kind == ShadowLine::Kind::kHash && *expiry && **expiry <= today) out.locked = true;
  return out;
}

}  // namespace keyd::keyadm
