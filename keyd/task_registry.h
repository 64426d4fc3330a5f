// The tasks: every process that keyd has a record of, from PENDING until the process is gone. Owns the task
// table and the pidfds (one a process); learns of exits, execs and changes of credentials, and is the one
// place where a record changes its state. Event loop only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/base/clock.h"
#include "core/kernel/peer_identity.h"
#include "core/kernel/proc_connector.h"
#include "core/table/table_writer.h"
#include "keyd/audit.h"
#include "keyd/quota.h"

namespace keyd::daemon {

// What an exchange is about, for its record.
struct ExchangeSubject {
  std::string user;
  table::Scheme scheme;
  table::Suite suite;
  std::string session_id;  // 16 octets, drawn for this exchange
  std::string renews;      // of the session that is renewed, or empty
};

enum class CompleteOutcome {
  kComplete,
  kDeadline,  // too late: the exchange has failed, a session that it was to renew goes on
  kChanged,   // an exec, an exit, a change of credentials or an administrator came between
  kBusy,      // keyd is behind with the kernel's events: nothing can be said now
};

enum class BeginOutcome {
  kPending,     // the task is marked PENDING (a renewed one: COMPLETE and REAUTHENTICATING)
  kAlready,     // it has an exchange pending, or a living record that this exchange does not renew
  kNotRenewed,  // there is no such session of this process and user to renew
  kGone,        // the process has exited
  kFull,        // a quota or the table
  kBusy,        // keyd is behind with the kernel's events, or does not hear them for a moment
};

enum class ConfirmOutcome {
  kConfirmed,
  kOver,  // the record is not COMPLETE for this session any more
  kBusy,  // keyd is behind with the kernel's events: nothing can be said now
};

class TaskRegistry {
 public:
  struct Limits {
    std::uint64_t pending_deadline, lifetime, plan_deadline, linger;  // ns
  };
  // Called when a process's exchange or session is over other than by its own connection's doing: its
  // connection is to be closed.
  using EndedCallback = std::function<void(std::uint64_t inode, table::Reason reason)>;

  TaskRegistry(boost::asio::io_context& loop, std::unique_ptr<table::TableWriter> table,
               std::optional<kernel::ProcConnector> connector, Quota& quota, Audit& audit, Limits limits,
               EndedCallback ended);
  ~TaskRegistry();

  [[nodiscard]] table::TableWriter& table() { return *table_; }
  // For what begins or ends from now on; a deadline that is set stays.
  void set_limits(const Limits& limits) { limits_ = limits; }

  // Step "modify the task structure to reflect a pending request" (seed 000, claim 1). Takes over peer.pidfd.
  [[nodiscard]] BeginOutcome begin(kernel::PeerIdentity& peer, const ExchangeSubject& subject);
  // Step "… to reflect the completion": of the exchange that drew this session id, and no other that the process may
  // have begun since.
  [[nodiscard]] CompleteOutcome complete(std::uint64_t inode, std::string session_id);
  // That exchange failed; a renewed session stays as it was. Nothing happens when it is not the pending one any more.
  void fail(std::uint64_t inode, std::string_view session_id, table::Reason reason);
  // Ends a PENDING or COMPLETE record.
  void revoke(std::uint64_t inode, table::Reason reason);

  // Brings in what the kernel has told but nobody has read yet, and asks the process's pidfd whether it lives
  // with the credentials it had. Confirmed when the record is COMPLETE for the session after all that. To be
  // called before anything is given to the process.
  // The id comes by value: what this call learns may close the connection that it was taken from.
  [[nodiscard]] ConfirmOutcome confirm(std::uint64_t inode, std::string session_id);

  // The connection has ended on which the process's exchange ran, or its session lived (`had_session`). Ends
  // the record, unless an exec is planned or done and this tier would see another one, or the exchange was
  // the renewal of a session that had lost its channel already.
  void connection_closed(std::uint64_t inode, bool had_session);

  // The process will exec once, soon (docs/architecture.md, "Planned exec"). False when its record is not
  // COMPLETE.
  [[nodiscard]] bool plan_exec(std::uint64_t inode);
  // The new image has proved itself.
  void adopted(std::uint64_t inode);

  // Whether its record shows CHANGE_DUE beside COMPLETE: its user is to change the password.
  void set_change_due(std::uint64_t inode, bool due);
  // The same of all that the user has, those without a channel too.
  void set_change_due_of_user(const std::string& user, bool due);

  void count_record(std::uint64_t inode, std::size_t octets);
  void set_epoch(std::uint64_t inode, std::uint32_t epoch);

