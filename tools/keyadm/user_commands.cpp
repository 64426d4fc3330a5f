#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/untrusted_text.h"
#include "tools/console/password_prompt.h"
#include "tools/console/time_text.h"
#include "tools/keyadm/commands.h"

namespace keyd::keyadm {
namespace {

struct UserOptions {
  std::string name, output = "pretty";
  std::vector<std::string> schemes;
  bool allow_historic = false;
  int password_fd = -1;
};
using Options = std::shared_ptr<UserOptions>;

nlohmann::ordered_json as_json(const wire::UserRecord& user) {
  nlohmann::ordered_json out;
  out["name"] = user.name();
  out["state"] = user.state();
  out["schemes"] = nlohmann::json::array();
  for (const std::string& scheme : user.schemes()) out["schemes"].push_back(scheme);
  out["allow_historic"] = user.allow_historic();
  out["created"] = console::utc(user.created());
  // An imported one may be of an unknown age.
  out["password_changed"] = user.password_changed() == 0
                                ? nlohmann::ordered_json(nullptr)
                                : nlohmann::ordered_json(console::utc(user.password_changed()));
  out["credentials"] = user.credential_count();
  const bool due = !user.change_due().empty();
  out["change_due"] = due ? nlohmann::ordered_json(user.change_due()) : nlohmann::ordered_json(nullptr);
  out["change_since"] =
      due ? nlohmann::ordered_json(console::utc(user.change_since())) : nlohmann::ordered_json(nullptr);
  out["change_failures"] = user.change_failures();
  out["carried_octets"] = user.carried_octets();
  out["carried_records"] = user.carried_records();
  return out;
}

void print_row(const wire::UserRecord& user) {
  std::string schemes;
  for (const std::string& scheme : user.schemes()) schemes += (schemes.empty() ? "" : ",") + scheme;
  fmt::print("{:<24} {:<9} {:<22} {:<9} {:>11}  {}\n", escape(user.name()), escape(user.state()),
             escape(schemes), user.allow_historic() ? "allowed" : "no", user.credential_count(),
             user.password_changed() == 0 ? "not known" : console::utc(user.password_changed()));
}

// How the user's hashes and verifiers are made; the salt and all else that every client is told, but none of them.
void print_hashes(const wire::UserRecord& user) {
  if (!user.crypt_setting().empty())
    fmt::print("password hash  {}, setting {}\n", escape(user.crypt_method()), escape(user.crypt_setting()));
  if (user.has_md5())
    fmt::print("historic hash  md5, {}\n",
               user.md5_salt().empty() ? "no salt" : "salt " + to_hex(bytes_of(user.md5_salt())));
  if (!user.srp_verifier().empty()) fmt::print("srp verifier   {}\n", escape(user.srp_verifier()));
  if (!user.srp_historic_verifier().empty())
    fmt::print("srp historic   {}\n", escape(user.srp_historic_verifier()));
}

// Whether the password is to be changed, and how much it has been used.
void print_change(const wire::UserRecord& user) {
  if (!user.change_due().empty()) {
    fmt::print("change due     since {}, reason: {}; requests without an answer: {}\n",
               console::utc(user.change_since()), escape(user.change_due()), user.change_failures());
  }
  if (user.carried_octets() != 0 || user.carried_records() != 0) {
    fmt::print("carried        {} octets in {} records, under this password\n", user.carried_octets(),
               user.carried_records());
  }
}

void print_heading() {
  fmt::print("{:<24} {:<9} {:<22} {:<9} {:>11}  {}\n", "USER", "STATE", "SCHEMES", "HISTORIC", "CREDENTIALS",
             "PASSWORD CHANGED");
}

Result<secret::SecretBuffer> new_password(const UserOptions& options) {
  if (options.password_fd >= 0) return console::read_secret(options.password_fd, wire::kMaxPassword, true);
  return console::prompt_twice("New password for " + escape(options.name) + ": ", wire::kMaxPassword);
}

int add_user(const Invocation& invocation, const UserOptions& options) {
  auto password = new_password(options);
  if (!password) return complain(password.error());
  wire::AdminRequest request;
  wire::UserAdd& user = *request.mutable_user_add();
  user.set_name(options.name);
  user.set_allow_historic(options.allow_historic);
  for (const std::string& scheme : options.schemes) user.add_schemes(scheme);
  return ask_and(invocation, request, &*password, [&](const wire::AdminReply&) {
    fmt::print("user \"{}\" enrolled\n", escape(options.name));
    return console::kDone;
  });
}

int change_password(const Invocation& invocation, const UserOptions& options) {
  auto password = new_password(options);
  if (!password) return complain(password.error());
  wire::AdminRequest request;
  request.mutable_user_passwd()->set_name(options.name);
  return ask_and(invocation, request, &*password, [&](const wire::AdminReply&) {
    fmt::print("password of \"{}\" changed; the user's sessions have ended\n", escape(options.name));
    return console::kDone;
  });
}

int list_users(const Invocation& invocation, const UserOptions& options) {
  auto link = AdminLink::connect(invocation.runtime_dir);
  if (!link) return complain(link.error());
  const bool json = options.output == "json";
  auto all = nlohmann::ordered_json::array();
  if (!json) print_heading();
  for (std::string after;;) {
    wire::AdminRequest request;
    request.mutable_user_list()->set_after(after);
    const auto reply = link->ask(request);
    if (!reply) return complain(reply.error());
    const std::string before = after;
    for (const wire::UserRecord& user : reply->users().users()) {
      if (json) {
        all.push_back(as_json(user));
      } else {
        print_row(user);
      }
      after = user.name();
    }
    if (!reply->users().more()) break;
    // Pages are in name order; else the list would have no end.
    if (after <= before)
      return complain({Code::kInvalid, "keyd's list of users does not go on; it is not whole"});
  }
  if (json) fmt::print("{}\n", nlohmann::ordered_json{{"users", all}}.dump(2));
  return console::kDone;
}

int show_user(const Invocation& invocation, const UserOptions& options) {
  wire::AdminRequest request;
  request.mutable_user_show()->set_name(options.name);
  return ask_and(invocation, request, nullptr, [&](const wire::AdminReply& reply) {
    const wire::UserRecord& user = reply.user();
    if (options.output == "json") {
      auto json = as_json(user);
      json["failed_tries"] = user.failed_tries();
      json["sources_waiting"] = user.sources_waiting();
      if (!user.crypt_setting().empty()) {
        json["crypt_method"] = user.crypt_method();
        json["crypt_setting"] = user.crypt_setting();
      }
      if (user.has_md5()) json["md5_salt"] = to_hex(bytes_of(user.md5_salt()));
      if (!user.srp_verifier().empty()) json["srp_verifier"] = user.srp_verifier();
      if (!user.srp_historic_verifier().empty()) json["srp_historic_verifier"] = user.srp_historic_verifier();
      fmt::print("{}\n", json.dump(2));
      return console::kDone;
    }
    print_heading();
    print_row(user);
    print_hashes(user);
    print_change(user);
    if (user.failed_tries() != 0) {
      fmt::print("{} failed tries of late; {} sources have to wait before the next (keyadm user unlock {})\n",
                 user.failed_tries(), user.sources_waiting(), escape(user.name()));
    }
    return console::kDone;
  });
}

using SetName = wire::UserName* (wire::AdminRequest::*)();

// enable, disable, unlock, remove: a name in, done or refused out.
void add_simple(CLI::App& user, Invocation& invocation, const char* verb, const char* help, const char* said,
                SetName field) {
  const auto options = std::make_shared<UserOptions>();
  CLI::App* const command = user.add_subcommand(verb, help);
  command->add_option("NAME", options->name, "the user")->required()->option_text(" ");
  command->callback([&invocation, options, field, said] {
    invocation.chosen = [&invocation, options, field, said] {
      wire::AdminRequest request;
      (request.*field)()->set_name(options->name);
      return ask_and(invocation, request, nullptr, [&](const wire::AdminReply&) {
        fmt::print("user \"{}\" {}\n", escape(options->name), said);
        return console::kDone;
      });
    };
  });
}

CLI::App* add_command(CLI::App& user, Invocation& invocation, const char* verb, const char* help,
                      const Options& options, int (*run)(const Invocation&, const UserOptions&)) {
  CLI::App* const command = user.add_subcommand(verb, help);
  command->callback([&invocation, options, run] {
    invocation.chosen = [&invocation, options, run] { return run(invocation, *options); };
  });
  return command;
}

void add_output_option(CLI::App* command, const Options& options) {
  console::is_one_of(command->add_option("-o,--output", options->output, "the form (default: pretty)"),
                     {"pretty", "json"});
}

void add_password_option(CLI::App* command, const Options& options) {
  console::is_descriptor(command->add_option("--password-fd", options->password_fd,
                                             "read the password (one line) from this descriptor\n"
                                             "(default: ask twice on the terminal)"));
}

}  // namespace

void add_user_commands(CLI::App& app, Invocation& invocation) {
  CLI::App& user = *app.add_subcommand("user", "enrol and manage users");
  user.require_subcommand(1);

  const auto adding = std::make_shared<UserOptions>();
  CLI::App* const add = add_command(user, invocation, "add", "enrol a user", adding, add_user);
  add->add_option("NAME", adding->name, "the user's name: 1 to 64 octets of UTF-8")
      ->required()
      ->option_text(" ");
  add->add_option("--scheme", adding->schemes,
                  "a scheme the user may use: challenge, kryptoknight, srp\n(may be repeated; default: srp)")
      ->option_text("NAME");
  add->add_flag("--allow-historic", adding->allow_historic,
                "let this user use the historic suite too, where keyd offers\nit (weak: MD5, short numbers)");
  add_password_option(add, adding);

  add_import_command(user, invocation);
  add_export_command(user, invocation);

  const auto changing = std::make_shared<UserOptions>();
  CLI::App* const passwd =
      add_command(user, invocation, "passwd", "set a user's password; ends the user's sessions", changing,
                  change_password);
  passwd->add_option("NAME", changing->name, "the user")->required()->option_text(" ");
  add_password_option(passwd, changing);

  const auto listing = std::make_shared<UserOptions>();
  add_output_option(add_command(user, invocation, "list", "list the users", listing, list_users), listing);

  const auto showing = std::make_shared<UserOptions>();
  CLI::App* const show = add_command(user, invocation, "show", "show one user", showing, show_user);
  show->add_option("NAME", showing->name, "the user")->required()->option_text(" ");
  add_output_option(show, showing);

  add_simple(user, invocation, "enable", "let a disabled user authenticate again", "enabled",
             &wire::AdminRequest::mutable_user_enable);
  add_simple(user, invocation, "disable", "refuse a user from now on; ends the user's sessions",
             "disabled; the user's sessions have ended", &wire::AdminRequest::mutable_user_disable);
  add_simple(user, invocation, "unlock",
             "forget a user's failed tries, so that nobody\nhas to wait; lifts an imported lock too",
             "unlocked", &wire::AdminRequest::mutable_user_unlock);
  add_simple(user, invocation, "remove", "remove a user with all credentials; ends the user's sessions",
             "removed", &wire::AdminRequest::mutable_user_remove);
}

}  // namespace keyd::keyadm
