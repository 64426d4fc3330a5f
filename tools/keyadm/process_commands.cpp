#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/untrusted_text.h"
#include "tools/keyadm/commands.h"

namespace keyd::keyadm {
namespace {

template <typename Number>
bool parse(std::string_view text, Number& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && out != 0;
}

// "PID" or "PID:INODE".
bool parse_process(std::string_view text, wire::RevokeProcess& out) {
  std::uint32_t pid = 0;
  std::uint64_t inode = 0;
  const std::size_t colon = text.find(':');
  if (!parse(text.substr(0, colon), pid)) return false;
  if (colon != std::string_view::npos && !parse(text.substr(colon + 1), inode)) return false;
  out.set_pid(pid);
  out.set_inode(inode);
  return true;
}

int revoke(const Invocation& invocation, const std::string& process, const std::string& user) {
  wire::AdminRequest request;
  if (process.empty() == user.empty())
    return console::complain("keyadm", "name a process (PID[:INODE]) or --user, not both", console::kUsage);
  if (!user.empty()) {
    request.mutable_revoke_user()->set_name(user);
  } else if (!parse_process(process, *request.mutable_revoke_process())) {
    return console::complain("keyadm", "\"" + escape(process) + "\" is not PID or PID:INODE",
                             console::kUsage);
  }
  return ask_and(invocation, request, nullptr, [](const wire::AdminReply& reply) {
    const auto count = reply.revoked().count();
    fmt::print("{} {} revoked\n", count, count == 1 ? "record" : "records");
    return count == 0 ? console::kRefused : console::kDone;
  });
}

int health(const Invocation& invocation, const std::string& output) {
  wire::AdminRequest request;
  request.mutable_health();
  return ask_and(invocation, request, nullptr, [&](const wire::AdminReply& reply) {
    const wire::Health& h = reply.health();
    if (output == "json") {
      const nlohmann::ordered_json json{{"live", true},           {"ready", h.ready()},
                                        {"problem", h.problem()}, {"version", h.version()},
                                        {"tier", h.tier()},       {"connections", h.connections()},
                                        {"records", h.records()}, {"capacity", h.capacity()}};
      fmt::print("{}\n", json.dump(2));
    } else {
      fmt::print("live, {}{}; keyd {}, tier {}, {} connections, {} of {} records\n",
                 h.ready() ? "ready" : "not ready: ", escape_line(h.problem()), h.version(), h.tier(),
                 h.connections(), h.records(), h.capacity());
    }
    return h.ready() ? console::kDone : console::kRefused;
  });
}

}  // namespace

void add_process_commands(CLI::App& app, Invocation& invocation) {
  struct Options {
    std::string process, user, output = "pretty";
  };
  const auto options = std::make_shared<Options>();
  CLI::App* const revoking = app.add_subcommand("revoke", "end the session of a process, or all of a user's");
  revoking->add_option("PID[:INODE]", options->process,
                       "the process; with its pidfs inode it cannot be another one");
  revoking->add_option("--user", options->user, "every process of this user");
  revoking->callback([&invocation, options] {
    invocation.chosen = [&invocation, options] {
      return revoke(invocation, options->process, options->user);
    };
  });

  CLI::App* const asking = app.add_subcommand(
      "health", "whether keyd is live and ready (exit 1: live but not ready; 3: not live)");
  asking->add_option("-o,--output", options->output, "pretty or json")
      ->check(CLI::IsMember({"pretty", "json"}))
      ->capture_default_str();
  asking->callback([&invocation, options] {
    invocation.chosen = [&invocation, options] { return health(invocation, options->output); };
  });
}

}  // namespace keyd::keyadm
