// The scene of scene.h for kryptoknight: one user's stored hash in each suite, by methods that take no time.
#pragma once

#include <string_view>

#include "core/exchange/kryptoknight.h"
#include "core/exchange/kryptoknight_password.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scene.h"

namespace keyd::fuzz {

// What a client in the scene asks for, and by what way the salt is sent. `number` counts variants, 0 to 5.
inline constexpr int kKryptoknightVariants = 6;
inline wire::KryptoknightStart kryptoknight_choice(int number) {
  wire::KryptoknightStart start;
  start.set_user("ada");
  start.set_server_name("keyd.example:3389");
  start.set_suite(number < 3 ? wire::SUITE_MODERN : wire::SUITE_HISTORIC);
  start.set_per_command(number % 3 == 1);
  return start;
}
inline wire::SaltCarriage kryptoknight_carriage(int number) {
  return number % 3 == 0   ? wire::SALT_CARRIAGE_IS_NONCE
         : number % 3 == 1 ? wire::SALT_CARRIAGE_STARTS_NONCE
                           : wire::SALT_CARRIAGE_BESIDE_NONCE;
}

// Of kPassword. Its salt fits the way of the variant.
inline exchange::PasswordHash kryptoknight_hash(int number) {
  exchange::PasswordHash stored;
  const std::string_view salt = number % 3 == 1 ? "saltsalt" : "sixteen.octets..";
  if (number < 3) {
    stored.suite = wire::SUITE_MODERN;
    stored.setting = {.head = "$sha1$10$", .salt = std::string(salt), .tail = "$"};
  } else {
    stored.suite = wire::SUITE_HISTORIC;
    stored.salt.assign(salt.begin(), salt.end());
  }
  auto hash = exchange::hash_password(bytes_of(kPassword), stored);
  must(hash.has_value());
  stored.hash = std::move(*hash);
  return stored;
}

// So little that no input is slow.
inline crypto::CryptLimits small_limits() {
  return {.memory = 1u << 18, .rounds = 2000, .bcrypt_log = 4, .methods = {}};
}

}  // namespace keyd::fuzz
