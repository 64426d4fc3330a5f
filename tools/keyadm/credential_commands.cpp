#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/untrusted_text.h"
#include "tools/console/password_prompt.h"
#include "tools/console/time_text.h"
#include "tools/keyadm/commands.h"

namespace keyd::keyadm {
namespace {

struct CredentialOptions {
  std::string user, name, output = "pretty";
  int value_fd = -1;
};

// From --value-fd every octet counts; at a terminal it is a line.
Result<secret::SecretBuffer> value_of(const CredentialOptions& options) {
  if (options.value_fd >= 0) return console::read_secret(options.value_fd, wire::kMaxCredential, false);
  return console::prompt("Value of " + escape(options.name) + " for " + escape(options.user) + ": ",
                         wire::kMaxPassword);
}

int set_credential(const Invocation& invocation, const CredentialOptions& options) {
  auto value = value_of(options);
  if (!value) return complain(value.error());
  wire::AdminRequest request;
  request.mutable_credential_set()->set_user(options.user);
  request.mutable_credential_set()->set_name(options.name);
  return ask_and(invocation, request, &*value, [&](const wire::AdminReply&) {
    fmt::print("credential \"{}\" of \"{}\" set ({} octets)\n", escape(options.name), escape(options.user),
               value->size());
    return console::kDone;
  });
}

int list_credentials(const Invocation& invocation, const CredentialOptions& options) {
  wire::AdminRequest request;
  request.mutable_credential_list()->set_name(options.user);
  return ask_and(invocation, request, nullptr, [&](const wire::AdminReply& reply) {
    auto all = nlohmann::ordered_json::array();
    if (options.output == "pretty") fmt::print("{:<32} {:>8}  {}\n", "CREDENTIAL", "OCTETS", "CHANGED");
    for (const wire::CredentialRecord& entry : reply.credentials().credentials()) {
      if (options.output == "pretty") {
        fmt::print("{:<32} {:>8}  {}\n", escape(entry.name()), entry.size(), console::utc(entry.changed()));
      } else {
        all.push_back(
            {{"name", entry.name()}, {"size", entry.size()}, {"changed", console::utc(entry.changed())}});
      }
    }
    if (options.output == "json") fmt::print("{}\n", nlohmann::ordered_json{{"credentials", all}}.dump(2));
    return console::kDone;
  });
}

int remove_credential(const Invocation& invocation, const CredentialOptions& options) {
  wire::AdminRequest request;
  request.mutable_credential_remove()->set_user(options.user);
  request.mutable_credential_remove()->set_name(options.name);
  return ask_and(invocation, request, nullptr, [&](const wire::AdminReply&) {
    fmt::print("credential \"{}\" of \"{}\" removed\n", escape(options.name), escape(options.user));
    return console::kDone;
  });
}

CLI::App* add_command(CLI::App& parent, Invocation& invocation, const char* verb, const char* help,
                      const std::shared_ptr<CredentialOptions>& options,
                      int (*run)(const Invocation&, const CredentialOptions&)) {
  CLI::App* const command = parent.add_subcommand(verb, help);
  command->add_option("USER", options->user, "whose")->required()->option_text(" ");
  command->callback([&invocation, options, run] {
    invocation.chosen = [&invocation, options, run] { return run(invocation, *options); };
  });
  return command;
}

}  // namespace

void add_credential_commands(CLI::App& app, Invocation& invocation) {
  CLI::App& credential =
      *app.add_subcommand("credential", "named secrets that keyd gives to a user's authenticated processes");
  credential.require_subcommand(1);

  const auto setting = std::make_shared<CredentialOptions>();
  CLI::App* const set = add_command(credential, invocation, "set", "store a secret of 1 to 65536 octets",
                                    setting, set_credential);
  set->add_option("NAME", setting->name, "the credential's name")->required()->option_text(" ");
  console::is_descriptor(set->add_option("--value-fd", setting->value_fd,
                                         "read the value, every octet of it, from this descriptor\n"
                                         "(default: ask for one line on the terminal)"));

  const auto listing = std::make_shared<CredentialOptions>();
  CLI::App* const list =
      add_command(credential, invocation, "list", "list a user's credentials, without their values", listing,
                  list_credentials);
  console::is_one_of(list->add_option("-o,--output", listing->output, "the form (default: pretty)"),
                     {"pretty", "json"});

  const auto removing = std::make_shared<CredentialOptions>();
  add_command(credential, invocation, "remove", "remove a credential", removing, remove_credential)
      ->add_option("NAME", removing->name, "the credential's name")
      ->required()
      ->option_text(" ");
}

}  // namespace keyd::keyadm
