// How a session crosses a planned exec: the connection and the next keys, as two descriptors that survive it.
#pragma once

#include <optional>
#include <string_view>

#include "core/base/unique_fd.h"
#include "core/secret/secret.h"
#include "libkeyclient/src/failure.h"

namespace keyd::client {

// "<socket>:<keys>", numbers only: nothing secret is ever in the environment.
inline constexpr const char* kSessionVariable = "KEYD_SESSION";

// A memfd_secret ready for `size` octets; KEYCLIENT_UNSUPPORTED where the kernel has none.
[[nodiscard]] Outcome<UniqueFd> make_key_descriptor(std::size_t size);
// Writes the handover into it.
[[nodiscard]] Outcome<void> store_handover(int keys, ByteView handover);
// Lets a descriptor survive the exec.
[[nodiscard]] Outcome<void> keep_over_exec(int fd);

struct SessionDescriptors {
  int socket, keys;
};
// The numbers in KEYD_SESSION: two different ones, above those of the standard streams. Nothing otherwise.
[[nodiscard]] std::optional<SessionDescriptors> parse_session_variable(std::string_view text);

struct Inherited {
  UniqueFd socket;
  secret::SecretBuffer handover;
};
// Takes the descriptors that KEYD_SESSION names, close-on-exec from now on, reads and closes the keys, and
// removes the variable. KEYCLIENT_NOT_FOUND when there is no such variable, KEYCLIENT_INVALID when it does
// not name them.
[[nodiscard]] Outcome<Inherited> take_inherited(std::size_t handover_size);

}  // namespace keyd::client
