// The part of the task registry that listens to the kernel: exits, execs and changes of credentials, and the
// one exec that was planned. Exits come by pidfd in every tier. In tier `kernel` the kernel has ended the record
// before anybody hears of it; in tier `watch` the process connector tells, and the record is ended here.
#include <boost/asio/post.hpp>

#include "core/base/log.h"
#include "core/kernel/task_capabilities.h"
#include "keyd/task_registry.h"

namespace keyd::daemon {

namespace asio = boost::asio;
using table::Reason;
using table::TaskState;

namespace {
constexpr std::chrono::milliseconds kIdsPause{5};
// Each takes 2 ms at most. What two other keyds of the machine say when they begin is 8, if it was not heard meanwhile.
constexpr int kLooks = 8;
}  // namespace

void TaskRegistry::watch_exit(Task& task) {
  task.exit_watch.reset(new asio::posix::stream_descriptor(loop_, task.peer.pidfd.get()));
  listen_for_exit(task);
}

// Asio reuses what it knows of a descriptor: a readiness of the one before, taken from the kernel in the same look
// in which that one was let go of, can wake the wait for this one. So the pidfd itself has the last word.
void TaskRegistry::listen_for_exit(Task& task) {
  const std::uint64_t inode = task.peer.inode;
  task.exit_watch->async_wait(asio::posix::stream_descriptor::wait_read,
                              [this, inode](boost::system::error_code ec) {
                                if (ec) return;
                                (void)hear(inode);  // what came before its exit is told first
                                Task* const woken = find(inode);
                                if (woken == nullptr) return;
                                if (kernel::has_exited(woken->peer.pidfd.get())) {
                                  exited(inode);
                                } else {
                                  listen_for_exit(*woken);
                                }
                              });
}

// ---- tier `kernel`: the kernel has changed records, the books follow

void TaskRegistry::watch_kernel() {
  kernel_watch_->async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
    if (ec) return;
    follow_kernel();
    watch_kernel();
  });
}

void TaskRegistry::follow_kernel() {
  std::vector<std::uint32_t> slots;
  table_->memory().take_events(slots);
  for (const std::uint32_t slot : slots) {
    if (Task* const task = find(table_->inode_at(slot))) follow(*task);
  }
  if (!slots.empty()) table_->wake();
}

void TaskRegistry::follow(Task& task) {
  const auto word = table_->state(task.handle);
  if (!kernel_watch_ || !word || !task.counts) return;
  if ((word->flags & table::kEndedByExit) != 0) {
    exited(task.peer.inode);
  } else if ((word->flags & (table::kEndedByExec | table::kEndedByCredentials)) != 0) {
    const Reason reason =
        (word->flags & table::kEndedByExec) != 0 ? Reason::kExec : Reason::kCredentialsChanged;
    if (auto record = table_->record(task.handle)) {
      record->reason = reason;
      (void)table_->update(task.handle, *record);
    }
    account_for_end(task, TaskState::kRevoked, reason);
  } else if (word->exec_generation != task.exec_generation) {
    task.exec_generation = word->exec_generation;
    if (task.plan) task.plan->exec_seen = true;
    write_audit(task, "exec.done", Reason::kNone);
  }
}

// Every process is asked for its ids, in slices: the kernel tells of a change only where every system call is
// watched. What it has done and its events had no room for is found here as well.
void TaskRegistry::ask_everybody() {
  constexpr std::size_t kAtOnce = 64;
  for (std::size_t i = 0; i < kAtOnce && !to_ask_.empty(); ++i) {
    const std::uint64_t inode = to_ask_.back();
    to_ask_.pop_back();
    if (Task* const task = find(inode)) follow(*task);
    if (Task* const task = find(inode)) credentials_may_have_changed(*task);
  }
  if (!to_ask_.empty()) asio::post(loop_, [this] { ask_everybody(); });
}

kernel::Heard TaskRegistry::hear(std::uint64_t inode) {
  if (kernel_watch_) follow_kernel();
  kernel::Heard heard = drain_execs();
  for (int looks = 1; heard == kernel::Heard::kSome && looks < kLooks; ++looks) heard = drain_execs();
  // Its event may have found no room.
  if (Task* const task = find(inode)) follow(*task);
  return heard;
}

// ---- tier `watch`

void TaskRegistry::watch_execs(Watch& watch) {
  watch->async_wait(asio::posix::stream_descriptor::wait_read, [this, &watch](boost::system::error_code ec) {
    if (ec) return;
    (void)drain_execs();
    watch_execs(watch);  // what was left makes it readable at once, behind others' turns
  });
}

