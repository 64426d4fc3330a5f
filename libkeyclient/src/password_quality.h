// What libpwquality and cracklib say of a password, with what the administrator has set in /etc/security/pwquality.conf
// and the files of /etc/security/pwquality.conf.d, and never less than our own floor: 8 octets, 5 characters that the
// old password does not have (difok), the user's name and the personal words not in it.
//
// Not for a process that goes on: both libraries leave copies of the password in its memory.
#pragma once

#include <span>
#include <string>

#include "libkeyclient/src/failure.h"

namespace keyd::client {

struct Person {
  const std::string& user;
  std::span<const std::string> gecos, words;
};

// `old` may be empty. `config`: nullptr for the system's.
//   KEYCLIENT_INVALID      what is wrong with `fresh`
//   KEYCLIENT_UNSUPPORTED  no dictionary, or a damaged one
//   KEYCLIENT_REFUSED      the configuration cannot be read
//   KEYCLIENT_BUSY         no memory
[[nodiscard]] Outcome<void> check_quality(const Person& person, const char* fresh, const char* old,
                                          const char* config = nullptr);

}  // namespace keyd::client
