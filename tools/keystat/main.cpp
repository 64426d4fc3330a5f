// keystat: the task table, read only.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "core/base/untrusted_text.h"
#include "tools/console/command_line.h"
#include "tools/console/process_name.h"
#include "tools/keystat/terminal.h"
#include "tools/keystat/watch.h"

using namespace keyd;

int main(int argc, char** argv) {
  CLI::App app("Shows which processes are authenticated, and as whom.", "keystat");
  std::string runtime_dir, process, output = "pretty";
  keystat::Filter filter;
  bool watching = false;
  console::add_standard_options(app, "keystat", runtime_dir);
  app.add_option(
         "PID[:INODE]", process,
         "show this process alone; with its pidfs inode it cannot be\nanother that was given the same number")
      ->option_text(" ");
  console::is_one_of(app.add_option("-o,--output", output, "the form (default: pretty)"),
                     {"pretty", "json", "openmetrics"});
  app.add_option("--user", filter.user, "show this user's processes alone")->option_text("NAME");
  app.add_option("--state", filter.state,
                 "show this state alone: PENDING, COMPLETE, EXPIRED,\nREVOKED, FAILED, in either case")
      ->transform(CLI::IsMember({"PENDING", "COMPLETE", "EXPIRED", "REVOKED", "FAILED"}, CLI::ignore_case))
      ->option_text("STATE");
  app.add_flag("--watch", watching,
               "show it again at every change; on a terminal a full\nscreen with keys (h shows them)");
  app.footer(
      "Examples:\n"
      "  keystat                          who is authenticated, and where\n"
      "  keystat --watch                  the same, as it changes\n"
      "  keystat --state complete -o json | jq -r '.tasks[] | \"\\(.pid) \\(.user)\"'\n"
      "\n"
      "Exit status: 0 done; 1 the process named has no record (that passes the filters), or\n"
      "keyd refused its table; 2 wrong usage; 3 keyd cannot be reached, or is down.\n"
      "See keystat(1).");
  console::parse_or_exit(app, argc, argv);
  if (!process.empty()) {
    const auto named = console::parse_process(process);
    if (!named) {
      return console::complain("keystat", "\"" + escape(process) + "\" is not PID or PID:INODE",
                               console::kUsage);
    }
    filter.pid = named->pid;
    filter.inode = named->inode;
  }

  keyclient_options options{};
  options.size = sizeof options;
  options.runtime_dir = runtime_dir.c_str();
  keyclient_t* client = nullptr;
  if (const auto status = keyclient_open(&options, &client); status != KEYCLIENT_OK)
    return keystat::complain_about(status);
  const std::unique_ptr<keyclient_t, void (*)(keyclient_t*)> owned(client, keyclient_close);
  if (watching) {
    if (output == "pretty" && keystat::Terminal::usable()) return keystat::watch_on_screen(client, filter);
    return keystat::watch_as_text(client, filter, output);
  }
  keystat::Snapshot snapshot;
  if (const auto status = keystat::take_snapshot(client, filter, snapshot); status != KEYCLIENT_OK)
    return keystat::complain_about(status);
  fmt::print("{}", keystat::render(snapshot, output));
  if (snapshot.table.stale != 0)
    return console::complain("keystat", "keyd is down or stopped: its task table counts for nothing",
                             console::kUnreachable);
  return filter.pid != 0 && snapshot.tasks.empty() ? console::kRefused : console::kDone;
}
