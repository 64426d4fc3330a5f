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
  app.add_option("PID[:INODE]", process, "this process alone (exit 1 when it has no record)");
  app.add_option("-o,--output", output, "pretty, json or openmetrics")
      ->check(CLI::IsMember({"pretty", "json", "openmetrics"}))
      ->capture_default_str();
  app.add_option("--user", filter.user, "this user's processes alone");
  app.add_option("--state", filter.state, "PENDING, COMPLETE, EXPIRED, REVOKED or FAILED alone")
      ->transform(CLI::IsMember({"PENDING", "COMPLETE", "EXPIRED", "REVOKED", "FAILED"}, CLI::ignore_case));
  app.add_flag("--watch", watching, "show it again at every change");
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
