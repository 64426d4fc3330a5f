// The task table at one moment, as keystat shows it: filtered and sorted by pid; each process's
// command when it is asked for.
#pragma once

#include <keyclient/keyclient.h>

#include <cstdint>
#include <string>
#include <vector>

namespace keyd::keystat {

struct Filter {
  std::uint32_t pid = 0;    // 0: every process
  std::uint64_t inode = 0;  // 0: whatever its inode
  std::string user;         // empty: every user
  std::string state;        // upper case; empty: every state
};

struct Task {
  keyclient_identity identity;
  std::string command =
      {};  // its name as it is now, untrusted; empty when it cannot be told, or was not asked
  bool named = false;
};

struct Snapshot {
  keyclient_table table;
  std::vector<Task> tasks;
};

// Reads the table. keyclient_error() says what went wrong.
[[nodiscard]] keyclient_status take_snapshot(keyclient_t* client, const Filter& filter, Snapshot& out);

// Asks the kernel for the task's command, unless it was asked already: a table can be large, a screen is not.
void name_command(Task& task);

[[nodiscard]] const char* state_name(keyclient_state state);

}  // namespace keyd::keystat
