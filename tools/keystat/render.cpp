#include "tools/keystat/render.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/untrusted_text.h"
#include "tools/console/command_line.h"

namespace keyd::keystat {
namespace {

using Json = nlohmann::ordered_json;

// CLOCK_BOOTTIME to the wall clock, as both stand now.
std::uint64_t to_wall(std::uint64_t boot) { return wall_now() - boot_now() + boot; }

Json timestamp(std::uint64_t boot) {
  if (boot == 0) return nullptr;
  const std::uint64_t wall = to_wall(boot);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(wall / kSecond)),
                     wall % kSecond / kMillisecond);
}

std::string host_name(std::uint32_t host) { return host == 0 ? "local" : fmt::format("host-{}", host); }

}  // namespace

const char* revocation_name(keyclient_revocation revocation) {
  switch (revocation) {
    case KEYCLIENT_NEVER: return "never";
    case KEYCLIENT_COOPERATIVE: return "cooperative";
    case KEYCLIENT_ON_CONTACT: return "on-contact";
    case KEYCLIENT_ASYNCHRONOUS: return "asynchronous";
    case KEYCLIENT_SYNCHRONOUS: return "synchronous";
  }
  return "unknown";
}

std::vector<std::string> flag_names(const keyclient_identity& identity) {
  std::vector<std::string> names;
  if ((identity.flags & KEYCLIENT_FLAG_CHANGE_DUE) != 0) names.emplace_back("CHANGE_DUE");
  if ((identity.flags & KEYCLIENT_FLAG_REAUTHENTICATING) != 0) names.emplace_back("REAUTHENTICATING");
  if ((identity.flags & KEYCLIENT_FLAG_PLANNED_EXEC) != 0) names.emplace_back("PLANNED_EXEC");
  return names;
}

std::string span(std::uint64_t nanoseconds) {
  const std::uint64_t s = nanoseconds / kSecond;
  return s < 60      ? fmt::format("{}s", s)
         : s < 3600  ? fmt::format("{}m", s / 60)
         : s < 86400 ? fmt::format("{}h", s / 3600)
                     : fmt::format("{}d", s / 86400);
}

std::uint64_t since(const keyclient_identity& identity) {
  return identity.complete_since != 0 ? identity.complete_since : identity.pending_since;
}

std::string age_of(const Task& task, std::uint64_t now) {
  return span(now - std::min(since(task.identity), now));
}

std::string end_of(const Task& task, std::uint64_t now) {
  const auto& t = task.identity;
  return t.state == KEYCLIENT_STATE_COMPLETE ? span(std::max(t.expires, now) - now) : "-";
}

const char* colour_of(keyclient_state state) {
  switch (state) {
    case KEYCLIENT_STATE_COMPLETE: return "\x1b[32m";
    case KEYCLIENT_STATE_PENDING: return "\x1b[33m";
    case KEYCLIENT_STATE_FAILED:
    case KEYCLIENT_STATE_REVOKED: return "\x1b[31m";
    default: return "\x1b[2m";
  }
}

std::string as_pretty(const Snapshot& snapshot, bool colour) {
  const keyclient_table& table = snapshot.table;
  std::string out = fmt::format(
      "tier {} (revoked on exec: {}, on exit: {}, on change of credentials: {}) · {} of {} records{}\n",
      table.tier, revocation_name(table.on_exec), revocation_name(table.on_exit),
      revocation_name(table.on_credentials), table.used, table.capacity,
      table.stale != 0 ? " · STALE: keyd is down" : "");
  if (snapshot.tasks.empty()) return out + "no task to show\n";
  out += fmt::format("{:>7} {:<20} {:<9} {:<18} {:<12} {:<9} {:>6} {:>5} {:>7}  {}\n", "PID", "USER", "STATE",
                     "REASON", "SCHEME", "SUITE", "UID", "AGE", "EXPIRES", "COMMAND");
  const std::uint64_t now = boot_now();
  for (const Task& task : snapshot.tasks) {
    const keyclient_identity& t = task.identity;
    std::string state = fmt::format("{:<9}", state_name(t.state));
    if (colour) state = colour_of(t.state) + state + "\x1b[0m";
    std::string flags;
    for (const std::string& flag : flag_names(t)) flags += " [" + flag + "]";
    out += fmt::format("{:>7} {:<20} {} {:<18} {:<12} {:<9} {:>6} {:>5} {:>7}  {}{}\n", t.pid, escape(t.user),
                       state, t.reason, t.scheme, t.suite, t.uid, age_of(task, now), end_of(task, now),
                       escape(task.command), flags);
  }
  return out;
}

