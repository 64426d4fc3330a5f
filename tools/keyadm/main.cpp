// keyadm: users, credentials, records, health.
#include <CLI/CLI.hpp>

#include "tools/keyadm/commands.h"

namespace keyd::keyadm {

int complain(const Error& error) {
  const auto code = error.code == Code::kUnreachable || error.code == Code::kDeadline ? console::kUnreachable
                                                                                      : console::kRefused;
  return console::complain("keyadm", error.message(), code);
}

int ask_and(const Invocation& invocation, const wire::AdminRequest& request,
            const secret::SecretBuffer* secret, const std::function<int(const wire::AdminReply&)>& show) {
  auto link = AdminLink::connect(invocation.runtime_dir);
  if (!link) return complain(link.error());
  const auto reply = link->ask(request, secret);
  if (!reply) return complain(reply.error());
  return show(*reply);
}

}  // namespace keyd::keyadm

int main(int argc, char** argv) {
  CLI::App app("Administers keyd: who may authenticate, which secrets they get, whose record falls.",
               "keyadm");
  keyd::keyadm::Invocation invocation;
  keyd::console::add_standard_options(app, "keyadm", invocation.runtime_dir);
  app.require_subcommand(1);
  keyd::keyadm::add_user_commands(app, invocation);
  keyd::keyadm::add_credential_commands(app, invocation);
  keyd::keyadm::add_process_commands(app, invocation);
  keyd::keyadm::add_health_command(app, invocation);
  keyd::console::parse_or_exit(app, argc, argv);
  try {
    return invocation.chosen();
  } catch (const std::exception& e) {
    return keyd::console::complain("keyadm", e.what(), keyd::console::kRefused);
  }
}
