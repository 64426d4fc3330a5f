// How keyd is. Live: the event loop answers, which whoever gets any answer has seen. Ready: an exchange that
// begins now can succeed, and an administrator's change can be kept: the store reads and writes, there are
// random numbers, the tier is the one that was asked for. What ought to be looked at but keeps nobody out is
// a warning.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/table/task_terms.h"
#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {
namespace {

const char* name_of(TierChoice choice) {
  switch (choice) {
    case TierChoice::kAuto: return "auto";
    case TierChoice::kKernel: return "kernel";
    case TierChoice::kWatch: return "watch";
    case TierChoice::kPidfd: return "pidfd";
  }
  return "unknown";
}

// What the event loop knows by itself.
void describe(Server& server, wire::Health& health) {
  const ReloadState& reload = server.reload_state();
  health.set_tier(std::string(table::name_of(server.tasks().table().tier())));
  health.set_tier_configured(name_of(server.config().tier));
  health.set_version(KEYD_VERSION);
  health.set_uptime((boot_now() - server.started()) / kSecond);
  health.set_connections(server.quota().total(Resource::kConnection) +
                         server.quota().total(Resource::kAdminConnection));
  health.set_pending(server.quota().total(Resource::kPending));
  health.set_records(static_cast<std::uint32_t>(server.tasks().table().used()));
  health.set_capacity(server.tasks().table().capacity());
  health.set_audit_lost(server.audit().lost());
  health.set_config(reload.when == 0 ? "as-started" : reload.problem.empty() ? "reloaded" : "failed");
  health.set_config_when(reload.when);
  health.set_config_problem(reload.problem);
  for (const std::string& key : reload.awaiting) health.add_config_awaiting(key);
}

void warn(wire::Health& health) {
  if (!health.config_problem().empty()) {
    health.add_warnings("the last reload was refused, keyd goes on with the configuration before it: " +
                        health.config_problem());
  }
  if (health.config_awaiting_size() != 0) {
    health.add_warnings(fmt::format("restart keyd for: {}", fmt::join(health.config_awaiting(), ", ")));
  }
  if (health.audit_lost() != 0) {
    health.add_warnings(
        fmt::format("{} audit lines found no room: is the disk full, or does nobody read the pipe?",
                    health.audit_lost()));
  }
  if (health.records() >= health.capacity() / 10 * 9) {
    health.add_warnings(fmt::format("the task table is nearly full ({} of {}): raise table.capacity",
                                    health.records(), health.capacity()));
  }
}

void judge(Server& server, const StoreProbe::Outcome& store, wire::Health& health) {
  if (!store.problem.empty()) health.add_problems(store.problem);
  if (!server.noise().trustworthy()) {
    health.add_problems(
        "no random numbers: exchanges are refused until getrandom(2) works again; see keyd's log");
  }
  if (server.config().tier != TierChoice::kAuto && health.tier() != health.tier_configured()) {
    health.add_problems("the tier is not the one in daemon.tier; restart keyd, and see its log");
  }
  health.set_ready(health.problems_size() == 0);
  if (!health.ready()) health.set_problem(health.problems(0));
  if (!store.answered) return;
  health.mutable_store()->set_waited(store.waited);
  health.mutable_store()->set_read(store.read);
  health.mutable_store()->set_write(store.write);
}

}  // namespace

void handle_health(Server& server, Connection& connection, const wire::AdminRequest& request,
                   secret::SecretBuffer) {
  if (request.health().live_only()) {
    wire::AdminReply reply;
    describe(server, *reply.mutable_health());
    connection.reply(reply);
    return;
  }
  server.store_probe().ask([&server, asker = connection.weak_from_this()](const StoreProbe::Outcome& store) {
    const auto self = asker.lock();
    if (self == nullptr || self->closed()) return;
    wire::AdminReply reply;
    describe(server, *reply.mutable_health());
    warn(*reply.mutable_health());
    judge(server, store, *reply.mutable_health());
    self->reply(reply);
  });
}

}  // namespace keyd::daemon