kernel::Heard TaskRegistry::drain_execs() {
  if (!connector_) return kernel::Heard::kAll;
  std::vector<std::uint32_t> tgids;
  const kernel::Heard heard = connector_->drain_execs(tgids);
  for (const std::uint32_t tgid : tgids) {
    const auto inode = inode_of_pid_.find(tgid);
    if (inode == inode_of_pid_.end()) continue;
    if (Task* const task = find(inode->second)) executed(*task);
  }
  if (heard == kernel::Heard::kLost) events_lost();
  return heard;
}

void TaskRegistry::watch_ids() {
  ids_watch_->async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
    if (!ec) drain_ids();
  });
}

// Whoever has two uids can change between them a million times a second. Changes are taken in one go after a
// pause; when they are too many to be read, the processes themselves are asked, at every tick. What is given
// to a process does not wait for this: confirm() asks it each time.
void TaskRegistry::drain_ids() {
  std::vector<std::uint32_t> tgids;
  ids_flood_ = !connector_->drain_ids(tgids);
  std::vector<std::uint64_t> concerned;
  if (ids_flood_) {
    for (const auto& [inode, task] : tasks_) concerned.push_back(inode);
  } else {
    for (const std::uint32_t tgid : tgids) {
      if (const auto inode = inode_of_pid_.find(tgid); inode != inode_of_pid_.end())
        concerned.push_back(inode->second);
    }
  }
  for (const std::uint64_t inode : concerned) {
    if (Task* const task = find(inode)) credentials_may_have_changed(*task);
  }
  if (ids_flood_) return;
  ids_pause_.expires_after(kIdsPause);
  ids_pause_.async_wait([this](boost::system::error_code ec) {
    if (!ec) watch_ids();
  });
}

void TaskRegistry::executed(Task& task) {
  const TaskState state = state_of(task);
  if (state != TaskState::kPending && state != TaskState::kComplete) return;
  const auto no_more_powerful = [&task] {
    // The same ids and no new capability: a set-uid or otherwise privileged image is none that was planned
    // for.
    const auto now = kernel::permitted_capabilities(task.peer.pidfd.get(), task.peer.pid);
    return now && task.plan->capabilities && (*now & ~*task.plan->capabilities) == 0;
  };
  const bool planned = task.plan && !task.plan->exec_seen && boot_now() < task.plan->deadline &&
                       still_itself(task) && no_more_powerful();
  if (!planned) {
    end(task, TaskState::kRevoked, Reason::kExec);
    return;
  }
  task.plan->exec_seen = true;
  (void)table_->count_exec(task.handle);
  write_audit(task, "exec.done", Reason::kNone);
}

void TaskRegistry::credentials_may_have_changed(Task& task) {
  const TaskState state = state_of(task);
  if (state != TaskState::kPending && state != TaskState::kComplete) return;
  if (!still_itself(task)) end(task, TaskState::kRevoked, Reason::kCredentialsChanged);
}

void TaskRegistry::events_lost() {
  std::vector<std::uint64_t> living;
  for (const auto& [inode, task] : tasks_) {
    const TaskState state = state_of(task);
    if (state == TaskState::kPending || state == TaskState::kComplete) living.push_back(inode);
  }
  if (living.empty()) return;
  log::warn(
      "process events were lost, or somebody has silenced the process connector: every record is revoked, "
      "for nobody can say what its process executes now");
  for (const std::uint64_t inode : living) revoke(inode, Reason::kWatchLost);
}

// ---- the planned exec

bool TaskRegistry::plan_exec(std::uint64_t inode) {
  Task* const task = find(inode);
  if (task == nullptr || task->pending) return false;
  Plan plan;
  plan.deadline = boot_now() + limits_.plan_deadline;
  if (connector_) plan.capabilities = kernel::permitted_capabilities(task->peer.pidfd.get(), task->peer.pid);
  if (!table_->plan_exec(task->handle, plan.deadline)) return false;
  task->plan = plan;
  schedule(*task, std::min(plan.deadline, task->expires));
  write_audit(*task, "exec.planned", Reason::kNone);
  return true;
}

void TaskRegistry::adopted(std::uint64_t inode) {
  (void)hear(inode);
  Task* const task = find(inode);
  if (task == nullptr || !task->plan) return;
  task->plan.reset();
  if (sees_execs()) {
    (void)table_->set_flags(task->handle, TaskState::kComplete, task->standing_flags());
  } else {  // this tier sees no execs: the adoption is the sign of it
    (void)table_->count_exec(task->handle);
    if (task->change_due) (void)table_->set_flags(task->handle, TaskState::kComplete, task->standing_flags());
  }
  schedule(*task, task->expires);
  write_audit(*task, "exec.adopted", Reason::kNone);
}

}  // namespace keyd::daemon
