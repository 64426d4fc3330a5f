#include "core/base/untrusted_text.h"

#include <cstdint>
#include <cstdio>

namespace keyd {
namespace {

constexpr char32_t kIllFormed = 0xffffffff;

struct Decoded {
  char32_t scalar;
  std::size_t length;  // octets consumed, >= 1
};

// One scalar value of UTF-8 (RFC 3629 section 3: no overlong forms, no surrogates, at most U+10FFFF).
Decoded decode_one(std::string_view in) {
  const auto octet = [&](std::size_t i) { return static_cast<std::uint8_t>(in[i]); };
  const std::uint8_t first = octet(0);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xf0 && first <= 0xf4   ? 4
                             : first >= 0xe0 && first < 0xf0  ? 3
                             : first >= 0xc2 && first <= 0xdf ? 2
                                                              : 0;
  if (length == 0 || in.size() < length) return {kIllFormed, 1};
  char32_t value = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((octet(i) & 0xc0) != 0x80) return {kIllFormed, 1};
    value = value << 6 | (octet(i) & 0x3fu);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff) return {kIllFormed, 1};
  return {value, length};
}

// Characters that move the cursor, change direction, or cannot be seen.
bool is_unprintable(char32_t c) {
  return c == kIllFormed || c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c ||
         (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
         c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

}  // namespace

bool is_acceptable_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameOctets) return false;
  if (name.front() == ' ' || name.back() == ' ' || name.front() == '-') return false;
  for (std::size_t i = 0; i < name.size();) {
    const Decoded c = decode_one(name.substr(i));
    if (is_unprintable(c.scalar)) return false;
    i += c.length;
  }
  return true;
}

namespace {

std::string escape_with(std::string_view text, bool quotes) {
  std::string out;
  out.reserve(text.size());
  char buffer[16];
  for (std::size_t i = 0; i < text.size();) {
    const Decoded c = decode_one(text.substr(i));
    const bool quoted = quotes && (c.scalar == '"' || c.scalar == '\\');
    if (c.length == 1 && (is_unprintable(c.scalar) || quoted)) {
      std::snprintf(buffer, sizeof buffer, "\\x%02x",
                    static_cast<unsigned>(static_cast<std::uint8_t>(text[i])));
      out += buffer;
    } else if (is_unprintable(c.scalar)) {
      std::snprintf(buffer, sizeof buffer, "\\u{%x}", static_cast<unsigned>(c.scalar));
      out += buffer;
    } else {
      out += text.substr(i, c.length);
    }
    i += c.length;
  }
  return out;
}

}  // namespace

std::string escape(std::string_view text) { return escape_with(text, true); }
std::string escape_line(std::string_view text) { return escape_with(text, false); }

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Decoded c = decode_one(text.substr(i));
    if (c.scalar == kIllFormed) return false;
    i += c.length;
  }
  return true;
}

}  // namespace keyd
