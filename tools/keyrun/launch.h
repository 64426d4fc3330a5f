// What keyrun leaves to the command: descriptors that survive its exec, and their numbers in the environment.
#pragma once

#include <keyclient/keyclient.h>

#include <string>
#include <vector>

#include "core/base/error.h"

namespace keyd::keyrun {

// The executable that `command` means, by PATH where it has no slash. kNotFound when there is none.
[[nodiscard]] Result<std::string> resolve(const std::string& command);

// The variable that carries the descriptor of credential `name`: KEYD_CREDENTIAL_ and the name in capitals,
// every other character as '_'.
[[nodiscard]] std::string variable_of(const std::string& name);

// Removes KEYD_SESSION and every KEYD_CREDENTIAL_… from the environment.
void forget_inherited();

// Fetches each credential into a sealed memfd that survives the exec, and says its number in the environment.
// kInvalid when two names mean one variable.
[[nodiscard]] Result<void> leave_credentials(keyclient_t* client, const std::vector<std::string>& names);

// Announces the exec and leaves the session. Where the kernel cannot carry keys over, the record alone
// survives, and standard error says so.
[[nodiscard]] Result<void> leave_session(keyclient_t* client);

}  // namespace keyd::keyrun