namespace {

Json json_of(const Snapshot& snapshot) {
  const keyclient_table& table = snapshot.table;
  Json out;
  out["table"] = {{"version", table.version},
                  {"capacity", table.capacity},
                  {"used", table.used},
                  {"stale", table.stale != 0},
                  {"tier", table.tier},
                  {"strength",
                   {{"exec", revocation_name(table.on_exec)},
                    {"exit", revocation_name(table.on_exit)},
                    {"credentials", revocation_name(table.on_credentials)}}}};
  out["tasks"] = Json::array();
  for (const auto& [t, command, named] : snapshot.tasks) {
    Json task;
    task["pid"] = t.pid;
    task["inode"] = t.inode;
    task["exec_generation"] = t.exec_generation;
    task["host"] = host_name(t.host);
    task["uid"] = t.uid;
    task["gid"] = t.gid;
    task["user"] = t.user;
    task["scheme"] = t.scheme;
    task["suite"] = t.suite;
    task["state"] = state_name(t.state);
    task["flags"] = flag_names(t);
    task["reason"] = t.reason;
    task["tier"] = t.tier;
    task["session"] = to_hex(t.session_id);
    task["pending_since"] = timestamp(t.pending_since);
    task["complete_since"] = timestamp(t.complete_since);
    task["expires"] = timestamp(t.expires);
    task["exchanges"] = t.exchanges;
    task["epoch"] = t.epoch;
    task["records"] = t.records;
    task["bytes"] = t.octets;
    task["command"] = command;
    out["tasks"].push_back(std::move(task));
  }
  return out;
}

// Whatever a process calls itself, the output stays well-formed UTF-8.
std::string dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string as_json(const Snapshot& snapshot) { return dump(json_of(snapshot), 2); }
std::string as_json_line(const Snapshot& snapshot) { return dump(json_of(snapshot), -1); }

std::string as_openmetrics(const Snapshot& snapshot) {
  const keyclient_table& table = snapshot.table;
  std::array<std::uint64_t, 6> by_state{};
  std::uint64_t records = 0, octets = 0;
  for (const auto& [t, command, named] : snapshot.tasks) {
    if (static_cast<std::size_t>(t.state) < by_state.size()) ++by_state[static_cast<std::size_t>(t.state)];
    records += t.records;
    octets += t.octets;
  }
  std::string out;
  const auto gauge = [&out](const char* name, const char* help, std::uint64_t value) {
    fmt::format_to(std::back_inserter(out), "# TYPE {0} gauge\n# HELP {0} {1}\n{0} {2}\n", name, help, value);
  };
  gauge("keyd_table_capacity", "Records the task table has room for.", table.capacity);
  gauge("keyd_table_used", "Records in the task table.", table.used);
  gauge("keyd_table_stale", "1 when keyd is down and the table counts for nothing.",
        table.stale != 0 ? 1 : 0);
  fmt::format_to(std::back_inserter(out),
                 "# TYPE keyd_tier info\n# HELP keyd_tier How records are "
                 "revoked.\nkeyd_tier_info{{tier=\"{}\",exec=\"{}\",exit=\"{}\",credentials=\"{}\"}} 1\n",
                 table.tier, revocation_name(table.on_exec), revocation_name(table.on_exit),
                 revocation_name(table.on_credentials));
  out += "# TYPE keyd_tasks gauge\n# HELP keyd_tasks Records by state.\n";
  for (std::size_t state = 1; state < by_state.size(); ++state) {
    fmt::format_to(std::back_inserter(out), "keyd_tasks{{state=\"{}\"}} {}\n",
                   state_name(static_cast<keyclient_state>(state)), by_state[state]);
  }
  gauge("keyd_session_records", "Sealed records of the sessions that are in the table.", records);
  gauge("keyd_session_bytes", "Octets in them.", octets);
  return out + "# EOF\n";
}

std::string render(Snapshot& snapshot, Form form) {
  if (form == Form::kOpenMetrics) return as_openmetrics(snapshot);
  for (Task& task : snapshot.tasks) name_command(task);
  if (form == Form::kJson) return as_json(snapshot);
  if (form == Form::kJsonLine) return as_json_line(snapshot);
  return as_pretty(snapshot, console::wants_colour());
}

}  // namespace keyd::keystat
