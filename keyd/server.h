// keyd at work: the sockets, the connections, and what the requests are answered from. Everything here runs
// on the one event loop; handlers are found through the request table (request_table.h).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "keyd/audit.h"
#include "keyd/config.h"
#include "keyd/connection.h"
#include "keyd/ephemeral_pool.h"
#include "keyd/fair_turns.h"
#include "keyd/idle_watch.h"
#include "keyd/listener.h"
#include "keyd/noise_keeper.h"
#include "keyd/nonce_ledger.h"
#include "keyd/password_changes.h"
#include "keyd/password_source.h"
#include "keyd/quota.h"
#include "keyd/stand_in_hashes.h"
#include "keyd/stand_in_verifiers.h"
#include "keyd/store_probe.h"
#include "keyd/store_thread.h"
#include "keyd/task_registry.h"
#include "keyd/tier_ladder.h"
#include "keyd/try_ledger.h"
#include "keyd/user_directory.h"
#include "keyd/user_lanes.h"
#include "keyd/worker_pool.h"

namespace keyd::daemon {

// What the start-up has made ready.
struct ServerParts {
  Config config;
  Audit audit;
  Accounts accounts;
  std::unique_ptr<UserStore> store;
  std::vector<TryCount> tries;  // as stored
  std::unique_ptr<StoreSealer> sealer;
  ReachedTier tier;
  table::TableBell table_bell;
  std::uint64_t own_inode;
  std::uint32_t admin_group;                   // a gid, or -1
  std::optional<PlacedDirectory> placed = {};  // none: parameters are never placed
  UniqueFd client_listener, admin_listener;
};

// How keyd came by the configuration it works with, for administrators.
struct ReloadState {
  std::uint64_t when = 0;             // of the last reload: seconds since the Unix epoch; 0: none yet
  std::string problem;                // why it was refused; empty: it was not
  std::vector<std::string> awaiting;  // keys that are set otherwise in the files, until the next start
};

class Server {
 public:
  Server(boost::asio::io_context& loop, ServerParts parts);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Stirs the noise, then begins to accept. An error when there are no random numbers.
  [[nodiscard]] Result<void> start();
  // Refuses everybody from now on, revokes every record, closes every connection.
  void stop();
  // It has stopped by itself, for a reason that the log has.
  [[nodiscard]] bool failed() const { return failed_; }
  // Takes over from `loaded` what can change while keyd runs (config_keys), and opens the audit log anew. An
  // error, in `loaded` or here, changes nothing. Either is told in both logs.
  void reload(Result<Config> loaded);

  // ---- for connections
  void take_packet(Connection& connection, ByteView packet);
  void take_secret(Connection& connection, secret::SecretBuffer value);
  void connection_closed(Connection& connection);
  void refused_sender(const Connection& connection, kernel::SenderOutcome outcome);
  // A socket whose last answer, with descriptors, was not received yet; closed when it was. The charges, for
  // the connection and for that answer, stay with it.
  void keep_undelivered(UniqueFd socket, Charge charge, Charge answer);
  // Settles the connection's charge for an answer with descriptors once that was received.
  void watch_delivery(Connection& connection);
  [[nodiscard]] IdleWatch& idle() { return idle_; }
  [[nodiscard]] FairTurns& turns() { return turns_; }
  [[nodiscard]] MutableByteView receive_buffer() { return receive_buffer_; }
  [[nodiscard]] boost::asio::io_context& loop() { return loop_; }

  // ---- for handlers
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] Audit& audit() { return audit_; }
  [[nodiscard]] StoreThread& store() { return store_; }
  [[nodiscard]] const StoreSealer& sealer() const { return *sealer_; }
  [[nodiscard]] UserDirectory& users() { return users_; }
  [[nodiscard]] PasswordSource& passwords() { return passwords_; }
  [[nodiscard]] StandInVerifiers& stand_in_verifiers() { return stand_in_verifiers_; }
  [[nodiscard]] EphemeralPool& ephemerals() { return ephemerals_; }
  [[nodiscard]] StandInHashes& stand_ins() { return stand_ins_; }
  // The store's hashes may have other shapes now: the stand-ins learn of it at the next tick.
  void note_shapes_changed() { shapes_changed_ = true; }
  [[nodiscard]] WorkerPool& workers() { return workers_; }
  [[nodiscard]] UserLanes& lanes() { return lanes_; }
  [[nodiscard]] NonceLedger& nonces() { return nonces_; }
  [[nodiscard]] TaskRegistry& tasks() { return tasks_; }
  [[nodiscard]] Quota& quota() { return quota_; }
  [[nodiscard]] TryLedger& tries() { return tries_; }
  [[nodiscard]] PasswordChanges& changes() { return changes_; }
  [[nodiscard]] const NoiseKeeper& noise() const { return noise_; }
  [[nodiscard]] StoreProbe& store_probe() { return store_probe_; }
  [[nodiscard]] const ReloadState& reload_state() const { return reload_state_; }
  [[nodiscard]] BootTime started() const { return started_; }
  // The connection on which the process's exchange or session runs. A process has one.
  void own(Connection& connection) { owners_[connection.peer().inode] = connection.weak_from_this(); }
  void disown(const Connection& connection);
  [[nodiscard]] bool has_owner(std::uint64_t inode) const;
  // Whether the connection's process may use admin.sock too.
  [[nodiscard]] bool is_administrator(Connection& connection) const;

 private:
  void admit(UniqueFd socket, Door door);
  void task_ended(std::uint64_t inode, table::Reason reason);
  void tick();
  void close_delivered();
  void sweep_tries();
  void learn_shapes();

  boost::asio::io_context& loop_;
  Config config_;
  Audit audit_;
  std::uint32_t admin_group_;
  std::unique_ptr<StoreSealer> sealer_;
  Quota quota_;
  Bytes receive_buffer_;
  IdleWatch idle_;
  FairTurns turns_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  struct Undelivered {
    UniqueFd socket;
    Charge charge, answer;
  };
  std::deque<Undelivered> undelivered_;
  std::deque<std::weak_ptr<Connection>> delivering_;
  boost::asio::steady_timer undelivered_timer_;
  std::unordered_map<std::uint64_t, std::weak_ptr<Connection>> owners_;
  PasswordSource passwords_;
  StandInHashes stand_ins_;
  StandInVerifiers stand_in_verifiers_;
  bool shapes_changed_ = true;
  bool shapes_unknown_ = false;  // the store could not tell when it was asked last
  NonceLedger nonces_;
  TryLedger tries_;
  BootTime tries_swept_ = 0;
  PasswordChanges changes_;
  TaskRegistry tasks_;
  Listener client_door_, admin_door_;
  boost::asio::steady_timer tick_timer_;
  bool stopping_ = false, failed_ = false;
  const BootTime started_ = boot_now();
  ReloadState reload_state_;
  StoreThread store_;
  StoreProbe store_probe_;
  UserDirectory users_;
  UserLanes lanes_;
  NoiseKeeper noise_;
  EphemeralPool ephemerals_;
  WorkerPool workers_;  // last: its threads use what stands before it
};

}  // namespace keyd::daemon
