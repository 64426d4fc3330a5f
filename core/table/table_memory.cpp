// Order matters to readers that run at the same time and to a writer killed in the middle:
//   binding   record first, then word, then the indexes: nobody finds a slot before it is whole;
//   changing  a record is written before the word that makes it count (COMPLETE);
//   freeing   word first, then the indexes, then the record.
#include "core/table/table_memory.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/kernel/memfd.h"

namespace keyd::table {

namespace ipc = boost::interprocess;

namespace {

// One writable table, and the changes as keyd makes them where the kernel does not.
class MappedTable {
 public:
  explicit MappedTable(void* base)
      : base_(base),
        capacity_(static_cast<const TableHeader*>(base)->capacity),
        arrays_(TableArrays::at(base, capacity_)) {}

  bool apply(table_change& change) {
    switch (change.kind) {
      case TABLE_CHANGE_LAY: return lay(change);
      case TABLE_CHANGE_BEAT:
        arrays_.header->alive_until.store(change.moment, std::memory_order_release);
        return true;
      case TABLE_CHANGE_DOWN: arrays_.header->down.store(1, std::memory_order_release); return moved();
      case TABLE_CHANGE_BIND: return bind(change) && moved();
      case TABLE_CHANGE_EXCHANGE: return exchange(change) && moved();
      case TABLE_CHANGE_TRANSITION: return transition(change) && moved();
      case TABLE_CHANGE_UPDATE:
        if (!is_bound(change) || !names_its_process(change)) return false;
        write_record(change);
        return true;
      case TABLE_CHANGE_FREE: return free(change) && moved();
      default: return false;
    }
  }

 private:
  bool moved() {
    arrays_.header->changes.fetch_add(1, std::memory_order_release);
    return true;
  }

  bool lay(const table_change& change) {
    if (arrays_.header->magic != 0) return false;
    std::memcpy(base_, change.record, sizeof(TableHeader));
    return true;
  }

  TaskSlot& slot(const table_change& change) { return arrays_.slots[change.slot]; }

  void write_record(const table_change& change) {
    TaskSlot& slot = this->slot(change);
    const std::uint64_t sequence = slot.sequence.load(std::memory_order_relaxed) | 1;
    slot.sequence.store(sequence, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < kRecordWords; ++i)
      slot.record[i].store(change.record[i], std::memory_order_relaxed);
    slot.sequence.store(sequence + 1, std::memory_order_release);
  }

  bool is_bound(const table_change& change) {
    if (change.slot >= capacity_) return false;
    const StateWord word = StateWord::unpack(slot(change).word.load(std::memory_order_relaxed));
    return word.state != TaskState::kNone && word.generation == StateWord::unpack(change.word).generation;
  }

  bool names_its_process(const table_change& change) {
    const TaskSlot& slot = this->slot(change);
    const auto pid = [](std::uint64_t word) { return word & 0xffffffff; };
    return slot.record[0].load(std::memory_order_relaxed) == change.record[0] &&
           pid(slot.record[1].load(std::memory_order_relaxed)) == pid(change.record[1]);
  }

  bool bind(table_change& change) {
    const auto record = std::bit_cast<TaskRecord>(change.record);
    const auto is_one_of = [&](std::size_t bucket, std::uint64_t key) {
      return bucket == bucket_of(key, capacity_) || bucket == second_bucket_of(key, capacity_);
    };
    StateWord word = StateWord::unpack(change.word);
    if (change.slot >= capacity_ || change.pid_entry >= capacity_ || record.inode == 0 ||
        word.state != TaskState::kNone || !is_one_of(change.slot / kBucketWidth, record.inode) ||
        !is_one_of(change.pid_entry / kBucketWidth, record.pid)) {
      return false;
    }
    if (arrays_.inode_index[change.slot].load(std::memory_order_relaxed) != 0 ||
        arrays_.pid_index[change.pid_entry].load(std::memory_order_relaxed) != 0 ||
        slot(change).word.load(std::memory_order_relaxed) != change.word) {
      return false;
    }
    slot(change).plan_deadline.store(0, std::memory_order_relaxed);
    write_record(change);
    word = {TaskState::kPending, 0, 0, word.generation + 1};
    change.word = word.pack();
    slot(change).word.store(change.word, std::memory_order_release);
    arrays_.inode_index[change.slot].store(record.inode, std::memory_order_release);
    arrays_.pid_index[change.pid_entry].store(std::uint64_t{record.pid} << 32 | (change.slot + 1),
                                              std::memory_order_release);
    arrays_.header->used.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  bool exchange(const table_change& change) {
    if (!is_bound(change) || task_exchange_is_legal(change.word, change.wanted, 1) == 0) return false;
    std::uint64_t expected = change.word;
    if ((StateWord::unpack(change.wanted).flags & kPlannedExec) != 0) {
      if (slot(change).word.load(std::memory_order_relaxed) != expected) return false;
      slot(change).plan_deadline.store(change.moment, std::memory_order_release);
    }
    return slot(change).word.compare_exchange_strong(expected, change.wanted, std::memory_order_acq_rel);
  }

  // A state that stops counting falls first, its explanation follows; one that begins to count is explained
  // first.
  bool transition(const table_change& change) {
    if (!is_bound(change) || !names_its_process(change) ||
        slot(change).word.load(std::memory_order_relaxed) != change.word) {
      return false;
    }
    const bool begins = StateWord::unpack(change.wanted).state == TaskState::kComplete;
    if (begins) write_record(change);
    if (!exchange(change)) return false;
    if (begins) {
      arrays_.header->completed.fetch_add(1, std::memory_order_relaxed);
    } else {
      write_record(change);
    }
    return true;
  }

  bool free(table_change& change) {
    if (!is_bound(change) || change.pid_entry >= capacity_ ||
        (arrays_.pid_index[change.pid_entry].load(std::memory_order_relaxed) & 0xffffffff) !=
            change.slot + 1) {
      return false;
    }
    const StateWord word = StateWord::unpack(change.word);
    slot(change).word.store(StateWord{TaskState::kNone, 0, 0, word.generation}.pack(),
                            std::memory_order_release);
    arrays_.inode_index[change.slot].store(0, std::memory_order_release);
    arrays_.pid_index[change.pid_entry].store(0, std::memory_order_release);
    std::ranges::fill(change.record, 0);
    write_record(change);
    arrays_.header->used.fetch_sub(1, std::memory_order_relaxed);
    return true;
  }

  void* base_;
  std::uint32_t capacity_;
  TableArrays arrays_;
};

}  // namespace

Result<std::unique_ptr<SealedMemfd>> SealedMemfd::create(std::size_t size) {
  auto fd = kernel::make_memfd("keyd-task-table", size);
  if (!fd) return std::unexpected(fd.error());
  ipc::mapped_region region;
  try {
    region = ipc::mapped_region(MappableDescriptor(fd->get()), ipc::read_write, 0, size);
  } catch (const ipc::interprocess_exception& e) {
    return fail(Code::kExhausted, std::string("cannot map the task table: ") + e.what());
  }
  if (auto sealed = kernel::seal_for_readers(fd->get()); !sealed) return std::unexpected(sealed.error());
  return std::unique_ptr<SealedMemfd>(new SealedMemfd(std::move(*fd), std::move(region)));
}

bool SealedMemfd::apply(table_change& change) {
  change.applied = MappedTable(data()).apply(change) ? 1 : 0;
  return change.applied != 0;
}

}  // namespace keyd::table
