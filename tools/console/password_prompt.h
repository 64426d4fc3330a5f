// Secrets typed by a person or handed over on a descriptor: straight into locked memory, never on a command
// line, in the environment or in a std::string.
#pragma once

#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/secret/secret.h"

namespace keyd::console {

// Asks on the controlling terminal, without echo. kUnreachable when there is no terminal; kInvalid for an
// empty answer or one longer than `limit` octets.
[[nodiscard]] Result<secret::SecretBuffer> prompt(const std::string& question, std::size_t limit);
// Asks twice; kRefused when the answers differ.
[[nodiscard]] Result<secret::SecretBuffer> prompt_twice(const std::string& question, std::size_t limit);

// Reads `fd` to its end. With `line`, one line: the newline is not part of it. kInvalid for nothing at all or
// more than `limit` octets.
[[nodiscard]] Result<secret::SecretBuffer> read_secret(int fd, std::size_t limit, bool line);

}  // namespace keyd::console
