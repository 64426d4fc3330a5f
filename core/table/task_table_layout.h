// The task table as it lies in shared memory: plain data, fixed offsets, no pointer, no lock, no secret and
// nothing derived from one. One process writes (keyd); anybody with the descriptor reads.
// docs/architecture.md, "The task table", tells how to read it from another language.
//
//   TableHeader                  one page
//   inode_index[capacity]        u64: the pidfs inode of the record in slot i, 0 when the slot is free
//   pid_index[capacity]          u64: pid << 32 | slot + 1, 0 when free
//   slots[capacity]              TaskSlot
//
// Both indexes are buckets of kBucketWidth entries. A key lives in one of two buckets, which two hashes name,
// and nowhere else: no probing chains, no tombstones. The hashes are public, so a stranger can make processes
// whose keys meet in chosen buckets; no owner is given more than half of a bucket (TableWriter::bind).
//
// In the tier `kernel` the table is an array of 64-octet lines (core/table/table_change.h), and programs in the
// kernel probe the inode index: a plain array of u64, entry i is slot i, and a look-up is a loop of 2 x
// kBucketWidth loads, bounded for the verifier. Keep it so.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/base/untrusted_text.h"
#include "core/table/table_change.h"
#include "core/wire/limits.h"

namespace keyd::table {

inline constexpr std::uint64_t kMagic = 0x314c42544459454b;  // "KEYDTBL1", little-endian
inline constexpr std::uint32_t kLayoutVersion = 3;
inline constexpr std::size_t kBucketWidth = TASK_TABLE_BUCKET_WIDTH;
inline constexpr std::size_t kOwnersShare = kBucketWidth / 2;  // entries of a bucket that one owner can have
inline constexpr std::size_t kHeaderSize = TASK_TABLE_HEADER_SIZE;

// A living keyd renews TableHeader::alive_until this far ahead, several times within it.
inline constexpr std::uint64_t kHeartbeatValidity = 3'000'000'000;  // ns

enum class TaskState : std::uint8_t { kNone, kPending, kComplete, kExpired, kRevoked, kFailed };

// Beside the state. The last four are the kernel's own notes (tier `kernel`): they say why it has ended a
// record, before keyd has written the reason down.
enum TaskFlag : std::uint8_t {
  kChangeDue = 1,
  kReauthenticating = 2,
  kPlannedExec = 4,         // one exec is allowed, until TaskSlot::plan_deadline
  kExecuting = 8,           // that exec has begun
  kEndedByExec = 16,        // REVOKED: it executed another program
  kEndedByExit = 32,        // REVOKED: the process is gone, and with it its record
  kEndedByCredentials = 64  // REVOKED: one of its ids changed
};
inline constexpr std::uint8_t kPublicFlags = kChangeDue | kReauthenticating | kPlannedExec;

// Why a record is in its state. Values are part of the layout: append only.
enum class Reason : std::uint8_t {
  kNone,
  kExchange,            // the exchange itself: began, succeeded
  kWrongProof,          // wrong password, unknown user … (the audit log says which)
  kDeadline,            // the exchange took too long
  kLifetime,            // the session's time is over
  kEnded,               // the process said so
  kConnectionClosed,    // its connection ended
  kExec,                // it executed another program
  kCredentialsChanged,  // one of its ids changed
  kAdministrator,
  kPlanExpired,  // a planned exec did not come or was not adopted in time
  kWatchLost,    // exec events were lost: nobody can say what it executes
  kShutdown,     // keyd stopped
};

enum class Scheme : std::uint8_t { kNone, kChallenge, kKryptoknight, kSrp };
enum class Suite : std::uint8_t { kNone, kModern, kHistoric };

// What keeps the table true, best last. kKernelTgid is a place kept for kernels without pidfs.
enum class Tier : std::uint8_t { kNone, kPidfd, kWatch, kKernelTgid, kKernel };

// How soon a record falls after its cause.
enum class Revocation : std::uint8_t {
  kNever,
  kCooperative,   // within moments, as long as the process keeps its connection close-on-exec (libkeyclient
                  // does)
  kOnContact,     // when the process next speaks to keyd, or a reader checks
  kAsynchronous,  // within moments, by keyd
  kSynchronous,   // before the system call that caused it returns
};

struct Strength {
  Revocation exec, exit, credentials;
};

// A slot's word: generation << 32 | exec_generation << 16 | flags << 8 | state. The generation counts bindings
// of the slot, so that a transition meant for an earlier binding cannot hit a later one. The exec generation
// stands here, and not in the record, because the kernel counts it: in one step with the consumption of a
// planned exec. As long as the whole word is what it was, the same program is authenticated.
struct StateWord {
  TaskState state = TaskState::kNone;
  std::uint8_t flags = 0;
  std::uint16_t exec_generation = 0;  // planned execs that the record has survived; no plan beyond the last
  std::uint32_t generation = 0;

