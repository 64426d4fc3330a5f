// keyrun: authenticates this very process, and then becomes the command. The record stays with the process
// over that one planned exec; the credentials wait in descriptors.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <filesystem>
#include <memory>

#include "core/base/untrusted_text.h"
#include "tools/console/change_dialogue.h"
#include "tools/console/command_line.h"
#include "tools/keyrun/launch.h"
#include "tools/keyrun/sandbox.h"

namespace {

using namespace keyd;

struct Options {
  std::string runtime_dir, user, scheme = "srp", suite = "modern", transform;
  std::uint32_t nonce_bits = 0, key_count = 0;
  bool per_command = false, accept_weak_hashes = false, accept_fast_derivations = false;
  std::string interleave;
  std::uint32_t vendor_id = 0, least_group_bits = 0;
  int password_fd = -1;
  bool no_change_password = false;
  std::vector<std::string> credentials, command;

  // Who can answer one question at the terminal can answer more.
  [[nodiscard]] bool can_change_password() const {
    return scheme == "srp" && password_fd < 0 && !no_change_password;
  }
};

int complain(const Error& error) {
  return console::complain("keyrun", error.message(),
                           error.code == Code::kInvalid ? console::kUsage : console::kRefused);
}

int complain(keyclient_status status) {
  switch (status) {
    case KEYCLIENT_UNREACHABLE:
    case KEYCLIENT_DEADLINE:
    case KEYCLIENT_GONE: return console::complain("keyrun", keyclient_error(), console::kUnreachable);
    case KEYCLIENT_INVALID: return console::complain("keyrun", keyclient_error(), console::kUsage);
    default: return console::complain("keyrun", keyclient_error(), console::kRefused);
  }
}

// Everything before "--" is keyrun's, everything behind it the command's.
int split(int argc, char** argv, std::vector<std::string>& command) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--") != 0) continue;
    command.assign(argv + i + 1, argv + argc);
    return i;
  }
  return argc;
}

// CLI11 knows nothing of what stands behind "--".
struct Help : CLI::Formatter {
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: keyrun [OPTIONS] --user NAME -- CMD [ARG...]\n";
  }
};

void parse(int argc, char** argv, Options& options) {
  CLI::App app("Authenticates as a user and becomes CMD, which keeps the record.", "keyrun");
  app.formatter(std::make_shared<Help>());
  console::add_standard_options(app, "keyrun", options.runtime_dir);
  app.add_option("--user", options.user, "who to authenticate as (required)")
      ->required()
      ->option_text("NAME");
  console::is_descriptor(app.add_option("--password-fd", options.password_fd,
                                        "read the password (one line) from this descriptor\n"
                                        "(default: ask on the terminal)"));
  app.add_option("--credential", options.credentials,
                 "fetch this credential of the user; CMD finds the number\n"
                 "of its descriptor in KEYD_CREDENTIAL_<NAME> (may be repeated)")
      ->option_text("NAME");
  console::is_one_of(app.add_option("--scheme", options.scheme, "the exchange (default: srp)"),
                     {"challenge", "kryptoknight", "srp"});
  console::is_one_of(app.add_option("--suite", options.suite,
                                    "historic is weak, and must be allowed by keyd and\n"
                                    "for the user (default: modern)"),
                     {"modern", "historic"});
  app.add_flag(
      "--per-command", options.per_command,
      "kryptoknight: new keys for each request; CMD cannot take the\nsession over, it keeps the record alone");
  app.add_flag("--accept-weak-hashes", options.accept_weak_hashes,
               "kryptoknight: hash by descrypt, bigcrypt, bsdicrypt and NT too");
  app.add_flag("--accept-fast-derivations", options.accept_fast_derivations,
               "srp: take a verifier that was made without a memory-hard\nfunction (an imported one) too");
  app.add_option("--least-group-bits", options.least_group_bits,
                 "srp: take a group of so many bits too, down to 1024\n(default: 2048)")
      ->check(CLI::Range(1024, 8192))
      ->option_text("N");
  console::is_one_of(
      app.add_option("--interleave", options.interleave, "srp, of the historic suite (default: rfc2945)"),
      {"rfc2945", "stanford"});
  app.add_option("--vendor-id", options.vendor_id,
                 "srp: keyd's srp.vendor_id, where that is set (default: 32473)")
      ->check(CLI::Range(1, 0xffffff))
      ->option_text("N");
  app.add_option("--transform", options.transform,
                 "challenge, of the historic suite: hmac-md5, md5, keyed-md5-rfc1828\n(default: hmac-md5)")
      ->option_text("NAME");
  app.add_option("--nonce-bits", options.nonce_bits, "likewise: 16 to 256, a multiple of 8 (default: 16)")
      ->option_text("BITS");
  app.add_option("--keys", options.key_count, "challenge: 1: one key; 2: one for each direction (default: 2)")
      ->check(CLI::Range(1, 2))
      ->option_text("1|2");
  app.add_flag(
      "--no-change-password", options.no_change_password,
      "srp: do not ask for a new password when keyd wants one\n(without a terminal, nobody is asked)");
  app.footer(
      "Examples:\n"
      "  keyrun --user alice -- ./report.sh\n"
      "  keyrun --user alice --credential db-password -- sh -c 'db < /dev/fd/$KEYD_CREDENTIAL_DB_PASSWORD'\n"
      "  keyrun --user ci --password-fd 3 -- make deploy 3< /run/secrets/ci\n"
      "\n"
      "Exit status: that of CMD. Before there is one: 1 refused (wrong user or password, no such\n"
      "credential, CMD cannot be run); 2 wrong usage; 3 keyd cannot be reached, or was lost on the\n"
      "way. See keyrun(1).");
  const int own = split(argc, argv, options.command);
  console::parse_or_exit(app, own, argv);
}

