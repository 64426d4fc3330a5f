// Order matters to readers that run at the same time and to a writer killed in the middle:
//   binding   record first, then word, then the indexes: nobody finds a slot before it is whole;
//   changing  a record is written before the word that makes it count (COMPLETE);
//   freeing   word first, then the indexes, then the record.
#include "core/table/table_writer.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <limits>

#include "core/kernel/namespaces.h"
#include "core/table/task_terms.h"

namespace keyd::table {
namespace {

constexpr std::uint8_t mask(std::initializer_list<TaskState> states) {
  std::uint8_t bits = 0;
  for (const TaskState state : states) bits |= static_cast<std::uint8_t>(1u << static_cast<unsigned>(state));
  return bits;
}

using enum TaskState;
// Row: from. COMPLETE is reached from PENDING alone, or from itself by a re-authentication. A record that has
// ended never lives again: the next exchange of its process binds a new one.
constexpr std::array<std::uint8_t, 6> kLegal{
    mask({kPending}),                              // NONE: bind
    mask({kComplete, kFailed, kRevoked, kNone}),   // PENDING
    mask({kComplete, kExpired, kRevoked, kNone}),  // COMPLETE
    mask({kNone}),                                 // EXPIRED
    mask({kNone}),                                 // REVOKED
    mask({kNone}),                                 // FAILED
};

// A free entry in the key's bucket, or nothing when it is full.
std::optional<std::size_t> free_entry(const std::atomic<std::uint64_t>* index, std::size_t bucket) {
  for (std::size_t i = bucket * kBucketWidth; i < (bucket + 1) * kBucketWidth; ++i) {
    if (index[i].load(std::memory_order_relaxed) == 0) return i;
  }
  return std::nullopt;
}

}  // namespace

bool is_legal(TaskState from, TaskState to) {
  const auto row = static_cast<std::size_t>(from), column = static_cast<std::size_t>(to);
  return row < kLegal.size() && column < kLegal.size() && (kLegal[row] >> column & 1) != 0;
}

TableWriter::TableWriter(std::unique_ptr<TableMemory> memory, std::uint32_t capacity, Tier tier,
                         std::uint64_t keyd_inode)
    : memory_(std::move(memory)), capacity_(capacity), arrays_(TableArrays::at(memory_->data(), capacity)) {
  if (!std::has_single_bit(capacity) || capacity < kBucketWidth || memory_->size() < table_size(capacity))
    std::abort();
  TableHeader& header = *arrays_.header;
  const auto namespaces = kernel::own_namespaces();
  header.version = kLayoutVersion;
  header.capacity = capacity;
  header.pid_namespace = namespaces.pid;
  header.user_namespace = namespaces.user;
  header.keyd_inode = keyd_inode;
  header.keyd_pid = static_cast<std::uint32_t>(::getpid());
  header.tier = tier;
  header.strength = strength_of(tier);
  header.magic = kMagic;
}

void TableWriter::heartbeat(std::uint64_t validity) {
  arrays_.header->alive_until.store(boot_now() + validity, std::memory_order_release);
}

void TableWriter::mark_down() { arrays_.header->alive_until.store(0, std::memory_order_release); }

void TableWriter::changed() {
  arrays_.header->changes.fetch_add(1, std::memory_order_release);
  // Readers wait on the counter's low half (little-endian), which a read-only mapping is enough for.
  ::syscall(SYS_futex, &arrays_.header->changes, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr,
            nullptr, 0);
}

bool TableWriter::is_current(TaskHandle handle) const {
  if (handle.slot >= capacity_) return false;
  const StateWord word = StateWord::unpack(arrays_.slots[handle.slot].word.load(std::memory_order_relaxed));
  return word.generation == handle.generation && word.state != kNone;
}

void TableWriter::write_record(TaskSlot& slot, const TaskRecord& record) {
  const std::uint64_t sequence = slot.sequence.load(std::memory_order_relaxed);
  slot.sequence.store(sequence + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  const auto words = std::bit_cast<std::array<std::uint64_t, kRecordWords>>(record);
  for (std::size_t i = 0; i < kRecordWords; ++i) slot.record[i].store(words[i], std::memory_order_relaxed);
  slot.sequence.store(sequence + 2, std::memory_order_release);
}

Result<TaskHandle> TableWriter::bind(const TaskRecord& record) {
  const std::size_t inode_bucket = bucket_of(record.inode, capacity_);
  for (std::size_t i = inode_bucket * kBucketWidth; i < (inode_bucket + 1) * kBucketWidth; ++i) {
    if (arrays_.inode_index[i].load(std::memory_order_relaxed) == record.inode) {
      return fail(Code::kRefused, "the process has a record already");
    }
  }
  const auto slot = free_entry(arrays_.inode_index, inode_bucket);
  const auto pid_entry = free_entry(arrays_.pid_index, bucket_of(record.pid, capacity_));
  if (!slot || !pid_entry) return fail(Code::kExhausted, "the task table is full");

  TaskSlot& taken = arrays_.slots[*slot];
  StateWord word = StateWord::unpack(taken.word.load(std::memory_order_relaxed));
  write_record(taken, record);
  word = {kPending, 0, word.generation + 1};
  taken.word.store(word.pack(), std::memory_order_release);
  arrays_.inode_index[*slot].store(record.inode, std::memory_order_release);
  arrays_.pid_index[*pid_entry].store(std::uint64_t{record.pid} << 32 | (*slot + 1),
                                      std::memory_order_release);
  arrays_.header->used.fetch_add(1, std::memory_order_relaxed);
  changed();
  return TaskHandle{static_cast<std::uint32_t>(*slot), word.generation};
}

bool TableWriter::transition(TaskHandle handle, TaskState from, TaskState to, std::uint8_t flags,
                             Reason reason) {
  if (!is_current(handle) || to == kNone || !is_legal(from, to)) return false;
  TaskSlot& slot = arrays_.slots[handle.slot];
  std::uint64_t expected = slot.word.load(std::memory_order_relaxed);
  if (StateWord::unpack(expected).state != from) return false;
  // A state that stops counting falls first, its explanation follows; one that begins to count is explained
  // first.
  auto explained = record(handle);
  if (!explained) return false;
  explained->reason = reason;
  const std::uint64_t wanted = StateWord{to, flags, handle.generation}.pack();
  if (to == kComplete) write_record(slot, *explained);
  if (!slot.word.compare_exchange_strong(expected, wanted, std::memory_order_acq_rel)) return false;
  if (to != kComplete) write_record(slot, *explained);
  changed();
  return true;
}

bool TableWriter::set_flags(TaskHandle handle, TaskState state, std::uint8_t flags) {
  if (!is_current(handle)) return false;
  TaskSlot& slot = arrays_.slots[handle.slot];
  std::uint64_t expected = slot.word.load(std::memory_order_relaxed);
  if (StateWord::unpack(expected).state != state) return false;
  if (!slot.word.compare_exchange_strong(expected, StateWord{state, flags, handle.generation}.pack(),
                                         std::memory_order_acq_rel)) {
    return false;
  }
  changed();
  return true;
}

bool TableWriter::update(TaskHandle handle, const TaskRecord& record) {
  if (!is_current(handle)) return false;
  if (arrays_.inode_index[handle.slot].load(std::memory_order_relaxed) != record.inode) return false;
  if (this->record(handle)->pid != record.pid) return false;  // free() finds the index entry by it
  write_record(arrays_.slots[handle.slot], record);
  return true;
}

bool TableWriter::free(TaskHandle handle) {
  if (!is_current(handle)) return false;
  TaskSlot& slot = arrays_.slots[handle.slot];
  const auto last = record(handle);
  slot.word.store(StateWord{kNone, 0, handle.generation}.pack(), std::memory_order_release);
  arrays_.inode_index[handle.slot].store(0, std::memory_order_release);
  if (last) {
    const std::size_t bucket = bucket_of(last->pid, capacity_);
    const std::uint64_t entry = std::uint64_t{last->pid} << 32 | (handle.slot + 1);
    for (std::size_t i = bucket * kBucketWidth; i < (bucket + 1) * kBucketWidth; ++i) {
      if (arrays_.pid_index[i].load(std::memory_order_relaxed) == entry) {
        arrays_.pid_index[i].store(0, std::memory_order_release);
      }
    }
  }
  write_record(slot, TaskRecord{});
  arrays_.header->used.fetch_sub(1, std::memory_order_relaxed);
  changed();
  return true;
}

std::optional<StateWord> TableWriter::state(TaskHandle handle) const {
  if (!is_current(handle)) return std::nullopt;
  return StateWord::unpack(arrays_.slots[handle.slot].word.load(std::memory_order_relaxed));
}

std::optional<TaskRecord> TableWriter::record(TaskHandle handle) const {
  if (!is_current(handle)) return std::nullopt;
  std::array<std::uint64_t, kRecordWords> words;
  for (std::size_t i = 0; i < kRecordWords; ++i) {
    words[i] = arrays_.slots[handle.slot].record[i].load(std::memory_order_relaxed);
  }
  return std::bit_cast<TaskRecord>(words);
}

}  // namespace keyd::table
