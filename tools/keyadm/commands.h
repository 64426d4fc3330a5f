// keyadm's commands: each adds its options to the command line and gives the exit code when it was chosen.
#pragma once

#include <functional>
#include <string>

#include "core/base/error.h"
#include "core/wire/keyd.pb.h"
#include "tools/console/command_line.h"
#include "tools/keyadm/admin_link.h"

namespace CLI {
class App;
}

namespace keyd::keyadm {

// What every command works with.
struct Invocation {
  std::string runtime_dir;
  std::function<int()> chosen;  // set by the command that was chosen
};

void add_user_commands(CLI::App& app, Invocation& invocation);
void add_import_command(CLI::App& user, Invocation& invocation);  // one of the user commands
void add_export_command(CLI::App& user, Invocation& invocation);  // likewise
void add_credential_commands(CLI::App& app, Invocation& invocation);
void add_process_commands(CLI::App& app, Invocation& invocation);
void add_health_command(CLI::App& app, Invocation& invocation);

// Asks keyd and hands the answer to `show`; errors become one line and an exit code.
int ask_and(const Invocation& invocation, const wire::AdminRequest& request,
            const secret::SecretBuffer* secret, const std::function<int(const wire::AdminReply&)>& show);
int complain(const Error& error);

}  // namespace keyd::keyadm
