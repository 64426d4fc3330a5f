// keyadm: users, credentials, records, health.
#include <CLI/CLI.hpp>

#include "tools/keyadm/commands.h"
#include "tools/keyadm/sandbox.h"

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
  app.footer(
      "Each command has its own --help: keyadm user add --help\n"
      "\n"
      "Examples:\n"
      "  keyadm user add alice\n"
      "  keyadm credential set alice db-password --value-fd 3 3< db-password.txt\n"
      "  keyadm revoke 4711:90210\n"
      "  keyadm health\n"
      "\n"
      "Exit status: 0 done; 1 refused, not found, nothing revoked, or live but not ready;\n"
      "2 wrong usage; 3 keyd cannot be reached or does not answer; 4 some lines of an\n"
      "import were refused. See keyadm(8).");
  keyd::keyadm::add_user_commands(app, invocation);
  keyd::keyadm::add_credential_commands(app, invocation);
  keyd::keyadm::add_process_commands(app, invocation);
  keyd::keyadm::add_health_command(app, invocation);
  keyd::console::parse_or_exit(app, argc, argv);
  try {
    if (const auto confined = keyd::keyadm::enter_sandbox(); !confined)
      return keyd::keyadm::complain(confined.error());
    return invocation.chosen();
  } catch (const std::exception& e) {
    return keyd::console::complain("keyadm", e.what(), keyd::console::kRefused);
  }
}
