// What an administrator asks of processes that run: that they end, or that their user changes the password.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/base/untrusted_text.h"
#include "tools/console/process_name.h"
#include "tools/keyadm/commands.h"

namespace keyd::keyadm {
namespace {

int revoke(const Invocation& invocation, const std::string& process, const std::string& user) {
  wire::AdminRequest request;
  if (process.empty() == user.empty())
    return console::complain("keyadm", "name a process (PID[:INODE]) or --user, not both", console::kUsage);
  if (!user.empty()) {
    request.mutable_revoke_user()->set_name(user);
  } else if (const auto named = console::parse_process(process)) {
    request.mutable_revoke_process()->set_pid(named->pid);
    request.mutable_revoke_process()->set_inode(named->inode);
  } else {
    return console::complain("keyadm", "\"" + escape(process) + "\" is not PID or PID:INODE",
                             console::kUsage);
  }
  return ask_and(invocation, request, nullptr, [](const wire::AdminReply& reply) {
    const auto count = reply.revoked().count();
    fmt::print("{} {} revoked\n", count, count == 1 ? "record" : "records");
    return count == 0 ? console::kRefused : console::kDone;
  });
}

int ask_for_change(const Invocation& invocation, const std::string& name) {
  wire::AdminRequest request;
  request.mutable_change_due()->set_name(name);
  return ask_and(invocation, request, nullptr, [&](const wire::AdminReply&) {
    fmt::print("user \"{}\" is to change the password\n", escape(name));
    return console::kDone;
  });
}

void add_change_due_command(CLI::App& app, Invocation& invocation) {
  const auto name = std::make_shared<std::string>();
  CLI::App* const command =
      app.add_subcommand("change-due", "have a user of the scheme srp change the password");
  command->add_option("NAME", *name, "the user")->required()->option_text(" ");
  command->footer("keyadm user show tells whether a change is due, since when and why.");
  command->callback([&invocation, name] {
    invocation.chosen = [&invocation, name] { return ask_for_change(invocation, *name); };
  });
}

}  // namespace

void add_process_commands(CLI::App& app, Invocation& invocation) {
  add_change_due_command(app, invocation);
  struct Options {
    std::string process, user;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* const revoking = app.add_subcommand("revoke", "end the session of a process, or all of a user's");
  revoking
      ->add_option("PID[:INODE]", options->process,
                   "the process; with its pidfs inode, which keystat -o json\n"
                   "shows, it cannot be another that was given the same number")
      ->option_text(" ");
  revoking->add_option("--user", options->user, "every process of this user")->option_text("NAME");
  revoking->footer("Exit status: 1 when there was no record to revoke.");
  revoking->callback([&invocation, options] {
    invocation.chosen = [&invocation, options] {
      return revoke(invocation, options->process, options->user);
    };
  });
}

}  // namespace keyd::keyadm
