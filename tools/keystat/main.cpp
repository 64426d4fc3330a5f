// keystat: the task table, read only.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "core/base/untrusted_text.h"
#include "tools/console/command_line.h"
#include "tools/console/process_name.h"
#include "tools/keystat/complaint.h"
#include "tools/keystat/render.h"
#include "tools/keystat/sandbox.h"
#include "tools/keystat/terminal.h"
#include "tools/keystat/watch.h"

namespace {

using namespace keyd;
using keystat::Form;

struct Options {
  std::string runtime_dir, process, output = "pretty";
  keystat::Filter filter;
  bool watching = false;
};

Form form_of(const std::string& output) {
  if (output == "json") return Form::kJson;
  return output == "openmetrics" ? Form::kOpenMetrics : Form::kPretty;
}

void parse(int argc, char** argv, Options& options) {
  CLI::App app("Shows which processes are authenticated, and as whom.", "keystat");
  console::add_standard_options(app, "keystat", options.runtime_dir);
  app.add_option(
         "PID[:INODE]", options.process,
         "show this process alone; with its pidfs inode it cannot be\nanother that was given the same number")
      ->option_text(" ");
  console::is_one_of(app.add_option("-o,--output", options.output, "the form (default: pretty)"),
                     {"pretty", "json", "openmetrics"});
  app.add_option("--user", options.filter.user, "show this user's processes alone")->option_text("NAME");
  app.add_option("--state", options.filter.state,
                 "show this state alone: PENDING, COMPLETE, EXPIRED,\nREVOKED, FAILED, in either case")
      ->transform(CLI::IsMember({"PENDING", "COMPLETE", "EXPIRED", "REVOKED", "FAILED"}, CLI::ignore_case))
      ->option_text("STATE");
  app.add_flag("--watch", options.watching,
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
}

int show_once(keyclient_t* client, const keystat::Filter& filter, Form form) {
  keystat::Snapshot snapshot;
  if (const auto status = keystat::take_snapshot(client, filter, snapshot); status != KEYCLIENT_OK)
    return keystat::complain_about(status);
  fmt::print("{}", keystat::render(snapshot, form));
  if (snapshot.table.stale != 0)
    return console::complain("keystat", "keyd is down or stopped: its task table counts for nothing",
                             console::kUnreachable);
  return filter.pid != 0 && snapshot.tasks.empty() ? console::kRefused : console::kDone;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  parse(argc, argv, options);
  keystat::Filter& filter = options.filter;
  if (!options.process.empty()) {
    const auto named = console::parse_process(options.process);
    if (!named) {
      return console::complain("keystat", "\"" + escape(options.process) + "\" is not PID or PID:INODE",
                               console::kUsage);
    }
    filter.pid = named->pid;
    filter.inode = named->inode;
  }

  if (const auto confined = keystat::enter_sandbox(); !confined)
    return console::complain("keystat", confined.error().message(), console::kRefused);
  keyclient_options target{};
  target.size = sizeof target;
  target.runtime_dir = options.runtime_dir.c_str();
  keyclient_t* client = nullptr;
  if (const auto status = keyclient_open(&target, &client); status != KEYCLIENT_OK)
    return keystat::complain_about(status);
  const std::unique_ptr<keyclient_t, void (*)(keyclient_t*)> owned(client, keyclient_close);
  const Form form = form_of(options.output);
  if (!options.watching) return show_once(client, filter, form);
  if (form == Form::kPretty && keystat::Terminal::usable()) return keystat::watch_on_screen(client, filter);
  return keystat::watch_as_text(client, filter, form);
}
