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
  app.set_version_flag("--version", program + " " KEYD_VERSION);
  app.add_option("--runtime-dir", runtime_dir, "where keyd's sockets are")->capture_default_str();
  app.fallthrough();
}

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
      std::fprintf(stderr, "%s: %s (see --help)\n", app.get_name().c_str(), escape_line(e.what()).c_str());
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
