// keystat: the task table, read only.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "core/base/untrusted_text.h"
#include "tools/console/command_line.h"
#include "tools/console/process_name.h"
#include "tools/keystat/render.h"

namespace {

using namespace keyd;

int complain_about(keyclient_status status) {
  const bool down = status == KEYCLIENT_UNREACHABLE || status == KEYCLIENT_UNKNOWN ||
                    status == KEYCLIENT_GONE || status == KEYCLIENT_DEADLINE;
  return console::complain("keystat", keyclient_error(), down ? console::kUnreachable : console::kRefused);
}

std::string render(const keystat::Snapshot& snapshot, const std::string& output) {
  if (output == "json") return keystat::as_json(snapshot);
  if (output == "openmetrics") return keystat::as_openmetrics(snapshot);
  return keystat::as_pretty(snapshot, console::wants_colour());
}

// Shows the table again at every change and at least every two seconds, until it is interrupted.
int watch(keyclient_t* client, const keystat::Filter& filter, const std::string& output) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && output == "pretty";
  for (std::uint64_t seen = 0;;) {
    keystat::Snapshot snapshot;
    const auto status = keystat::take_snapshot(client, filter, snapshot);
    if (status != KEYCLIENT_OK && status != KEYCLIENT_UNKNOWN) return complain_about(status);
    const std::string text =
        status == KEYCLIENT_OK ? render(snapshot, output) : std::string("keyd is down; waiting for it\n");
    fmt::print("{}{}", terminal ? "\x1b[H\x1b[2J" : "", text);
    if (std::fflush(stdout) != 0) return console::kDone;  // whoever read us has gone
    if (status == KEYCLIENT_OK) {
      (void)keyclient_wait_for_change(client, &seen, 2000);
    } else {
      ::sleep(1);
    }
  }
}

}  // namespace

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
    return complain_about(status);
  const std::unique_ptr<keyclient_t, void (*)(keyclient_t*)> owned(client, keyclient_close);
  if (watching) return watch(client, filter, output);
  keystat::Snapshot snapshot;
  if (const auto status = keystat::take_snapshot(client, filter, snapshot); status != KEYCLIENT_OK)
    return complain_about(status);
  fmt::print("{}", render(snapshot, output));
  if (snapshot.table.stale != 0)
    return console::complain("keystat", "keyd is down or stopped: its task table counts for nothing",
                             console::kUnreachable);
  return filter.pid != 0 && snapshot.tasks.empty() ? console::kRefused : console::kDone;
}
