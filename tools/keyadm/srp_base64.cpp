#include "tools/keyadm/srp_base64.h"

namespace keyd::keyadm {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz./";

// The number that up to four digits are; nothing when one of them is none.
std::optional<std::uint32_t> number_of(std::string_view digits) {
  std::uint32_t number = 0;
  for (const char digit : digits) {
    const std::size_t value = kDigits.find(digit);
    if (value == std::string_view::npos) return std::nullopt;
    number = number << 6 | static_cast<std::uint32_t>(value);
  }
  return number;
}

// Octets that the digits in front of the fours stand for. Nothing when nobody writes such.
std::optional<std::size_t> front_octets(SrpBase64 way, std::size_t digits, std::uint32_t number) {
  const std::size_t octets = digits - 1;  // that digits hold when none of them is saved
  const bool holds = number >> (8 * octets) == 0;
  if (way == SrpBase64::kOpenssl) return octets > 0 && holds ? std::optional(octets) : std::nullopt;
  return octets > 0 && holds ? octets : octets + 1;
}

void put(std::uint32_t number, std::size_t octets, std::uint8_t* out) {
  for (std::size_t i = octets; i-- > 0; number >>= 8) out[i] = static_cast<std::uint8_t>(number);
}

}  // namespace

std::optional<std::size_t> read_srp_base64(SrpBase64 way, std::string_view text, MutableByteView out) {
  const std::size_t front = text.size() % 4;
  if (text.empty() || text.size() / 4 * 3 > out.size()) return std::nullopt;
  std::size_t size = 0;  // octets at the end of `out`, filled from behind
  for (; text.size() > front; text.remove_suffix(4), size += 3) {
    const auto number = number_of(text.substr(text.size() - 4));
    if (!number) return std::nullopt;
    put(*number, 3, out.data() + out.size() - size - 3);
  }
  if (front == 0) return size;
  const auto number = number_of(text);
  const auto octets = number ? front_octets(way, front, *number) : std::nullopt;
  if (!octets || size + *octets > out.size()) return std::nullopt;
  put(*number, *octets, out.data() + out.size() - size - *octets);
  return size + *octets;
}

std::size_t write_srp_base64(SrpBase64 way, ByteView octets, MutableByteView out) {
  std::size_t size = 0;  // characters at the end of `out`
  const auto write = [&](std::uint32_t number, std::size_t digits) {
    for (; digits > 0; --digits, number >>= 6)
      out[out.size() - ++size] = static_cast<std::uint8_t>(kDigits[number & 63]);
  };
  const auto take = [&](std::size_t count) {
    std::uint32_t number = 0;
    for (const std::uint8_t octet : octets.last(count)) number = number << 8 | octet;
    octets = octets.first(octets.size() - count);
    return number;
  };
  while (octets.size() >= 3) write(take(3), 4);
  if (octets.empty()) return size;
  const std::size_t most = octets.size() + 1;
  const std::uint32_t front = take(octets.size());
  write(front, way == SrpBase64::kOpenssl ? most : front < 0x40 ? 1 : front < 0x1000 ? 2 : 3);
  return size;
}

}  // namespace keyd::keyadm
