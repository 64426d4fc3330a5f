#include "keyd/options.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>

#include "core/base/untrusted_text.h"

namespace keyd::daemon {
namespace {

// Where an unprivileged user's keyd lives when nothing else was asked for; root's is system-wide.
std::string private_directory(const char* variable, const std::string& below_home) {
  if (const char* base = ::getenv(variable); base != nullptr && *base == '/')
    return std::string(base) + "/keyd";
  const char* const home = ::getenv("HOME");
  return home == nullptr || below_home.empty() ? std::string() : std::string(home) + below_home;
}

}  // namespace

int parse_options(int argc, char** argv, Options& options) {
  const bool root = ::geteuid() == 0;
  options.config_file = "/etc/keyd/keyd.toml";
  options.runtime_directory = root ? "/run/keyd" : private_directory("XDG_RUNTIME_DIR", "");
  options.state_directory =
      root ? "/var/lib/keyd" : private_directory("XDG_STATE_HOME", "/.local/state/keyd");

  CLI::App app(
      "Proves which user stands behind a process, and tells it to whoever may ask.\n"
      "Clients link libkeyclient or run under keyrun; keyadm administers; keystat shows.",
      "keyd");
  app.set_version_flag("--version", "keyd " KEYD_VERSION, "print the version and exit");
  app.set_help_flag("-h,--help", "print this help and exit");
  app.add_flag("-F,--foreground", options.foreground,
               "stay in the foreground and log to standard error\n"
               "(default: the background, log to keyd.log in the state directory)");
  auto* const config = app.add_option("--config", options.config_file,
                                      "the configuration, and FILE.d/*.toml after it\n"
                                      "(default: /etc/keyd/keyd.toml, which may be missing)")
                           ->option_text("FILE");
  app.add_option("--runtime-dir", options.runtime_directory,
                 "the sockets and the lock\n"
                 "(default: /run/keyd; not as root $XDG_RUNTIME_DIR/keyd)")
      ->option_text("DIR");
  app.add_option("--state-dir", options.state_directory,
                 "the user store and its key\n"
                 "(default: /var/lib/keyd; not as root $XDG_STATE_HOME/keyd,\n"
                 "else ~/.local/state/keyd)")
      ->option_text("DIR");
  app.footer(
      "Signals: SIGHUP reads the configuration again and opens the logs anew; SIGTERM, SIGINT stop.\n"
      "\n"
      "Examples:\n"
      "  keyd                                           the system's, as root\n"
      "  keyd -F --runtime-dir /tmp/k/run --state-dir /tmp/k/state     one to try\n"
      "\n"
      "Exit status: 0 stopped by a signal, or started in the background; 1 could not start, one\n"
      "line says why; 2 wrong usage. See keyd(8), keyd.toml(5).");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) {
      std::fprintf(stderr, "keyd: %s (see --help)\n", escape_line(e.what()).c_str());
      return 2;
    }
    app.exit(e, std::cout, std::cerr);
    return -1;
  }
  options.config_given = config->count() > 0;
  if (options.runtime_directory.empty() || options.state_directory.empty()) {
    std::fputs(
        "keyd: without root and XDG_RUNTIME_DIR it needs a directory of its own: give --runtime-dir and "
        "--state-dir\n",
        stderr);
    return 2;
  }
  return 0;
}

}  // namespace keyd::daemon
