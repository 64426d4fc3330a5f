// Secrets typed by a person or handed over on a descriptor: straight into locked memory, never on a command
// line, in the environment or in a std::string.
#pragma once

#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/secret/secret.h"

namespace keyd::console {

// What ^C at a prompt does: end the program, as it does elsewhere, or only the prompt.
enum class OnInterrupt { kEndProgram, kEndPrompt };

// Asks on the controlling terminal, without echo. kUnreachable when there is no terminal; kInvalid for an
// empty answer or one longer than `limit` octets; kRefused when a signal ended the prompt.
[[nodiscard]] Result<secret::SecretBuffer> prompt(const std::string& question, std::size_t limit,
                                                  OnInterrupt on_interrupt = OnInterrupt::kEndProgram);
// A line on the controlling terminal, where there is one.
void tell(const std::string& line);
// Asks twice; kRefused when the answers differ.
[[nodiscard]] Result<secret::SecretBuffer> prompt_twice(const std::string& question, std::size_t limit);

// Reads `fd` to its end. With `line`, one line: the newline is not part of it. kInvalid for nothing at all or
// more than `limit` octets.
[[nodiscard]] Result<secret::SecretBuffer> read_secret(int fd, std::size_t limit, bool line);

}  // namespace keyd::console
