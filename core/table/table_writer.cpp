#include "core/table/table_writer.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "core/kernel/namespaces.h"

namespace keyd::table {

using enum TaskState;

namespace {
constexpr std::uint16_t kLastExecGeneration = 0xffff;
constexpr int kTriesToEnd = 8;  // a plan covers one exec, which changes the word twice

table_change change_of(table_change_kind kind, TaskHandle handle, StateWord word = {}) {
  table_change change{};
  change.kind = kind;
  change.slot = handle.slot;
  word.generation = handle.generation;
  change.word = word.pack();
  return change;
}

// The table is written by TableMemory::apply() alone.
TableArrays readable(const void* base, std::size_t capacity) {
  return TableArrays::at(const_cast<void*>(base), capacity);
}
}  // namespace

TableWriter::TableWriter(std::unique_ptr<TableMemory> memory, TableBell bell, std::uint32_t capacity,
                         Tier tier, std::uint64_t keyd_inode, Strength strength)
    : memory_(std::move(memory)),
      bell_(std::move(bell)),
      capacity_(capacity),
      arrays_(readable(memory_->view(), capacity)),
      bindings_(capacity) {
  if (!std::has_single_bit(capacity) || capacity < kBucketWidth || memory_->size() < table_size(capacity))
    std::abort();
  TableHeader header{};
  const auto namespaces = kernel::own_namespaces();
  header.magic = kMagic;
  header.version = kLayoutVersion;
  header.capacity = capacity;
  header.pid_namespace = namespaces.pid;
  header.user_namespace = namespaces.user;
  header.keyd_inode = keyd_inode;
  header.keyd_pid = static_cast<std::uint32_t>(::getpid());
  header.tier = tier;
  header.strength = strength;
  header.kernel_keeps_down = memory_->kernel_keeps_down() ? 1 : 0;
  table_change change = change_of(TABLE_CHANGE_LAY, {});
  std::memcpy(change.record, &header, sizeof header);
  if (!apply(change)) std::abort();
}

bool TableWriter::apply(table_change& change, const TaskRecord* record) {
  if (record != nullptr) std::memcpy(change.record, record, sizeof *record);
  if (!memory_->apply(change)) return false;
  const bool moved = change.kind != TABLE_CHANGE_LAY && change.kind != TABLE_CHANGE_BEAT &&
                     change.kind != TABLE_CHANGE_UPDATE;
  if (moved) wake();
  return true;
}

void TableWriter::heartbeat(std::uint64_t validity) {
  table_change change = change_of(TABLE_CHANGE_BEAT, {});
  change.moment = boot_now() + validity;
  (void)apply(change);
}

void TableWriter::mark_down() {
  table_change change = change_of(TABLE_CHANGE_DOWN, {});
  (void)apply(change);
}

bool TableWriter::is_current(TaskHandle handle) const {
  if (handle.slot >= capacity_) return false;
  const StateWord word = StateWord::unpack(arrays_.slots[handle.slot].word.load(std::memory_order_relaxed));
  return word.generation == handle.generation && word.state != kNone;
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

Result<TaskHandle> TableWriter::bind(const TaskRecord& record, std::uint64_t owner,
                                     const kernel::TaskIds& ids) {
  if (record.inode == 0 || has_record(record.inode)) {
    return fail(Code::kRefused, "the process has a record already");
  }
  const auto slot = free_entry(Index::kInode, record.inode, owner);
  const auto pid_entry = free_entry(Index::kPid, record.pid, owner);
  if (!slot || !pid_entry) return fail(Code::kExhausted, "the task table has no room for this account");

  table_change change{};
  change.kind = TABLE_CHANGE_BIND;
  change.slot = static_cast<std::uint32_t>(*slot);
  change.pid_entry = static_cast<std::uint32_t>(*pid_entry);
  change.word = arrays_.slots[*slot].word.load(std::memory_order_relaxed);
  const std::array<std::uint32_t, 8> all{ids.ruid, ids.rgid, ids.suid,  ids.sgid,
                                         ids.euid, ids.egid, ids.fsuid, ids.fsgid};
  std::ranges::copy(all, change.ids);
  if (!apply(change, &record)) return fail(Code::kBroken, "the task table takes no record");
  bindings_[*slot] = {owner, *pid_entry};
  return TaskHandle{change.slot, StateWord::unpack(change.word).generation};
}

bool TableWriter::transition(TaskHandle handle, TaskState from, TaskState to, std::uint8_t flags,
                             Reason reason) {
  const bool ends = to != kPending && to != kComplete;
  for (int i = 0; i < kTriesToEnd; ++i) {
    const auto word = state(handle);
    auto explained = record(handle);
    if (!word || !explained || word->state != from || to == kNone || !is_legal(from, to)) return false;
    explained->reason = reason;
    table_change change = change_of(TABLE_CHANGE_TRANSITION, handle, *word);
    change.wanted = StateWord{to, flags, word->exec_generation, handle.generation}.pack();
    if (apply(change, &*explained)) return true;
    // An end is not to be lost to the kernel's having counted a planned exec in between. What begins to count
    // is: it was decided for what was there before.
    if (!ends || state(handle) == word) return false;
  }
  return false;
}

bool TableWriter::complete(TaskHandle handle, TaskState from, const TaskRecord& record) {
  const auto word = state(handle);
  if (!word || word->state != from || !is_legal(from, kComplete)) return false;
  TaskRecord explained = record;
  explained.reason = Reason::kExchange;
  table_change change = change_of(TABLE_CHANGE_TRANSITION, handle, *word);
  change.wanted = StateWord{kComplete, 0, word->exec_generation, handle.generation}.pack();
  return apply(change, &explained);
}

bool TableWriter::set_flags(TaskHandle handle, TaskState state, std::uint8_t flags) {
  const auto word = this->state(handle);
  if (!word || word->state != state) return false;
  table_change change = change_of(TABLE_CHANGE_EXCHANGE, handle, *word);
  change.wanted = StateWord{state, flags, word->exec_generation, handle.generation}.pack();
  return apply(change);
}

bool TableWriter::plan_exec(TaskHandle handle, BootTime deadline) {
  const auto word = state(handle);
  if (!word || word->state != kComplete || word->exec_generation == kLastExecGeneration) return false;
  table_change change = change_of(TABLE_CHANGE_EXCHANGE, handle, *word);
  change.wanted = StateWord{kComplete, kPlannedExec, word->exec_generation, handle.generation}.pack();
  change.moment = deadline;
  return apply(change);
}

bool TableWriter::count_exec(TaskHandle handle) {
  const auto word = state(handle);
  if (!word || word->state != kComplete || word->exec_generation == kLastExecGeneration) return false;
  table_change change = change_of(TABLE_CHANGE_EXCHANGE, handle, *word);
  const auto counted = static_cast<std::uint16_t>(word->exec_generation + 1);
  change.wanted = StateWord{kComplete, 0, counted, handle.generation}.pack();
  return apply(change);
}

bool TableWriter::update(TaskHandle handle, const TaskRecord& record) {
  table_change change = change_of(TABLE_CHANGE_UPDATE, handle);
  return apply(change, &record);
}

bool TableWriter::free(TaskHandle handle) {
  if (!is_current(handle)) return false;
  table_change change = change_of(TABLE_CHANGE_FREE, handle);
  change.pid_entry = static_cast<std::uint32_t>(bindings_[handle.slot].pid_entry);
  return apply(change);
}

std::uint64_t TableWriter::inode_at(std::uint32_t slot) const {
  return slot < capacity_ ? arrays_.inode_index[slot].load(std::memory_order_relaxed) : 0;
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
