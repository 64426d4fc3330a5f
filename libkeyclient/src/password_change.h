// The change of a password as the client runs it, beside the session's other traffic (seed 002, steps 314 to 328).
#pragma once

#include <keyclient/keyclient.h>

#include "libkeyclient/src/failure.h"

namespace keyd::client {

// The whole of it. `how.changed` is set as soon as the new password is the user's. Asks, and computes, without the
// handle's lock: other threads use the session meanwhile.
[[nodiscard]] Outcome<void> change_password(keyclient_t& client, keyclient_change& how);

}  // namespace keyd::client
