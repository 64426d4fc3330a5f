// The table is input from outside as far as its reader goes: every number taken from it is checked before it
// is used as an offset, and the capacity is read once.
#include "core/table/table_reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <bit>

#include "core/base/clock.h"
#include "core/kernel/namespaces.h"
#include "core/table/table_memory.h"

namespace keyd::table {

namespace ipc = boost::interprocess;

namespace {
// Tries at a consistent copy. A writer is inside a record for some 20 ns; all the tries together stay under a
// microsecond even when it was killed there.
constexpr int kTries = 32;
constexpr std::size_t kLargestTable = std::size_t{1} << 30;  // octets; ~5 million processes

// What of a COMPLETE word must stay for a sighting to stand. The flags left out come and go while the same
// program is authenticated: the old session stands during a renewal (which is of the same user, or refused),
// and a planned exec counts once it has begun.
constexpr std::uint64_t kMayChange = StateWord{TaskState::kNone, kPublicFlags, 0, 0}.pack();
constexpr std::uint64_t sighted_part(std::uint64_t word) { return word & ~kMayChange; }

// The kernel notes an end and sets REVOKED in one step. A word that says COMPLETE beside such a note is nobody's
// that we know, and no answer to rely on.
constexpr std::uint8_t kEndings = kEndedByExec | kEndedByExit | kEndedByCredentials;
bool is_complete(std::uint64_t word) {
  const StateWord now = StateWord::unpack(word);
  return now.state == TaskState::kComplete && (now.flags & kEndings) == 0;
}
}  // namespace

Result<TableReader> TableReader::map(int descriptor, std::size_t size) {
  struct stat st{};
  if (size < table_size(kBucketWidth) || size > kLargestTable || ::fstat(descriptor, &st) != 0 ||
      ((st.st_size != 0 || S_ISREG(st.st_mode)) && static_cast<std::size_t>(st.st_size) < size)) {
    return fail(Code::kInvalid, "the task table has an impossible size");
  }
  // A file that its owner could still cut off would be a SIGBUS to come.
  if (S_ISREG(st.st_mode)) {
    const int seals = ::fcntl(descriptor, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
      return fail(Code::kInvalid, "the task table is not sealed against shrinking");
  }
  ipc::mapped_region region;
  try {
    region = ipc::mapped_region(MappableDescriptor(descriptor), ipc::read_only, 0, size);
  } catch (const ipc::interprocess_exception& e) {
    return fail(Code::kBroken, std::string("cannot map the task table: ") + e.what());
  }
  const auto* const header = static_cast<const TableHeader*>(region.get_address());
  const std::uint32_t capacity = header->capacity;
  if (header->magic != kMagic || header->version != kLayoutVersion) {
    return fail(Code::kInvalid, "not a task table of this version");
  }
  if (!std::has_single_bit(capacity) || capacity < kBucketWidth || table_size(capacity) > size) {
    return fail(Code::kInvalid, "the task table's capacity does not fit its size");
  }
  return TableReader(std::move(region), capacity);
}

TableReader::TableReader(ipc::mapped_region region, std::uint32_t capacity)
    : region_(std::move(region)),
      capacity_(capacity),
      arrays_(TableArrays::at(region_.get_address(), capacity)),
      kernel_keeps_down_(arrays_.header->kernel_keeps_down == 1) {}

namespace {
// Further ahead than a heartbeat reaches (a reader that was kept from the processor between its two looks
// granted) is no heartbeat of this clock: keyd or the reader lives in a time namespace of its own, and a dead
// keyd's word would count until the clocks met.
bool is_heartbeat(BootTime alive_until, BootTime now) {
  return alive_until >= now && alive_until - now <= 2 * kHeartbeatValidity;
}
}  // namespace

bool TableReader::stale() const { return stale_at(boot_now()); }

// keyd is gone: the kernel says so where it does, else its heartbeat has ended.
bool TableReader::stale_at(BootTime now) const {
  const TableHeader& header = *arrays_.header;
  if (header.down.load(std::memory_order_acquire) != 0) return true;
  if (kernel_keeps_down_) return false;
  return !is_heartbeat(header.alive_until.load(std::memory_order_relaxed), now);
}

LookupOutcome TableReader::copy(std::size_t slot_number, TaskView& out, Sighting* seen) const {
  const TaskSlot& slot = arrays_.slots[slot_number];
  std::array<std::uint64_t, kRecordWords> words;
  for (int i = 0; i < kTries; ++i) {
    const std::uint64_t before = slot.sequence.load(std::memory_order_acquire);
    if ((before & 1) != 0) continue;
    const std::uint64_t word = slot.word.load(std::memory_order_acquire);
    for (std::size_t w = 0; w < kRecordWords; ++w) words[w] = slot.record[w].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (slot.sequence.load(std::memory_order_relaxed) != before) continue;
    if (slot.word.load(std::memory_order_relaxed) != word) continue;
    out.word = StateWord::unpack(word);
    out.record = std::bit_cast<TaskRecord>(words);
    if (out.record.user_size > kMaxNameOctets) return LookupOutcome::kBusy;
    const BootTime now = boot_now();
    if (stale_at(now)) return LookupOutcome::kStale;
    if (out.word.state == TaskState::kNone || (out.word.flags & kEndedByExit) != 0)
      return LookupOutcome::kAbsent;
    if ((out.word.flags & kEndings) != 0) out.word.state = TaskState::kRevoked;
    if ((out.word.flags & kEndedByExec) != 0) out.record.reason = Reason::kExec;
    if ((out.word.flags & kEndedByCredentials) != 0) out.record.reason = Reason::kCredentialsChanged;
    if (seen != nullptr) {
      *seen = {static_cast<std::uint32_t>(slot_number), sighted_part(word), out.record.expires};
    }
    out.word.flags &= kPublicFlags;
    if (out.word.state == TaskState::kComplete && out.record.expires <= now) {
      out.word.state = TaskState::kExpired;
      out.record.reason = Reason::kLifetime;
    }
    return LookupOutcome::kFound;
  }
  return LookupOutcome::kBusy;
}

// A record is bound again only after it was freed. So if it moves from the bucket that is read next to the
// one that was read before, the process had none in between: absent was true for a moment.
LookupOutcome TableReader::find(std::uint64_t inode, TaskView& out, Sighting* seen) const {
  if (inode == 0) return LookupOutcome::kAbsent;
  for (const std::size_t bucket : {bucket_of(inode, capacity_), second_bucket_of(inode, capacity_)}) {
    for (std::size_t i = bucket * kBucketWidth; i < (bucket + 1) * kBucketWidth; ++i) {
      if (arrays_.inode_index[i].load(std::memory_order_acquire) != inode) continue;
      const LookupOutcome outcome = copy(i, out, seen);
      // The slot may have been given to another process between the index and the record.
      if (outcome == LookupOutcome::kFound && out.record.inode != inode) continue;
      return outcome;
    }
  }
  return stale() ? LookupOutcome::kStale : LookupOutcome::kAbsent;
}

bool TableReader::pids_are_ours() const {
  return arrays_.header->pid_namespace != 0 && kernel::own_pid_namespace() == arrays_.header->pid_namespace;
}

LookupOutcome TableReader::find_by_pid(std::uint32_t pid, TaskView& out, Sighting* seen) const {
  if (!pids_are_ours()) return LookupOutcome::kOtherNamespace;
  for (const std::size_t bucket : {bucket_of(pid, capacity_), second_bucket_of(pid, capacity_)}) {
    for (std::size_t i = bucket * kBucketWidth; i < (bucket + 1) * kBucketWidth; ++i) {
      const std::uint64_t entry = arrays_.pid_index[i].load(std::memory_order_acquire);
      const std::uint64_t slot = (entry & 0xffffffff) - 1;
      if (entry == 0 || entry >> 32 != pid || slot >= capacity_) continue;
      const LookupOutcome outcome = copy(slot, out, seen);
      if (outcome == LookupOutcome::kAbsent) continue;
      if (outcome == LookupOutcome::kFound && out.record.pid != pid) continue;
      return outcome;
    }
  }
  return stale() ? LookupOutcome::kStale : LookupOutcome::kAbsent;
}

LookupOutcome TableReader::find_by_inode(std::uint64_t inode, TaskView& out) const {
  return find(inode, out, nullptr);
}

LookupOutcome TableReader::find_by_inode(std::uint64_t inode, TaskView& out, Sighting& seen) const {
  return find(inode, out, &seen);
}

// ---- looking again

namespace {
Standing standing_of(std::uint64_t word, const Sighting& seen) {
  if (sighted_part(word) == seen.word) return Standing::kStands;
  const StateWord now = StateWord::unpack(word), then = StateWord::unpack(seen.word);
  return now.state == TaskState::kExpired && now.generation == then.generation ? Standing::kExpired
                                                                               : Standing::kEnded;
}
}  // namespace

// The word first, then whether keyd lives: when it lives after the word was read, the word counted then.
Standing TableReader::glance(const Sighting& seen) const {
  if (seen.slot >= capacity_ || !is_complete(seen.word)) return Standing::kEnded;
  const Standing standing = standing_of(arrays_.slots[seen.slot].word.load(std::memory_order_acquire), seen);
  if (arrays_.header->down.load(std::memory_order_acquire) != 0) return Standing::kDown;
  if (standing != Standing::kStands || kernel_keeps_down_) return standing;
  return stale_at(boot_now()) ? Standing::kStale : standing;
}

Standing TableReader::look_again(const Sighting& seen) const {
  if (seen.slot >= capacity_ || !is_complete(seen.word)) return Standing::kEnded;
  const Standing standing = standing_of(arrays_.slots[seen.slot].word.load(std::memory_order_acquire), seen);
  if (arrays_.header->down.load(std::memory_order_acquire) != 0) return Standing::kDown;
  if (standing != Standing::kStands) return standing;
  const BootTime now = boot_now();
  if (stale_at(now)) return Standing::kStale;
  return seen.expires <= now ? Standing::kExpired : standing;
}

BootTime TableReader::expiry_of(const Sighting& seen) const {
  TaskView view;
  Sighting now;
  if (seen.slot >= capacity_ || copy(seen.slot, view, &now) != LookupOutcome::kFound) return 0;
  return now.word == seen.word ? now.expires : 0;
}

void TableReader::for_each(const std::function<void(const TaskView&)>& visit) const {
  TaskView view;
  for (std::size_t i = 0; i < capacity_; ++i) {
    if (arrays_.inode_index[i].load(std::memory_order_acquire) == 0) continue;
    if (copy(i, view) == LookupOutcome::kFound) visit(view);
  }
}

}  // namespace keyd::table