  // For WhoAmI.
  [[nodiscard]] std::optional<table::TaskView> look_up(std::uint64_t inode) const;

  // An administrator's doing. The number of records that fell.
  std::uint32_t revoke_process(std::uint32_t pid, std::uint64_t inode);
  std::uint32_t revoke_user(const std::string& user);

  // Ends what is due, and renews the table's heartbeat.
  void tick();
  // Marks everything REVOKED (shutdown) and the table down.
  void shut_down();

 private:
  struct Plan {
    BootTime deadline = 0;
    bool exec_seen = false;
    std::optional<std::uint64_t> capabilities;  // permitted set at the announcement
  };
  // The pidfd belongs to somebody else: Asio must not close it.
  struct LettingGo {
    void operator()(boost::asio::posix::stream_descriptor* watch) const {
      watch->release();
      delete watch;
    }
  };
  struct Task {
    kernel::PeerIdentity peer;
    table::TaskHandle handle;
    std::string user;
    Charge record_charge, pending_charge;
    std::optional<ExchangeSubject> pending;  // the exchange that runs, first or renewing
    BootTime deadline = 0;                   // entry in deadlines_, 0: none
    BootTime pending_deadline = 0, expires = 0;
    std::optional<Plan> plan;
    std::unique_ptr<boost::asio::posix::stream_descriptor, LettingGo> exit_watch;
    std::uint32_t exchanges = 0;
    std::uint16_t exec_generation = 0;  // as far as our books go; the kernel may have counted on
    bool counts = true;                 // in our books: its end was not accounted for yet
    bool change_due = false;
    // Of a COMPLETE record that neither is renewed nor awaits an exec.
    [[nodiscard]] std::uint8_t standing_flags() const { return change_due ? table::kChangeDue : 0; }
  };
  using TaskMap = std::unordered_map<std::uint64_t, Task>;

  [[nodiscard]] BeginOutcome begin_renewal(Task& task, const ExchangeSubject& subject);
  // `exchanges`: attempts of this process with this one.
  [[nodiscard]] BeginOutcome begin_first(kernel::PeerIdentity& peer, const ExchangeSubject& subject,
                                         std::uint32_t exchanges);
  void watch_exit(Task& task);
  void listen_for_exit(Task& task);
  void exited(std::uint64_t inode);
  using Watch = std::unique_ptr<boost::asio::posix::stream_descriptor>;
  // Some tier shows execs: the kernel ends records by itself, or the process connector tells.
  [[nodiscard]] bool sees_execs() const { return kernel_watch_ != nullptr || connector_; }
  void watch_kernel();
  void follow_kernel();
  void follow(Task& task);
  void ask_everybody();
  // Takes in what the kernel has done or told since the last time, and all that it has done to this process.
  kernel::Heard hear(std::uint64_t inode);
  void watch_execs(Watch& watch);
  kernel::Heard drain_execs();
  void watch_ids();
  void drain_ids();
  void executed(Task& task);
  void credentials_may_have_changed(Task& task);
  void events_lost();
  void end(Task& task, table::TaskState to, table::Reason reason);
  void account_for_end(Task& task, table::TaskState to, table::Reason reason);
  void erase(std::uint64_t inode);
  void set_change_due(Task& task, bool due);
  void fail_pending(Task& task, table::Reason reason);
  void schedule(Task& task, BootTime when);
  void due(Task& task, BootTime now);
  [[nodiscard]] bool still_itself(const Task& task) const;
  [[nodiscard]] table::TaskState state_of(const Task& task) const;
  [[nodiscard]] Task* find(std::uint64_t inode);
  void write_audit(const Task& task, std::string_view event, table::Reason reason);

  boost::asio::io_context& loop_;
  std::unique_ptr<table::TableWriter> table_;
  std::optional<kernel::ProcConnector> connector_;
  Watch kernel_watch_, exec_watch_, acknowledgement_watch_, ids_watch_;
  boost::asio::steady_timer ids_pause_;
  bool ids_flood_ = false;             // more than can be read: not watched, the next tick asks everybody
  std::vector<std::uint64_t> to_ask_;  // what is left of a round of ask_everybody()
  Quota& quota_;
  Audit& audit_;
  Limits limits_;
  EndedCallback ended_;
  TaskMap tasks_;
  std::unordered_map<std::uint32_t, std::uint64_t> inode_of_pid_;
  std::multimap<BootTime, std::uint64_t> deadlines_;
};

}  // namespace keyd::daemon
