// Order matters to readers that run at the same time and to a writer killed in the middle:
//   binding   record first, then word, then the indexes: nobody finds a slot before it is whole;
//   changing  a record is written before the word that makes it count (COMPLETE);
//   freeing   word first, then the indexes, then the record.
#include "core/table/table_writer.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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

constexpr std::uint16_t kLastExecGeneration = 0xffff;

}  // namespace

bool is_legal(TaskState from, TaskState to) {
  const auto row = static_cast<std::size_t>(from), column = static_cast<std::size_t>(to);
  return row < kLegal.size() && column < kLegal.size() && (kLegal[row] >> column & 1) != 0;
}

TableWriter::TableWriter(std::unique_ptr<TableMemory> memory, std::uint32_t capacity, Tier tier,
                         std::uint64_t keyd_inode)
    : memory_(std::move(memory)),
      capacity_(capacity),
      arrays_(TableArrays::at(memory_->data(), capacity)),
      bindings_(capacity) {
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

void TableWriter::mark_down() {
  arrays_.header->down.store(1, std::memory_order_release);
  arrays_.header->alive_until.store(0, std::memory_order_release);
}

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

bool TableWriter::has_record(std::uint64_t inode) const {
  for (const std::size_t bucket : {bucket_of(inode, capacity_), second_bucket_of(inode, capacity_)}) {
    for (std::size_t i = bucket * kBucketWidth; i < (bucket + 1) * kBucketWidth; ++i) {
      if (arrays_.inode_index[i].load(std::memory_order_relaxed) == inode) return true;
    }
  }
  return false;
}

// How near a bucket is to having no room for this owner, as all that is in it or as its own share of it:
// kBucketWidth is full.
std::size_t TableWriter::strain(Index index, std::size_t bucket, std::uint64_t owner) const {
  std::size_t used = 0, owned = 0;
  for (std::size_t i = bucket * kBucketWidth; i < (bucket + 1) * kBucketWidth; ++i) {
    const auto* const entries = index == Index::kInode ? arrays_.inode_index : arrays_.pid_index;
    const std::uint64_t entry = entries[i].load(std::memory_order_relaxed);
    if (entry == 0) continue;
    ++used;
    const std::size_t slot = index == Index::kInode ? i : static_cast<std::size_t>((entry & 0xffffffff) - 1);
    if (bindings_[slot].owner == owner) ++owned;
  }
  return std::max(used, owned * (kBucketWidth / kOwnersShare));
}

// The first bucket as long as it is less than half strained: then most look-ups touch one alone.
std::optional<std::size_t> TableWriter::free_entry(Index index, std::uint64_t key,
                                                   std::uint64_t owner) const {
  std::size_t bucket = bucket_of(key, capacity_);
  std::size_t least = strain(index, bucket, owner);
  if (least >= kBucketWidth / 2) {
    const std::size_t second = second_bucket_of(key, capacity_);
    if (const std::size_t other = strain(index, second, owner); other < least) {
      bucket = second;
      least = other;
    }
  }
  if (least >= kBucketWidth) return std::nullopt;
  const auto* const entries = index == Index::kInode ? arrays_.inode_index : arrays_.pid_index;
  std::size_t i = bucket * kBucketWidth;
  while (entries[i].load(std::memory_order_relaxed) != 0) ++i;
  return i;
}

Result<TaskHandle> TableWriter::bind(const TaskRecord& record, std::uint64_t owner) {
  if (record.inode == 0 || has_record(record.inode)) {
    return fail(Code::kRefused, "the process has a record already");
  }
  const auto slot = free_entry(Index::kInode, record.inode, owner);
  const auto pid_entry = free_entry(Index::kPid, record.pid, owner);
  if (!slot || !pid_entry) return fail(Code::kExhausted, "the task table has no room for this account");

  bindings_[*slot] = {owner, *pid_entry};
  TaskSlot& taken = arrays_.slots[*slot];
  StateWord word = StateWord::unpack(taken.word.load(std::memory_order_relaxed));
  write_record(taken, record);
  word = {kPending, 0, 0, word.generation + 1};
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
  const std::uint64_t wanted =
      StateWord{to, flags, StateWord::unpack(expected).exec_generation, handle.generation}.pack();
  if (to == kComplete) write_record(slot, *explained);
  if (!slot.word.compare_exchange_strong(expected, wanted, std::memory_order_acq_rel)) return false;
  if (to == kComplete) {
    arrays_.header->completed.fetch_add(1, std::memory_order_relaxed);
  } else {
    write_record(slot, *explained);
  }
  changed();
  return true;
}

bool TableWriter::set_flags(TaskHandle handle, TaskState state, std::uint8_t flags) {
  const auto word = this->state(handle);
  if (!word || word->state != state) return false;
  StateWord wanted = *word;
  wanted.flags = flags;
  return exchange(handle, *word, wanted);
}

bool TableWriter::plan_exec(TaskHandle handle, BootTime deadline) {
  const auto word = state(handle);
  if (!word || word->state != kComplete || word->exec_generation == kLastExecGeneration) return false;
  arrays_.slots[handle.slot].plan_deadline.store(deadline, std::memory_order_release);
  return set_flags(handle, kComplete, kPlannedExec);
}

bool TableWriter::count_exec(TaskHandle handle) {
  const auto word = state(handle);
  if (!word || word->state != kComplete || word->exec_generation == kLastExecGeneration) return false;
  StateWord wanted = *word;
  wanted.flags = 0;
  ++wanted.exec_generation;
  return exchange(handle, *word, wanted);
}

bool TableWriter::exchange(TaskHandle handle, StateWord from, StateWord to) {
  std::uint64_t expected = from.pack();
  if (!arrays_.slots[handle.slot].word.compare_exchange_strong(expected, to.pack(),
                                                               std::memory_order_acq_rel)) {
    return false;
  }
  changed();
  return true;
}

bool TableWriter::update(TaskHandle handle, const TaskRecord& record) {
  if (!is_current(handle)) return false;
  if (arrays_.inode_index[handle.slot].load(std::memory_order_relaxed) != record.inode) return false;
  if (this->record(handle)->pid != record.pid) return false;  // the index names it by this one
  write_record(arrays_.slots[handle.slot], record);
  return true;
}

bool TableWriter::free(TaskHandle handle) {
  if (!is_current(handle)) return false;
  TaskSlot& slot = arrays_.slots[handle.slot];
  slot.word.store(StateWord{kNone, 0, 0, handle.generation}.pack(), std::memory_order_release);
  arrays_.inode_index[handle.slot].store(0, std::memory_order_release);
  arrays_.pid_index[bindings_[handle.slot].pid_entry].store(0, std::memory_order_release);
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
