// The fixed scene that the corpus was recorded in: the same numbers, password and keys in every run, so that
// a seed gets as far into the machines as a real conversation does.
#pragma once

#include <algorithm>
#include <string_view>

#include "core/crypto/digest.h"
#include "core/exchange/challenge.h"

namespace keyd::fuzz {

inline constexpr std::string_view kPassword = "correct horse";

// SHA-256(seed | be64(n)), n = 0, 1, …: every call starts at a new block.
class FixedRandom {
 public:
  explicit FixedRandom(char seed) : seed_(static_cast<std::uint8_t>(seed)) {}
  bool operator()(MutableByteView out) {
    for (std::size_t at = 0; at < out.size(); at += crypto::kSha256Size) {
      std::array<std::uint8_t, crypto::kSha256Size> block{};
      crypto::digest(crypto::Hash::kSha256, {{&seed_, 1}, be64(counter_++)}, block);
      std::copy_n(block.begin(), std::min(block.size(), out.size() - at),
                  out.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return true;
  }

 private:
  std::uint8_t seed_;
  std::uint64_t counter_ = 0;
};

// What the client in the scene asks for. `number` counts variants, 0 to 4.
inline constexpr int kVariants = 5;
inline wire::ChallengeStart choice(int number) {
  wire::ChallengeStart start;
  start.set_user("ada");
  start.set_server_name("keyd.example");
  start.set_suite(number == 0 ? wire::SUITE_MODERN : wire::SUITE_HISTORIC);
  start.set_transform(number == 0   ? wire::TRANSFORM_HMAC_SHA256
                      : number == 1 ? wire::TRANSFORM_MD5
                      : number == 2 ? wire::TRANSFORM_KEYED_MD5_RFC1828
                                    : wire::TRANSFORM_HMAC_MD5);
  start.set_nonce_bits(number == 0 ? 256 : 16);
  start.set_key_count(number == 4 ? 1 : 2);
  if (number == 3) start.set_renews(std::string(wire::kSessionIdSize, 'r'));
  return start;
}

// The two ends of an established channel.
inline exchange::SecureChannel channel(exchange::Role role) {
  const Bytes k1(32, 1), k2(32, 2), transcript(32, 3);
  return exchange::SecureChannel(role, k1, k2, transcript);
}
// The fresh octets with which the scene goes to epoch 1.
inline Bytes fresh(char side) { return Bytes(32, static_cast<std::uint8_t>(side)); }

}  // namespace keyd::fuzz