  static constexpr StateWord unpack(std::uint64_t word) {
    return {static_cast<TaskState>(word & 0xff), static_cast<std::uint8_t>(word >> 8),
            static_cast<std::uint16_t>(word >> 16), static_cast<std::uint32_t>(word >> 32)};
  }
  [[nodiscard]] constexpr std::uint64_t pack() const {
    return std::uint64_t{generation} << 32 | std::uint64_t{exec_generation} << 16 |
           std::uint64_t{flags} << 8 | static_cast<std::uint64_t>(state);
  }
  bool operator==(const StateWord&) const = default;
};

// What a record says beside its state word. Times are CLOCK_BOOTTIME nanoseconds, 0 for "not yet".
struct TaskRecord {
  std::uint64_t inode = 0;         // pidfs inode: the process
  std::uint32_t pid = 0;           // in keyd's pid namespace; for people
  std::uint32_t uid = 0, gid = 0;  // effective, when the record was made
  std::uint32_t host = 0;          // 0: this host
  std::uint32_t reserved = 0;
  Scheme scheme = Scheme::kNone;
  Suite suite = Suite::kNone;
  Tier tier = Tier::kNone;
  Reason reason = Reason::kNone;
  std::uint64_t pending_since = 0, complete_since = 0, expires = 0;
  std::uint64_t records = 0, octets = 0;  // sealed records and their plaintext octets, both directions
  std::uint32_t exchanges = 0;            // attempts by this process
  std::uint32_t epoch = 0;                // of the traffic keys
  std::array<std::uint8_t, wire::kSessionIdSize> session_id{};
  std::uint8_t user_size = 0;
  std::array<std::uint8_t, 7> padding{};
  std::array<char, kMaxNameOctets> user{};
};
static_assert(sizeof(TaskRecord) == 168 && alignof(TaskRecord) == 8);
static_assert(offsetof(TaskRecord, pending_since) == 32 && offsetof(TaskRecord, session_id) == 80 &&
              offsetof(TaskRecord, user_size) == 96 && offsetof(TaskRecord, user) == 104);

// A record and its state at one moment.
struct TaskView {
  StateWord word;  // a reader's: by its own clock, COMPLETE past its expiry is EXPIRED; kPublicFlags alone
  TaskRecord record;
};

inline constexpr std::size_t kRecordWords = sizeof(TaskRecord) / 8;

// One process. `sequence` is odd while the record is being written; the record is copied word by word.
struct alignas(64) TaskSlot {
  std::atomic<std::uint64_t> word;
  std::atomic<std::uint64_t> sequence;
  std::array<std::atomic<std::uint64_t>, kRecordWords> record;
  std::atomic<std::uint64_t> plan_deadline;  // CLOCK_BOOTTIME ns; counts while kPlannedExec is set
};
static_assert(std::endian::native == std::endian::little);
static_assert(sizeof(TaskSlot) == 192 && offsetof(TaskSlot, plan_deadline) == 184 &&
              std::atomic<std::uint64_t>::is_always_lock_free);
// With its two index entries a process costs 208 octets (targets: at most 256).

struct TableHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t capacity;       // slots; a power of two and a multiple of kBucketWidth
  std::uint64_t pid_namespace;  // nsfs inodes of keyd's own namespaces: pids and uids are numbers of these
  std::uint64_t user_namespace;
  std::uint64_t keyd_inode;  // pidfs inode of the writer
  std::uint32_t keyd_pid;
  Tier tier;
  Strength strength;                       // of this tier
  std::atomic<std::uint64_t> alive_until;  // CLOCK_BOOTTIME ns; past it, 0, or more than
                                           // 2 kHeartbeatValidity ahead, nothing counts,
                                           // unless the kernel keeps `down`
  std::atomic<std::uint64_t> used;         // slots in use
  std::atomic<std::uint64_t> changes;    // grows by one when a record comes, goes, or changes state or flags;
                                         // who waits for it sleeps on the bell: table_bell.h
  std::atomic<std::uint64_t> completed;  // exchanges that have succeeded since keyd's start
  std::atomic<std::uint64_t> down;       // not 0: keyd has stopped or is dead, nothing counts any more
  std::uint64_t kernel_keeps_down;       // 1: the kernel sets `down` before keyd's death can be seen; no
      // heartbeat is needed. 0: a keyd that is killed leaves `down` as it is
};
static_assert(offsetof(TableHeader, alive_until) == 48 && offsetof(TableHeader, completed) == 72 &&
              offsetof(TableHeader, down) == 80 && sizeof(TableHeader) == 96);

// Octets of a whole table.
constexpr std::size_t table_size(std::size_t capacity) {
  return kHeaderSize + capacity * (2 * sizeof(std::uint64_t) + sizeof(TaskSlot));
}

// The two buckets of a pidfs inode or a pid.
constexpr std::size_t bucket_of(std::uint64_t key, std::size_t capacity) {
  return task_table_first_bucket(key, capacity / kBucketWidth);
}
constexpr std::size_t second_bucket_of(std::uint64_t key, std::size_t capacity) {
  return task_table_second_bucket(key, capacity / kBucketWidth);
}

// The three arrays behind the header of a table at `base`.
struct TableArrays {
  TableHeader* header;
  std::atomic<std::uint64_t>* inode_index;
  std::atomic<std::uint64_t>* pid_index;
  TaskSlot* slots;

  static TableArrays at(void* base, std::size_t capacity) {
    auto* const start = static_cast<std::uint8_t*>(base);
    auto* const index = reinterpret_cast<std::atomic<std::uint64_t>*>(start + kHeaderSize);
    return {static_cast<TableHeader*>(base), index, index + capacity,
            reinterpret_cast<TaskSlot*>(index + 2 * capacity)};
  }
};

}  // namespace keyd::table
