// keyd itself inside the fuzzing process: the real Server with its sockets, its store in memory-backed files,
// its table and its threads. The process connects to its own sockets, so that keyd has a real peer to
// identify. One for the life of the process; what an input leaves behind is cleared away by settle().
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>
#include <string>

#include "core/table/table_reader.h"
#include "keyd/server.h"

namespace keyd::fuzz {

inline constexpr std::string_view kCredential = "db/password", kCredentialValue = "a value";

class ServerScene {
 public:
  static ServerScene& instance();
  ServerScene(const ServerScene&) = delete;
  ServerScene& operator=(const ServerScene&) = delete;

  [[nodiscard]] daemon::Server& server() { return *server_; }
  [[nodiscard]] UniqueFd connect(daemon::Door door);
  // Lets keyd do what it can without waiting.
  void run_ready();
  // Lets keyd work until `holds`; false when it has not in five seconds.
  [[nodiscard]] bool run_until(const std::function<bool()>& holds);

  // The state of this process's record.
  [[nodiscard]] table::TaskState own_state();
  // After an input: everybody has hung up. `administered`: an administrator was at work, and the store's
  // thread is to let go of every job, and of the secrets in it. `changed`: with success, and the one user is
  // to be enrolled anew.
  void settle(bool administered, bool changed);

 private:
  ServerScene();
  void warm_workers();
  void enrol();
  std::string directory_;
  boost::asio::io_context loop_{1};
  std::optional<daemon::Server> server_;
  std::optional<table::TableReader> table_;
  std::uint64_t own_inode_ = 0;
};

}  // namespace keyd::fuzz
