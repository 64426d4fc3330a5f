// keypasswd: a user's own change of password. Logs in by srp with the old one, which never leaves this process, and
// hands keyd a verifier of the new one.
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/base/untrusted_text.h"
#include "tools/console/change_dialogue.h"
#include "tools/console/command_line.h"
#include "tools/keypasswd/sandbox.h"

namespace {

using namespace keyd;

struct Options {
  std::string runtime_dir, user, suite = "modern", interleave;
  bool accept_fast_derivations = false;
  std::uint32_t vendor_id = 0, least_group_bits = 0;
  console::ChangeDialogue::Sources sources;
};

int complain(const std::string& message, console::ExitCode code = console::kRefused) {
  return console::complain("keypasswd", message, code);
}

int complain(keyclient_status status) {
  switch (status) {
    case KEYCLIENT_UNREACHABLE:
    case KEYCLIENT_DEADLINE:
    case KEYCLIENT_GONE:
    case KEYCLIENT_UNKNOWN: return complain(keyclient_error(), console::kUnreachable);
    case KEYCLIENT_INVALID: return complain(keyclient_error(), console::kUsage);
    default: return complain(keyclient_error());
  }
}

void parse(int argc, char** argv, Options& options) {
  CLI::App app("Changes your password at keyd.", "keypasswd");
  console::add_standard_options(app, "keypasswd", options.runtime_dir);
  app.add_option("--user", options.user, "whose password (default: your login name)")->option_text("NAME");
  console::is_descriptor(app.add_option("--old-password-fd", options.sources.old_password,
                                        "read the old password (one line) from this descriptor\n"
                                        "(default: ask on the terminal)"));
  console::is_descriptor(app.add_option("--new-password-fd", options.sources.new_password,
                                        "likewise the new one; it may be the same descriptor:\n"
                                        "then it is the next line"));
  console::is_one_of(app.add_option("--suite", options.suite,
                                    "historic is weak, and must be allowed by keyd and\n"
                                    "for the user (default: modern)"),
                     {"modern", "historic"});
  app.add_flag("--accept-fast-derivations", options.accept_fast_derivations,
               "log in also where keyd has a verifier that was made without\n"
               "a memory-hard function (an imported one)");
  app.add_option("--least-group-bits", options.least_group_bits,
                 "likewise where its group has fewer than 2048 bits, down to\n1024")
      ->check(CLI::Range(1024, 8192))
      ->option_text("N");
  console::is_one_of(
      app.add_option("--interleave", options.interleave, "of the historic suite (default: rfc2945)"),
      {"rfc2945", "stanford"});
  app.add_option("--vendor-id", options.vendor_id, "keyd's srp.vendor_id, where that is set (default: 32473)")
      ->check(CLI::Range(1, 0xffffff))
      ->option_text("N");
  app.footer(
      "Examples:\n"
      "  keypasswd\n"
      "  keypasswd --user alice\n"
      "  keypasswd --user ci --old-password-fd 3 --new-password-fd 4 3< /run/secrets/ci 4< new\n"
      "\n"
      "Exit status: 0 the password is changed; 1 refused: wrong user or password, or a new password\n"
      "that will not do; 2 wrong usage; 3 keyd cannot be reached, or was lost on the way.\n"
      "See keypasswd(1).");
  console::parse_or_exit(app, argc, argv);
}

// Empty for a user without an entry in passwd(5). Before the sandbox: the entry may come from anywhere.
std::string login_name() {
  const passwd* const entry = ::getpwuid(::getuid());
  return entry == nullptr ? "" : entry->pw_name;
}

keyclient_status log_in(keyclient_t* client, const Options& options, console::ChangeDialogue& dialogue) {
  keyclient_login login{};
  login.size = sizeof login;
  login.user = options.user.c_str();
  login.scheme = "srp";
  login.suite = options.suite.c_str();
  login.interleave = options.interleave.empty() ? nullptr : options.interleave.c_str();
  login.accept_fast_derivations = options.accept_fast_derivations ? 1 : 0;
  login.srp_vendor_id = options.vendor_id;
  login.srp_least_group_bits = options.least_group_bits;
  login.can_change_password = 1;
  login.password_callback = console::ChangeDialogue::give_password;
  login.password_context = &dialogue;
  return keyclient_authenticate(client, &login);
}

// Whether keyd has the new password: what becomes of the session after that is of no account here.
keyclient_status change(keyclient_t* client, console::ChangeDialogue& dialogue) {
  keyclient_change change{};
  change.size = sizeof change;
  change.ask = console::ChangeDialogue::answer;
  change.context = &dialogue;
  change.wanted = 1;
  const auto status = keyclient_change_password(client, &change);
  return change.changed != 0 ? KEYCLIENT_OK : status;
}

int run(const Options& options) {
  keyclient_options target{};
  target.size = sizeof target;
  target.runtime_dir = options.runtime_dir.c_str();
  keyclient_t* client = nullptr;
  if (const auto status = keyclient_open(&target, &client); status != KEYCLIENT_OK) return complain(status);
  const std::unique_ptr<keyclient_t, void (*)(keyclient_t*)> owned(client, keyclient_close);

  console::ChangeDialogue dialogue(options.user, options.sources, console::OnInterrupt::kEndProgram);
  auto status = log_in(client, options, dialogue);
  if (status == KEYCLIENT_OK) status = change(client, dialogue);
  if (status == KEYCLIENT_CANCELLED) return complain(dialogue.failure() + "; nothing was changed");
  if (status != KEYCLIENT_OK) return complain(status);
  std::puts("password changed");
  return console::kDone;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  parse(argc, argv, options);
  if (options.user.empty()) options.user = login_name();
  if (options.user.empty()) return complain("you have no login name here; say --user", console::kUsage);
  if (const auto confined = keypasswd::enter_sandbox(options.runtime_dir); !confined)
    return complain(confined.error().message());
  try {
    return run(options);
  } catch (const std::exception& e) {
    return complain(e.what());
  }
}