keyclient_status authenticate(keyclient_t* client, const Options& options,
                              console::ChangeDialogue& dialogue) {
  keyclient_login login{};
  login.size = sizeof login;
  login.user = options.user.c_str();
  login.scheme = options.scheme.c_str();
  login.suite = options.suite.c_str();
  login.transform = options.transform.empty() ? nullptr : options.transform.c_str();
  login.nonce_bits = options.nonce_bits;
  login.key_count = options.key_count;
  login.per_command = options.per_command ? 1 : 0;
  login.accept_weak_hashes = options.accept_weak_hashes ? 1 : 0;
  login.accept_fast_derivations = options.accept_fast_derivations ? 1 : 0;
  login.interleave = options.interleave.empty() ? nullptr : options.interleave.c_str();
  login.srp_vendor_id = options.vendor_id;
  login.srp_least_group_bits = options.least_group_bits;
  login.can_change_password = options.can_change_password() ? 1 : 0;
  login.password_callback = console::ChangeDialogue::give_password;
  login.password_context = &dialogue;
  return keyclient_authenticate(client, &login);
}

// While keyd asks for a new password. It goes on asking the next time where none is given, and the command runs either
// way: until keyd disables the password, the user may work.
void change_password(keyclient_t* client, const Options& options, console::ChangeDialogue& dialogue) {
  if (!options.can_change_password()) return;
  char back = 0;
  (void)keyclient_echo(client, "?", 1, &back);  // keyd asks beside a reply; what fails here fails again below
  while (keyclient_change_requested(client) != 0) {
    console::tell("keyd asks for a new password of " + escape(options.user) + " (^C or ^D: later).");
    keyclient_change change{};
    change.size = sizeof change;
    change.ask = console::ChangeDialogue::answer;
    change.context = &dialogue;
    const auto status = keyclient_change_password(client, &change);
    if (status == KEYCLIENT_OK) {
      console::tell("password changed");
      dialogue.note_change();
      continue;
    }
    const std::string why = status == KEYCLIENT_CANCELLED ? dialogue.failure() : keyclient_error();
    console::complain(
        "keyrun", why + (change.changed != 0 || status == KEYCLIENT_UNKNOWN ? "" : "; keyd will ask again"),
        console::kRefused);
    return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  parse(argc, argv, options);
  if (options.command.empty())
    return console::complain("keyrun", "no command; write it behind -- (see --help)", console::kUsage);
  const auto executable = keyrun::resolve(options.command.front());
  if (!executable) return complain(executable.error());
  if (auto confined = keyrun::enter_sandbox(); !confined) return complain(confined.error());

  keyclient_options target{};
  target.size = sizeof target;
  target.runtime_dir = options.runtime_dir.c_str();
  keyclient_t* client = nullptr;
  if (const auto status = keyclient_open(&target, &client); status != KEYCLIENT_OK) return complain(status);
  const std::unique_ptr<keyclient_t, void (*)(keyclient_t*)> owned(client, keyclient_close);  // also wipes
  console::ChangeDialogue dialogue(options.user, {.old_password = options.password_fd},
                                   console::OnInterrupt::kEndPrompt);
  if (const auto status = authenticate(client, options, dialogue); status != KEYCLIENT_OK) {
    if (status == KEYCLIENT_CANCELLED)
      return console::complain("keyrun", dialogue.failure(), console::kRefused);
    return complain(status);
  }
  change_password(client, options, dialogue);
  dialogue.forget();
  // The command gets what is left for it here, and neither the password nor what an earlier keyrun left to
  // us.
  if (options.password_fd > STDERR_FILENO) ::close(options.password_fd);
  keyrun::forget_inherited();
  if (auto left = keyrun::leave_credentials(client, options.credentials); !left)
    return complain(left.error());
  ::setenv("KEYD_RUNTIME_DIR", std::filesystem::absolute(options.runtime_dir).c_str(), 1);
  if (auto left = keyrun::leave_session(client); !left) return complain(left.error());

  std::vector<char*> arguments;
  for (std::string& argument : options.command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  ::execv(executable->c_str(), arguments.data());
  return console::complain("keyrun", "cannot run " + escape(*executable) + ": " + std::strerror(errno),
                           console::kRefused);
}
