// What always holds: a task in tasks_ has a bound slot, and the other way round; a task that is PENDING, or
// COMPLETE and REAUTHENTICATING, has `pending`; every living task has an entry in deadlines_.
#include "keyd/task_registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/log.h"
#include "core/table/task_terms.h"

namespace keyd::daemon {

namespace asio = boost::asio;
using table::Reason;
using table::TaskState;

TaskRegistry::TaskRegistry(asio::io_context& loop, std::unique_ptr<table::TableWriter> table,
                           std::optional<kernel::ProcConnector> connector, Quota& quota, Audit& audit,
                           Limits limits, EndedCallback ended)
    : loop_(loop),
      table_(std::move(table)),
      connector_(std::move(connector)),
      ids_pause_(loop),
      quota_(quota),
      audit_(audit),
      limits_(limits),
      ended_(std::move(ended)) {
  table_->heartbeat();
  if (const int events = table_->memory().event_descriptor(); events >= 0) {
    kernel_watch_ = std::make_unique<asio::posix::stream_descriptor>(loop_, events);
    watch_kernel();
  }
  if (connector_) {
    exec_watch_ = std::make_unique<asio::posix::stream_descriptor>(loop_, connector_->exec_descriptor());
    acknowledgement_watch_ =
        std::make_unique<asio::posix::stream_descriptor>(loop_, connector_->acknowledgement_descriptor());
    ids_watch_ = std::make_unique<asio::posix::stream_descriptor>(loop_, connector_->ids_descriptor());
    watch_execs(exec_watch_);
    watch_execs(acknowledgement_watch_);
    watch_ids();
  }
}

TaskRegistry::~TaskRegistry() {
  // The descriptors belong to somebody else: Asio must not close them.
  if (kernel_watch_) kernel_watch_->release();
  if (exec_watch_) exec_watch_->release();
  if (acknowledgement_watch_) acknowledgement_watch_->release();
  if (ids_watch_) ids_watch_->release();
}

TaskRegistry::Task* TaskRegistry::find(std::uint64_t inode) {
  const auto found = tasks_.find(inode);
  return found == tasks_.end() ? nullptr : &found->second;
}

TaskState TaskRegistry::state_of(const Task& task) const {
  const auto word = table_->state(task.handle);
  return word ? word->state : TaskState::kNone;
}

// ---- an exchange

BeginOutcome TaskRegistry::begin(kernel::PeerIdentity& peer, const ExchangeSubject& subject) {
  // Events from before this exchange (the exec that started the client) must not be taken for later ones.
  if (hear(peer.inode) != kernel::Heard::kAll) return BeginOutcome::kBusy;
  kernel::PidfdInfo info;
  if (kernel::query_pidfd(peer.pidfd.get(), info) != kernel::PidfdOutcome::kAlive || info.ids != peer.ids) {
    return BeginOutcome::kGone;
  }
  std::uint32_t exchanges = 1;
  if (Task* const task = find(peer.inode)) {
    if (task->pending) return BeginOutcome::kAlready;
    if (state_of(*task) == TaskState::kComplete) return begin_renewal(*task, subject);
    exchanges = task->exchanges + 1;
    erase(peer.inode);  // an ended record makes room for the next
  }
  if (!subject.renews.empty()) return BeginOutcome::kNotRenewed;
  // Two processes cannot have one pid: the earlier one is gone, though its pidfd has not been heard yet.
  if (const auto earlier = inode_of_pid_.find(peer.pid); earlier != inode_of_pid_.end())
    exited(earlier->second);
  return begin_first(peer, subject, exchanges);
}

BeginOutcome TaskRegistry::begin_renewal(Task& task, const ExchangeSubject& subject) {
  if (subject.renews.empty()) return BeginOutcome::kAlready;
  auto record = table_->record(task.handle);
  const bool same =
      record && task.user == subject.user && std::ranges::equal(record->session_id, bytes_of(subject.renews));
  if (!same || task.plan) return BeginOutcome::kNotRenewed;
  auto charge = quota_.take(Resource::kPending, task.peer.ids.euid);
  if (!charge) return BeginOutcome::kFull;
  ++record->exchanges;
  if (!table_->update(task.handle, *record) ||
      !table_->set_flags(task.handle, TaskState::kComplete,
                         task.standing_flags() | table::kReauthenticating)) {
    return BeginOutcome::kGone;
  }
  task.exchanges = record->exchanges;
  task.pending_charge = std::move(*charge);
  task.pending = subject;
  task.pending_deadline = boot_now() + limits_.pending_deadline;
  schedule(task, std::min(task.pending_deadline, task.expires));
  return BeginOutcome::kPending;
}

BeginOutcome TaskRegistry::begin_first(kernel::PeerIdentity& peer, const ExchangeSubject& subject,
                                       std::uint32_t exchanges) {
  auto record_charge = quota_.take(Resource::kRecord, peer.ids.euid);
  auto pending_charge = quota_.take(Resource::kPending, peer.ids.euid);
  if (!record_charge || !pending_charge) return BeginOutcome::kFull;
  table::TaskRecord record;
  record.inode = peer.inode;
  record.pid = peer.pid;
  record.uid = peer.ids.euid;
  record.gid = peer.ids.egid;
  record.scheme = subject.scheme;
  record.suite = subject.suite;
  record.tier = table_->tier();
  record.reason = Reason::kExchange;
  record.pending_since = boot_now();
  record.exchanges = exchanges;
  std::ranges::copy(bytes_of(subject.session_id), record.session_id.begin());
  record.user_size = static_cast<std::uint8_t>(subject.user.size());
  std::ranges::copy(subject.user, record.user.begin());
  const std::uint64_t inode = peer.inode;
  Task& task = tasks_[inode];
  const auto handle = table_->bind(record, quota_.account_of(record.uid), peer.ids);
  if (!handle) {
    tasks_.erase(inode);
    return BeginOutcome::kFull;
  }
  task.handle = *handle;
  task.peer = std::move(peer);
  try {
    task.user = subject.user;
    task.record_charge = std::move(*record_charge);
    task.pending_charge = std::move(*pending_charge);
    task.pending = subject;
    task.exchanges = exchanges;
    task.pending_deadline = record.pending_since + limits_.pending_deadline;
    inode_of_pid_[task.peer.pid] = inode;
    watch_exit(task);
    schedule(task, task.pending_deadline);
    write_audit(task, "exchange.pending", Reason::kNone);
  } catch (...) {  // out of memory, or of what epoll may watch: no slot stays behind
    erase(inode);
    throw;
  }
  // No hook has seen an exit between the caller's question and the record.
  if (kernel::has_exited(task.peer.pidfd.get())) {
    exited(inode);
    return BeginOutcome::kGone;
  }
  return BeginOutcome::kPending;
}

CompleteOutcome TaskRegistry::complete(std::uint64_t inode, std::string session_id) {
  const kernel::Heard heard = hear(inode);
  Task* const task = find(inode);
  if (task == nullptr) return CompleteOutcome::kChanged;
  // A renewal whose deadline has passed has left COMPLETE behind; and another exchange may have begun since.
  if (!task->pending || task->pending->session_id != session_id) {
    return state_of(*task) == TaskState::kComplete ? CompleteOutcome::kDeadline : CompleteOutcome::kChanged;
  }
  if (task->pending_deadline <= boot_now()) {
    fail_pending(*task, Reason::kDeadline);
    return CompleteOutcome::kDeadline;
  }
  if (!still_itself(*task)) {
    revoke(inode, Reason::kCredentialsChanged);
    return CompleteOutcome::kChanged;
  }
  if (heard != kernel::Heard::kAll) return CompleteOutcome::kBusy;
  const TaskState before = state_of(*task);
  auto record = table_->record(task->handle);
  const BootTime now = boot_now();
  if (!record) return CompleteOutcome::kChanged;
  const ExchangeSubject& subject = *task->pending;
  record->complete_since = now;
  record->expires = now + limits_.lifetime;
  record->scheme = subject.scheme;
  record->suite = subject.suite;
  record->epoch = 0;
  std::ranges::copy(bytes_of(subject.session_id), record->session_id.begin());
  // A refused transition means that something else ended the record in between: the exchange has failed.
  if (!table_->complete(task->handle, before, *record)) return CompleteOutcome::kChanged;
  task->expires = record->expires;
  task->pending.reset();
  task->pending_charge = Charge();
  if (task->change_due) (void)table_->set_flags(task->handle, TaskState::kComplete, task->standing_flags());
  schedule(*task, task->expires);
  write_audit(*task, before == TaskState::kPending ? "exchange.complete" : "exchange.renewed", Reason::kNone);
  return CompleteOutcome::kComplete;
}

void TaskRegistry::fail(std::uint64_t inode, std::string_view session_id, Reason reason) {
  Task* const task = find(inode);
  if (task != nullptr && task->pending && task->pending->session_id == session_id)
    fail_pending(*task, reason);
}

void TaskRegistry::fail_pending(Task& task, Reason reason) {
  if (state_of(task) == TaskState::kPending) {
    end(task, TaskState::kFailed, reason);
    return;
  }
  // A renewal that failed leaves the session as it was.
  write_audit(task, "exchange.renewal-failed", reason);
  (void)table_->set_flags(task.handle, TaskState::kComplete, task.standing_flags());
  task.pending.reset();
  task.pending_charge = Charge();
  schedule(task, task.expires);
}

// ---- a session

bool TaskRegistry::still_itself(const Task& task) const {
  kernel::PidfdInfo now;
  return kernel::query_pidfd(task.peer.pidfd.get(), now) == kernel::PidfdOutcome::kAlive &&
         now.ids == task.peer.ids;
}

ConfirmOutcome TaskRegistry::confirm(std::uint64_t inode, std::string session_id) {
  const kernel::Heard heard = hear(inode);
  Task* const task = find(inode);
  if (task == nullptr || state_of(*task) != TaskState::kComplete) return ConfirmOutcome::kOver;
  if (task->expires <= boot_now()) {
    end(*task, TaskState::kExpired, Reason::kLifetime);
    return ConfirmOutcome::kOver;
  }
  if (!still_itself(*task)) {
    end(*task, TaskState::kRevoked, Reason::kCredentialsChanged);
    return ConfirmOutcome::kOver;
  }
  const auto record = table_->record(task->handle);
  if (!record || !std::ranges::equal(record->session_id, bytes_of(session_id))) return ConfirmOutcome::kOver;
  return heard == kernel::Heard::kAll ? ConfirmOutcome::kConfirmed : ConfirmOutcome::kBusy;
}

void TaskRegistry::connection_closed(std::uint64_t inode, bool had_session) {
  (void)hear(inode);
  Task* const task = find(inode);
  if (task == nullptr) return;
  if (task->plan && sees_execs()) return;  // the plan's deadline judges it
  if (kernel::has_exited(task->peer.pidfd.get())) {
    exited(inode);
    return;
  }
  if (!had_session && state_of(*task) == TaskState::kComplete) {
    if (task->pending) fail_pending(*task, Reason::kConnectionClosed);
    return;
  }
  revoke(inode, Reason::kConnectionClosed);
}

void TaskRegistry::set_change_due(std::uint64_t inode, bool due) {
  if (Task* const task = find(inode)) set_change_due(*task, due);
}

void TaskRegistry::set_change_due_of_user(const std::string& user, bool due) {
  for (auto& [inode, task] : tasks_)
    if (task.user == user) set_change_due(task, due);
}

void TaskRegistry::set_change_due(Task& task, bool due) {
  if (task.change_due == due) return;
  task.change_due = due;
  // The flag of a plan is the kernel's to consume; this one shows again when it is done with.
  if (task.plan || state_of(task) != TaskState::kComplete) return;
  const std::uint8_t renewed = task.pending ? table::kReauthenticating : 0;
  (void)table_->set_flags(task.handle, TaskState::kComplete, task.standing_flags() | renewed);
}

void TaskRegistry::count_record(std::uint64_t inode, std::size_t octets) {
  Task* const task = find(inode);
  if (task == nullptr) return;
  if (auto record = table_->record(task->handle)) {
    ++record->records;
    record->octets += octets;
    (void)table_->update(task->handle, *record);
  }
}

void TaskRegistry::set_epoch(std::uint64_t inode, std::uint32_t epoch) {
  Task* const task = find(inode);
  if (task == nullptr) return;
  if (auto record = table_->record(task->handle)) {
    record->epoch = epoch;
    (void)table_->update(task->handle, *record);
  }
}

std::optional<table::TaskView> TaskRegistry::look_up(std::uint64_t inode) const {
  const auto found = tasks_.find(inode);
  if (found == tasks_.end()) return std::nullopt;
  const auto word = table_->state(found->second.handle);
  const auto record = table_->record(found->second.handle);
  if (!word || !record) return std::nullopt;
  return table::TaskView{*word, *record};
}

// ---- endings

void TaskRegistry::end(Task& task, TaskState to, Reason reason) {
  const TaskState from = state_of(task);
  if (!table_->transition(task.handle, from, to, 0, reason)) return;
  account_for_end(task, to, reason);
}

// What follows on the end of a record, whoever has ended it.
void TaskRegistry::account_for_end(Task& task, TaskState to, Reason reason) {
  task.counts = false;
  write_audit(task, to == TaskState::kFailed ? "exchange.failed" : "record.ended", reason);
  task.pending.reset();
  task.pending_charge = Charge();
  task.plan.reset();
  schedule(task, boot_now() + limits_.linger);
  ended_(task.peer.inode, reason);
}

void TaskRegistry::revoke(std::uint64_t inode, Reason reason) {
  Task* const task = find(inode);
  if (task == nullptr) return;
  const TaskState state = state_of(*task);
  if (state == TaskState::kPending || state == TaskState::kComplete) end(*task, TaskState::kRevoked, reason);
}

std::uint32_t TaskRegistry::revoke_process(std::uint32_t pid, std::uint64_t inode) {
  if (pid != 0) {
    const auto found = inode_of_pid_.find(pid);
    if (found == inode_of_pid_.end() || (inode != 0 && found->second != inode)) return 0;
    inode = found->second;
  }
  Task* const task = find(inode);
  if (task == nullptr) return 0;
  const TaskState state = state_of(*task);
  if (state != TaskState::kPending && state != TaskState::kComplete) return 0;
  end(*task, TaskState::kRevoked, Reason::kAdministrator);
  return 1;
}

std::uint32_t TaskRegistry::revoke_user(const std::string& user) {
  std::vector<std::uint64_t> theirs;
  for (const auto& [inode, task] : tasks_) {
    if (task.user == user) theirs.push_back(inode);
  }
  std::uint32_t count = 0;
  for (const std::uint64_t inode : theirs) count += revoke_process(0, inode);
  return count;
}

void TaskRegistry::erase(std::uint64_t inode) {
  const auto found = tasks_.find(inode);
  if (found == tasks_.end()) return;
  Task& task = found->second;
  if (!table_->free(task.handle)) log::error("a slot of the task table could not be freed");
  if (const auto pid = inode_of_pid_.find(task.peer.pid);
      pid != inode_of_pid_.end() && pid->second == inode) {
    inode_of_pid_.erase(pid);
  }
  schedule(task, 0);
  tasks_.erase(found);
}

void TaskRegistry::exited(std::uint64_t inode) {
  Task* const task = find(inode);
  if (task == nullptr) return;
  if (task->counts) {
    audit_.write({.event = "process.exited",
                  .user = task->user,
                  .uid = task->peer.ids.euid,
                  .pid = task->peer.pid,
                  .inode = inode,
                  .scheme = {},
                  .suite = {},
                  .session = {},
                  .reason = {},
                  .object = {}});
  }
  erase(inode);
  ended_(inode, Reason::kNone);
}

void TaskRegistry::shut_down() {
  table_->mark_down();
  for (auto& [inode, task] : tasks_) {
    const TaskState state = state_of(task);
    if (state == TaskState::kPending || state == TaskState::kComplete) {
      (void)table_->transition(task.handle, state, TaskState::kRevoked, 0, Reason::kShutdown);
    }
  }
}

// ---- time

void TaskRegistry::schedule(Task& task, BootTime when) {
  if (task.deadline != 0) {
    const auto [first, last] = deadlines_.equal_range(task.deadline);
    for (auto it = first; it != last; ++it) {
      if (it->second == task.peer.inode) {
        deadlines_.erase(it);
        break;
      }
    }
  }
  task.deadline = when;
  if (when != 0) deadlines_.emplace(when, task.peer.inode);
}

void TaskRegistry::due(Task& task, BootTime now) {
  const std::uint64_t inode = task.peer.inode;
  const bool counted = task.counts;
  follow(task);
  if (find(inode) == nullptr || counted != task.counts) return;
  switch (state_of(task)) {
    case TaskState::kPending: end(task, TaskState::kFailed, Reason::kDeadline); return;
    case TaskState::kComplete: break;
    default: erase(inode); return;  // it has lingered long enough
  }
  if (task.expires <= now) {
    end(task, TaskState::kExpired, Reason::kLifetime);
  } else if (task.pending && task.pending_deadline <= now) {
    fail_pending(task, Reason::kDeadline);
  } else if (task.plan && task.plan->deadline <= now) {
    // Where nobody would see a second exec, the record cannot stand without its channel.
    if (!sees_execs() || !task.plan->exec_seen) {
      end(task, TaskState::kRevoked, Reason::kPlanExpired);
      return;
    }
    task.plan.reset();
    if (task.change_due) (void)table_->set_flags(task.handle, TaskState::kComplete, task.standing_flags());
    schedule(task, task.expires);
    write_audit(task, "exec.not-adopted", Reason::kNone);
    ended_(inode, Reason::kPlanExpired);
  } else {
    schedule(task, task.expires);
  }
}

void TaskRegistry::tick() {
  table_->heartbeat();  // first: whatever floods the connector, the table does not go stale
  if (connector_) {
    if (!connector_->probe()) events_lost();
    (void)drain_execs();
    if (ids_flood_) drain_ids();
  }
  if (kernel_watch_ && to_ask_.empty()) {
    to_ask_.reserve(tasks_.size());
    for (const auto& [inode, task] : tasks_) to_ask_.push_back(inode);
    ask_everybody();
  }
  const BootTime now = boot_now();
  std::vector<std::uint64_t> overdue;
  for (auto it = deadlines_.begin(); it != deadlines_.end() && it->first <= now; ++it)
    overdue.push_back(it->second);
  for (const std::uint64_t inode : overdue) {
    if (Task* const task = find(inode)) due(*task, now);
  }
}

void TaskRegistry::write_audit(const Task& task, std::string_view event, Reason reason) {
  const auto record = table_->record(task.handle);
  AuditEvent line;
  line.event = event;
  line.user = task.user;
  line.uid = task.peer.ids.euid;
  line.pid = task.peer.pid;
  line.inode = task.peer.inode;
  if (record) {
    line.scheme = table::name_of(record->scheme);
    line.suite = table::name_of(record->suite);
    line.session = to_hex(record->session_id);
  }
  if (reason != Reason::kNone) line.reason = table::name_of(reason);
  audit_.write(line);
}

}  // namespace keyd::daemon
