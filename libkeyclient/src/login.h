// From what a program asks for (keyclient_login) to a session: the choice, the password, the exchange and its one retry.
#pragma once

#include <keyclient/keyclient.h>

#include "libkeyclient/src/handle.h"

namespace keyd::client {

// The exchange's choice for `login`; KEYCLIENT_INVALID or KEYCLIENT_UNSUPPORTED when it makes no sense.
[[nodiscard]] Outcome<Choice> choice_of(const keyclient_login& login);

// The password from the login's buffer, or from its callback.
[[nodiscard]] Outcome<secret::SecretBuffer> ask_password(const keyclient_login& login);

// Authenticates, or renews the session that the handle has. A renewal that fails leaves that session as it was, unless
// the conversation itself broke: then the handle has none afterwards. Under the handle's mutex.
[[nodiscard]] Outcome<Session> authenticate(keyclient_handle& client, const Login& login);

}  // namespace keyd::client
