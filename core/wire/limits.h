// Sizes that peers may make us handle. Everything larger is refused before it is parsed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace keyd::wire {

inline constexpr std::uint32_t kVersion = 1;

inline constexpr std::size_t kMaxCredential = 64 * 1024;         // octets of a credential's value
inline constexpr std::size_t kMaxPassword = 1024;                // octets
inline constexpr std::size_t kMaxPlainPacket = 4096;             // octets of a packet outside a session
inline constexpr std::size_t kMaxPacket = kMaxCredential + 512;  // octets of any packet
inline constexpr std::size_t kMaxAdminReply = 64 * 1024;         // octets; lists come in pages

inline constexpr std::size_t kClientRandomSize = 32, kServerRandomSize = 32, kSessionIdSize = 16;  // octets

}  // namespace keyd::wire
