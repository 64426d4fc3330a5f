#include "tools/console/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "core/base/untrusted_text.h"

namespace keyd::console {

void add_standard_options(CLI::App& app, const std::string& program, std::string& runtime_dir) {
  const char* const from_environment = ::secure_getenv("KEYD_RUNTIME_DIR");
  runtime_dir = from_environment != nullptr && *from_environment != '\0' ? from_environment : "/run/keyd";
  app.set_version_flag("--version", program + " " KEYD_VERSION, "print the version and exit");
  app.add_option("--runtime-dir", runtime_dir,
                 "where keyd's sockets are\n(default: $KEYD_RUNTIME_DIR, else /run/keyd)")
      ->option_text("DIR");
  app.set_help_flag("-h,--help", "print this help and exit");
  app.fallthrough();
}

CLI::Option* is_descriptor(CLI::Option* option) {
  const auto wrong = [](const std::string& text) -> std::string {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    if (digits && text.size() < 8) return {};
    return "\"" + escape(text) + "\" is not the number of a descriptor";
  };
  return option->check(CLI::Validator(wrong, ""))->option_text("FD");
}

CLI::Option* is_one_of(CLI::Option* option, const std::vector<std::string>& names) {
  std::string shown;
  for (const std::string& name : names) shown += (shown.empty() ? "" : "|") + name;
  return option->check(CLI::IsMember(names))->option_text(shown);
}

namespace {

// What is wrong, in one line. An option that nobody knows is told before what is missing beside it.
std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  const auto unknown = app.remaining(true);
  if (error.get_name() == "RequiredError" && !unknown.empty())
    return "there is no \"" + escape(unknown.front()) + "\"";
  // By its code: CLI11 gives this one the program's name.
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) && !unknown.empty())
    return "\"" + escape(unknown.front()) + "\" is not expected there";
  if (error.get_name() == "RequiredError" && std::string_view(error.what()).starts_with("A subcommand")) {
    const CLI::App* innermost = &app;
    while (!innermost->get_subcommands().empty()) innermost = innermost->get_subcommands().front();
    std::string names;
    for (const CLI::App* command : innermost->get_subcommands([](const CLI::App*) { return true; }))
      names += (names.empty() ? "" : ", ") + command->get_name();
    return "name a command: " + names;
  }
  return escape_line(error.what());
}

}  // namespace

void parse_or_exit(CLI::App& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (is_utf8(argv[i])) continue;
    std::fprintf(stderr, "%s: argument \"%s\" is not UTF-8\n", app.get_name().c_str(),
                 escape(argv[i]).c_str());
    std::exit(kUsage);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const bool asked = e.get_exit_code() == 0;
    if (asked) {
      app.exit(e, std::cout, std::cout);
    } else {
      std::fprintf(stderr, "%s: %s (see --help)\n", app.get_name().c_str(), complaint(app, e).c_str());
    }
    std::exit(asked ? kDone : kUsage);
  }
}

int complain(const std::string& program, const std::string& message, ExitCode code) {
  std::fprintf(stderr, "%s: %s\n", program.c_str(), message.c_str());
  return code;
}

bool wants_colour() { return ::isatty(STDOUT_FILENO) == 1 && ::getenv("NO_COLOR") == nullptr; }

}  // namespace keyd::console
