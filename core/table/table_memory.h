// Where the table's memory comes from, and who can write it: a sealed memfd that keyd alone has mapped
// writable, or, in the tier `kernel`, a frozen BPF array (core/table/bpf_table.h) that nobody has.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/error.h"
#include "core/base/unique_fd.h"
#include "core/table/table_change.h"
#include "core/table/task_table_layout.h"

namespace keyd::table {

// The transitions that exist (docs/architecture.md has them as a drawing).
[[nodiscard]] constexpr bool is_legal(TaskState from, TaskState to) {
  return task_transition_is_legal(static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to)) != 0;
}

class TableMemory {
 public:
  virtual ~TableMemory() = default;
  // The table as everybody reads it: size() octets, zero at first.
  [[nodiscard]] virtual const void* view() const = 0;
  [[nodiscard]] virtual std::size_t size() const = 0;
  // What readers are given: nobody can write through it, nor through anything made from it.
  [[nodiscard]] virtual int reader_descriptor() const = 0;

  // Makes the change if it is a legal one. False, with the states and indexes as they were, when it is not, or
  // when the word is not `change.word` any more. Not for two threads at once.
  [[nodiscard]] virtual bool apply(table_change& change) = 0;

  // What the kernel does to records by itself, if anything. The descriptor is readable when it has; -1: it
  // never does.
  [[nodiscard]] virtual int event_descriptor() const { return -1; }
  // Appends the slots it has changed since the last call, as far as they are remembered.
  virtual void take_events(std::vector<std::uint32_t>&) {}
  // True when the kernel itself marks the table down at keyd's death.
  [[nodiscard]] virtual bool kernel_keeps_down() const { return false; }
  // False once what keeps others from writing is gone: then nothing in the table can be trusted any more.
  [[nodiscard]] virtual bool is_protected() const { return true; }
};

// A descriptor in the shape that Boost.Interprocess maps from.
class MappableDescriptor {
 public:
  explicit MappableDescriptor(int fd) : fd_(fd) {}
  [[nodiscard]] boost::interprocess::mapping_handle_t get_mapping_handle() const { return {fd_, false}; }

 private:
  int fd_;
};

// A memfd sealed with F_SEAL_SHRINK, GROW, FUTURE_WRITE and SEAL after the one writable mapping was made.
class SealedMemfd final : public TableMemory {
 public:
  [[nodiscard]] static Result<std::unique_ptr<SealedMemfd>> create(std::size_t size);

  [[nodiscard]] const void* view() const override { return region_.get_address(); }
  [[nodiscard]] std::size_t size() const override { return region_.get_size(); }
  [[nodiscard]] int reader_descriptor() const override { return fd_.get(); }
  [[nodiscard]] bool apply(table_change& change) override;

  // The one writable mapping.
  [[nodiscard]] void* data() { return region_.get_address(); }

 private:
  SealedMemfd(UniqueFd fd, boost::interprocess::mapped_region region)
      : fd_(std::move(fd)), region_(std::move(region)) {}
  UniqueFd fd_;
  boost::interprocess::mapped_region region_;
};

// The numbers that the kernel's programs use are those of the layout.
static_assert(TASK_TABLE_SLOT_SIZE == sizeof(TaskSlot) && TASK_TABLE_RECORD_WORDS == kRecordWords);
static_assert(TASK_TABLE_HEADER_WORDS * 8 == sizeof(TableHeader) &&
              sizeof(TaskSlot) == 3 * TASK_TABLE_LINE_SIZE);
static_assert(offsetof(TableHeader, changes) == TASK_TABLE_LINE_SIZE + 8 * TASK_TABLE_CHANGES);
static_assert(offsetof(TableHeader, completed) == TASK_TABLE_LINE_SIZE + 8 * TASK_TABLE_COMPLETED);
static_assert(offsetof(TableHeader, down) == TASK_TABLE_LINE_SIZE + 8 * TASK_TABLE_DOWN);
static_assert(offsetof(TableHeader, keyd_inode) == 8 * 4 && offsetof(TableHeader, alive_until) == 8 * 6 &&
              offsetof(TableHeader, used) == 8 * 7);
static_assert(TASK_STATE_NONE == static_cast<int>(TaskState::kNone) &&
              TASK_STATE_PENDING == static_cast<int>(TaskState::kPending) &&
              TASK_STATE_COMPLETE == static_cast<int>(TaskState::kComplete) &&
              TASK_STATE_EXPIRED == static_cast<int>(TaskState::kExpired) &&
              TASK_STATE_REVOKED == static_cast<int>(TaskState::kRevoked) &&
              TASK_STATE_FAILED == static_cast<int>(TaskState::kFailed));
static_assert(TASK_FLAG_PLANNED_EXEC == kPlannedExec && TASK_FLAG_EXECUTING == kExecuting &&
              TASK_FLAG_ENDED_BY_EXEC == kEndedByExec && TASK_FLAG_ENDED_BY_EXIT == kEndedByExit &&
              TASK_FLAG_ENDED_BY_CREDENTIALS == kEndedByCredentials);

}  // namespace keyd::table
