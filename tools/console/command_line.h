// What all command-line programs of keyd have in common: exit codes, --runtime-dir, --version, and one-line
// errors.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace keyd::console {

enum ExitCode { kDone = 0, kRefused = 1, kUsage = 2, kUnreachable = 3 };

// --version and --runtime-dir (default: $KEYD_RUNTIME_DIR, else /run/keyd).
void add_standard_options(CLI::App& app, const std::string& program, std::string& runtime_dir);

// The option is the number of a descriptor to read from.
CLI::Option* is_descriptor(CLI::Option* option);
// The option is one of `names`, shown as "a|b|c".
CLI::Option* is_one_of(CLI::Option* option, const std::vector<std::string>& names);

// Parses; on --help, --version or a mistake prints what there is to say and leaves the program (0, or 2).
void parse_or_exit(CLI::App& app, int argc, char** argv);

// Prints "program: message" on standard error and gives `code` back.
int complain(const std::string& program, const std::string& message, ExitCode code);

// Whether standard output wants colours: a terminal, and NO_COLOR is not set.
[[nodiscard]] bool wants_colour();

}  // namespace keyd::console
