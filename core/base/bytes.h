// Octet strings: the views and owners that every layer passes around, and big-endian integers in them.
// None of these types is for secrets: those live in core/secret and show themselves as a view only on demand.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace keyd {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

// The octets of `text`, not copied. Valid as long as `text`'s storage is.
inline ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// The characters of `octets`, not copied.
inline std::string_view text_of(ByteView octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

constexpr std::array<std::uint8_t, 4> be32(std::uint32_t v) {
  return {static_cast<std::uint8_t>(v >> 24), static_cast<std::uint8_t>(v >> 16),
          static_cast<std::uint8_t>(v >> 8), static_cast<std::uint8_t>(v)};
}

constexpr std::array<std::uint8_t, 8> be64(std::uint64_t v) {
  std::array<std::uint8_t, 8> out{};
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(v >> (56 - 8 * i));
  return out;
}

// Reads a big-endian integer; the view must hold at least 4 (8) octets.
constexpr std::uint32_t read_be32(ByteView in) {
  return (std::uint32_t{in[0]} << 24) | (std::uint32_t{in[1]} << 16) | (std::uint32_t{in[2]} << 8) | in[3];
}
constexpr std::uint64_t read_be64(ByteView in) {
  return (std::uint64_t{read_be32(in)} << 32) | read_be32(in.subspan(4));
}

// Lower-case hexadecimal, for names of sessions and for test vectors. Never for secrets.
std::string to_hex(ByteView octets);
// Decodes hexadecimal of either case; false, with `out` empty, on an odd length or another character.
[[nodiscard]] bool from_hex(std::string_view hex, Bytes& out);

}  // namespace keyd
