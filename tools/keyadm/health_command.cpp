// keyadm health: how keyd is, for a person and for whatever watches it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/untrusted_text.h"
#include "tools/console/time_text.h"
#include "tools/keyadm/commands.h"

namespace keyd::keyadm {
namespace {

constexpr int kPatience = 5;  // seconds; a keyd that lives answers within one

struct HealthOptions {
  std::string output = "pretty";
  bool live_only = false;
};

template <typename Lines>
nlohmann::ordered_json list_of(const Lines& lines) {
  auto list = nlohmann::ordered_json::array();
  for (const std::string& line : lines) list.push_back(line);
  return list;
}

nlohmann::ordered_json as_json(const wire::Health& h) {
  nlohmann::ordered_json json{{"live", true},
                              {"ready", h.ready()},
                              {"problem", h.problem()},
                              {"problems", list_of(h.problems())},
                              {"warnings", list_of(h.warnings())},
                              {"version", h.version()},
                              {"uptime", h.uptime()},
                              {"tier", h.tier()},
                              {"tier_configured", h.tier_configured()},
                              {"connections", h.connections()},
                              {"pending", h.pending()},
                              {"records", h.records()},
                              {"capacity", h.capacity()},
                              {"audit_lost", h.audit_lost()}};
  json["config"] = {{"state", h.config()},
                    {"when", h.config_when() == 0 ? nlohmann::ordered_json(nullptr)
                                                  : nlohmann::ordered_json(console::utc(h.config_when()))},
                    {"problem", h.config_problem()},
                    {"awaiting_restart", list_of(h.config_awaiting())}};
  json["store"] = nullptr;
  if (h.has_store()) {
    json["store"] = {
        {"waited_us", h.store().waited()}, {"read_us", h.store().read()}, {"write_us", h.store().write()}};
  }
  return json;
}

std::string span(std::uint64_t seconds) {
  return seconds < 120     ? fmt::format("{} s", seconds)
         : seconds < 7200  ? fmt::format("{} min", seconds / 60)
         : seconds < 86400 ? fmt::format("{} h", seconds / 3600)
                           : fmt::format("{} days", seconds / 86400);
}

std::string config_line(const wire::Health& h) {
  if (h.config() == "reloaded") return "reloaded " + console::utc(h.config_when());
  if (h.config() != "failed") return "as started";
  return fmt::format("failed {}: {}", console::utc(h.config_when()), escape_line(h.config_problem()));
}

void print(const wire::Health& h) {
  fmt::print("live, {}\n", h.ready() ? "ready" : "not ready");
  for (const std::string& problem : h.problems()) fmt::print("problem: {}\n", escape_line(problem));
  for (const std::string& warning : h.warnings()) fmt::print("warning: {}\n", escape_line(warning));
  fmt::print("keyd:    {}, up {}\n", escape(h.version()), span(h.uptime()));
  fmt::print("tier:    {} (configured: {})\n", escape(h.tier()), escape(h.tier_configured()));
  fmt::print("config:  {}\n", config_line(h));
  if (h.has_store()) {
    fmt::print("store:   waited {} us, read {} us, durable write {} us\n", h.store().waited(),
               h.store().read(), h.store().write());
  } else {
    fmt::print("store:   no answer\n");
  }
  fmt::print("serving: {} connections, {} exchanges pending, {} of {} records\n", h.connections(),
             h.pending(), h.records(), h.capacity());
}

// Whoever watches reads JSON also when there is nobody to give it.
int not_live(const Error& error, const HealthOptions& options) {
  if (options.output == "json" && error.code != Code::kRefused) {
    const nlohmann::ordered_json json{{"live", false}, {"ready", false}, {"problem", error.message()}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  }
  return complain(error);
}

int health(const Invocation& invocation, const HealthOptions& options) {
  auto link = AdminLink::connect(invocation.runtime_dir, kPatience);
  if (!link) return not_live(link.error(), options);
  wire::AdminRequest request;
  request.mutable_health()->set_live_only(options.live_only);
  const auto reply = link->ask(request);
  if (!reply) return not_live(reply.error(), options);
  const wire::Health& h = reply->health();
  if (options.live_only) {
    if (options.output == "json") {
      fmt::print("{}\n", nlohmann::ordered_json{{"live", true}, {"version", h.version()}}.dump(2));
    } else {
      fmt::print("live\n");
    }
    return console::kDone;
  }
  if (options.output == "json") {
    fmt::print("{}\n", as_json(h).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    print(h);
  }
  return h.ready() ? console::kDone : console::kRefused;
}

}  // namespace

void add_health_command(CLI::App& app, Invocation& invocation) {
  const auto options = std::make_shared<HealthOptions>();
  CLI::App* const asking = app.add_subcommand("health", "whether keyd is live and ready, and what it lacks");
  asking->add_flag("--live", options->live_only,
                   "ask only whether it is live: answered at once,\nwithout touching the store");
  console::is_one_of(asking->add_option("-o,--output", options->output, "the form (default: pretty)"),
                     {"pretty", "json"});
  asking->footer(
      "Exit status: 0 ready (with --live: live); 1 live but not ready, what is wrong is told;\n"
      "3 not live: keyd cannot be reached, or has not answered in 5 s.");
  asking->callback([&invocation, options] {
    invocation.chosen = [&invocation, options] { return health(invocation, *options); };
  });
}

}  // namespace keyd::keyadm
