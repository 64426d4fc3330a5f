#include "tools/keystat/snapshot.h"

#include <algorithm>
#include <fstream>

namespace keyd::keystat {
namespace {

std::string command_of(std::uint32_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string command;
  std::getline(file, command);
  return command;
}

bool passes(const keyclient_identity& identity, const Filter& filter) {
  return (filter.pid == 0 || identity.pid == filter.pid) &&
         (filter.inode == 0 || identity.inode == filter.inode) &&
         (filter.user.empty() || filter.user == identity.user) &&
         (filter.state.empty() || filter.state == state_name(identity.state));
}

}  // namespace

const char* state_name(keyclient_state state) {
  switch (state) {
    case KEYCLIENT_STATE_NONE: return "NONE";
    case KEYCLIENT_STATE_PENDING: return "PENDING";
    case KEYCLIENT_STATE_COMPLETE: return "COMPLETE";
    case KEYCLIENT_STATE_EXPIRED: return "EXPIRED";
    case KEYCLIENT_STATE_REVOKED: return "REVOKED";
    case KEYCLIENT_STATE_FAILED: return "FAILED";
  }
  return "UNKNOWN";
}

void name_command(Task& task) {
  if (!task.named) task.command = command_of(task.identity.pid);
  task.named = true;
}

keyclient_status take_snapshot(keyclient_t* client, const Filter& filter, Snapshot& out) {
  out = Snapshot{};
  out.table.size = sizeof out.table;
  if (const auto status = keyclient_table_info(client, &out.table); status != KEYCLIENT_OK) return status;
  if (out.table.stale != 0) return KEYCLIENT_OK;  // nothing in it counts
  struct Context {
    const Filter& filter;
    std::vector<Task>& tasks;
  } context{filter, out.tasks};
  const auto status = keyclient_each(
      client,
      [](void* raw, const keyclient_identity* identity) {
        auto& into = *static_cast<Context*>(raw);
        if (passes(*identity, into.filter)) into.tasks.push_back({*identity});
      },
      &context);
  if (status != KEYCLIENT_OK) return status;
  std::ranges::sort(out.tasks, {}, [](const Task& task) { return task.identity.pid; });
  return KEYCLIENT_OK;
}

}  // namespace keyd::keystat
