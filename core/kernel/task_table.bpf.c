/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The tier `kernel`: the task table as a BPF array that is frozen, so that nobody writes it but these programs.
 *
 *   apply_change    what keyd asks for (BPF_PROG_TEST_RUN); takes legal changes alone
 *   on_prepare_exec, on_exec   a process executes another program: its record ends, before execve(2) returns,
 *                   unless this exec is the one that was planned
 *   on_exit         a process is gone: so is its record, before anybody can have waited for it; and when it is
 *                   keyd itself, the whole table
 *   on_syscall_exit its ids have changed: its record ends, before the system call returns (where configured)
 *
 * Two hooks at an exec, because between the first, when the old program's threads still run, and the second,
 * when they are gone, a record could be made by one of them. The first one alone sees both credentials.
 *
 * What a program changes in a word it changes by compare-and-swap on the whole word. Its generation makes sure
 * that what was meant for one binding of a slot never hits another one.
 *
 * docs/kernel.md tells more. Structures of the kernel are written down here as far as they are needed; libbpf
 * finds the fields' places on the running kernel (CO-RE). */
/* libbpf's headers take the kernel's types for granted. */
/* clang-format off */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
/* clang-format on */

#include "core/table/table_change.h"

/* tp_btf programs and bpf_get_current_task_btf() are for programs that may be used under the GPL. */
char LICENSE[] SEC("license") = "GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct pid {
  __u64 ino;
};
typedef struct {
  __u32 val;
} kuid_t;
typedef struct {
  __u32 val;
} kgid_t;
typedef struct {
  __u64 val;
} kernel_cap_t;
struct cred {
  kuid_t uid;
  kgid_t gid;
  kuid_t suid;
  kgid_t sgid;
  kuid_t euid;
  kgid_t egid;
  kuid_t fsuid;
  kgid_t fsgid;
  kernel_cap_t cap_permitted;
};
typedef struct {
  int counter;
} atomic_t;
struct signal_struct {
  atomic_t live;
};
struct task_struct {
  struct task_struct* group_leader;
  struct pid* thread_pid;
  struct signal_struct* signal;
  const struct cred* cred;
};
struct linux_binprm {
  unsigned int secureexec : 1;
  struct cred* cred;
};
#pragma clang attribute pop

/* The table: lines of 64 octets. Sized when it is loaded. */
struct line {
  __u64 word[TASK_TABLE_LINE_WORDS];
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct line);
} keyd_tasks SEC(".maps");

/* By slot: the ids that the process had when its record was made. Nobody else's business. */
struct ids {
  __u32 of[8];
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct ids);
} keyd_ids SEC(".maps");

/* The slots whose record a hook has changed, for keyd's bookkeeping. What does not fit is found by its tick. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 16);
} keyd_events SEC(".maps");

const volatile __u32 capacity = TASK_TABLE_BUCKET_WIDTH; /* slots; a power of two */

enum { kTries = 16, kStateMask = 0xff };

#define FLAG(flag) ((__u64)(flag) << 8)
#define STATE_OF(word) ((__u32)((word) & kStateMask))
#define GENERATION_OF(word) ((word) >> 32)
#define EXECS_OF(word) ((__u32)((word) >> 16 & 0xffff))

static __always_inline struct line* line_at(__u32 index) { return bpf_map_lookup_elem(&keyd_tasks, &index); }

static __always_inline struct line* slot_line(__u32 slot, __u32 part) {
  return line_at(TASK_TABLE_INODE_LINE + capacity / 4 + 3 * slot + part);
}

/* Entry `i` of the inode index, or of the pid index behind it. */
static __always_inline __u64* inode_entry(__u32 i) {
  struct line* line = line_at(TASK_TABLE_INODE_LINE + i / TASK_TABLE_LINE_WORDS);
  return line ? &line->word[i % TASK_TABLE_LINE_WORDS] : NULL;
}
static __always_inline __u64* pid_entry_at(__u32 i) {
  struct line* line = line_at(TASK_TABLE_INODE_LINE + capacity / 8 + i / TASK_TABLE_LINE_WORDS);
  return line ? &line->word[i % TASK_TABLE_LINE_WORDS] : NULL;
}

/* Fully ordered stores: a reader on another processor sees what was written before them. */
static __always_inline void store(__u64* where, __u64 what) { __sync_lock_test_and_set(where, what); }
static __always_inline __u64 load(const __u64* where) { return *(const volatile __u64*)where; }
/* Before whatever is read next. */
static __always_inline __u64 load_first(__u64* where) { return __sync_fetch_and_or(where, 0); }

static __always_inline void count(__u32 word_of_second_line) {
  struct line* line = line_at(1);
  if (line) {
    /* The result is used, or clang-14 makes an instruction that is not ordered. */
    volatile __u64 before = __sync_fetch_and_add(&line->word[word_of_second_line], 1);
    (void)before;
  }
}

static __always_inline bool counts(__u64 word) {
  return STATE_OF(word) == TASK_STATE_PENDING || STATE_OF(word) == TASK_STATE_COMPLETE;
}

/* The slot of the process `inode`, or capacity. Global, as happened() below, so that the verifier looks at it once
 * and not once for every way that leads to it. */
__attribute__((noinline)) __u32 find(__u64 inode) {
  __u32 buckets = capacity / TASK_TABLE_BUCKET_WIDTH;
  if (inode == 0) return capacity;
  for (int b = 0; b < 2; b++) {
    __u32 bucket =
        (__u32)(b == 0 ? task_table_first_bucket(inode, buckets) : task_table_second_bucket(inode, buckets));
    for (int half = 0; half < 2; half++) {
      struct line* line = line_at(TASK_TABLE_INODE_LINE + 2 * bucket + half);
      if (!line) return capacity;
#pragma unroll
      for (int i = 0; i < TASK_TABLE_LINE_WORDS; i++) {
        if (load(&line->word[i]) == inode)
          return TASK_TABLE_BUCKET_WIDTH * bucket + TASK_TABLE_LINE_WORDS * half + i;
      }
    }
  }
  return capacity;
}

/* ---- the hooks */

static __always_inline __u64 inode_of(struct task_struct* task) {
  return task->group_leader->thread_pid->ino;
}

static __always_inline void tell(__u32 slot) {
  __u64 event = slot;
  count(TASK_TABLE_CHANGES);
  bpf_ringbuf_output(&keyd_events, &event, sizeof event, 0);
}

/* Nobody can say any more what is true. */
static __always_inline void take_down(void) {
  struct line* header = line_at(1);
  if (header) store(&header->word[TASK_TABLE_DOWN], 1);
}

static __always_inline bool has_ids(const struct cred* cred, const struct ids* ids) {
  return ids->of[0] == cred->uid.val && ids->of[1] == cred->gid.val && ids->of[2] == cred->suid.val &&
         ids->of[3] == cred->sgid.val && ids->of[4] == cred->euid.val && ids->of[5] == cred->egid.val &&
         ids->of[6] == cred->fsuid.val && ids->of[7] == cred->fsgid.val;
}

enum hook { HOOK_PREPARE_EXEC, HOOK_EXEC, HOOK_EXIT, HOOK_CREDENTIALS };

/* What becomes of a record that counts. `as_planned`: the exec is one that a plan covers. */
static __always_inline __u64 word_after(__u64 word, __u32 hook, bool as_planned) {
  const __u64 complete_execs = (word & ~FLAG(0xff)) + (1ull << 16);
  if (hook == HOOK_PREPARE_EXEC && as_planned && STATE_OF(word) == TASK_STATE_COMPLETE &&
      (word & FLAG(TASK_FLAG_PLANNED_EXEC | TASK_FLAG_EXECUTING)) == FLAG(TASK_FLAG_PLANNED_EXEC) &&
      EXECS_OF(word) != 0xffff) {
    return complete_execs | FLAG(TASK_FLAG_EXECUTING);
  }
  if (hook == HOOK_EXEC && (word & FLAG(TASK_FLAG_EXECUTING)) != 0) return word & ~FLAG(TASK_FLAG_EXECUTING);
  const __u64 reason = hook == HOOK_EXIT          ? FLAG(TASK_FLAG_ENDED_BY_EXIT)
                       : hook == HOOK_CREDENTIALS ? FLAG(TASK_FLAG_ENDED_BY_CREDENTIALS)
                                                  : FLAG(TASK_FLAG_ENDED_BY_EXEC);
  return (word & ~(__u64)0xffff) | reason | TASK_STATE_REVOKED;
}

__attribute__((noinline)) int happened(__u64 inode, __u32 slot, __u32 hook, bool as_planned) {
  struct line* first = slot_line(slot, 0);
  __u64* index = inode_entry(slot);
  if (!first || !index) return 0;
  for (int i = 0; i < kTries; i++) {
    const __u64 word = load_first(&first->word[0]);
    /* The word was read before the index: if the slot is ours now, the word was this binding's. */
    if (load(index) != inode || !counts(word)) return 0;
    const __u64 after = word_after(word, hook, as_planned);
    if (__sync_val_compare_and_swap(&first->word[0], word, after) != word) continue;
    tell(slot);
    return 0;
  }
  take_down(); /* so many changes of one record within a microsecond are not keyd's */
  return 0;
}

SEC("tp_btf/sched_prepare_exec")
int BPF_PROG(on_prepare_exec, struct task_struct* task, struct linux_binprm* bprm) {
  const __u64 inode = inode_of(task);
  const __u32 slot = find(inode);
  const struct ids* ids;
  struct line* last;
  bool as_planned = false;
  if (slot >= capacity) return 0;
  last = slot_line(slot, 2);
  ids = bpf_map_lookup_elem(&keyd_ids, &slot);
  /* Before its deadline, with the ids that the record was made for (those of the thread that executes may be
   * others), no new capability, and nothing else that makes the loader wary. */
  if (last && ids && bpf_ktime_get_boot_ns() < load(&last->word[7]) && has_ids(task->cred, ids) &&
      has_ids(bprm->cred, ids) &&
      (bprm->cred->cap_permitted.val & ~task->group_leader->cred->cap_permitted.val) == 0 &&
      !BPF_CORE_READ_BITFIELD(bprm, secureexec)) {
    as_planned = true;
  }
  happened(inode, slot, HOOK_PREPARE_EXEC, as_planned);
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct* task) {
  const __u64 inode = inode_of(task);
  const __u32 slot = find(inode);
  if (slot < capacity) happened(inode, slot, HOOK_EXEC, false);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct* task) {
  struct line* header = line_at(0);
  __u64 inode;
  __u32 slot;
  if (task->signal->live.counter != 0) return 0; /* other threads live on */
  inode = inode_of(task);
  if (header && inode == header->word[4]) take_down();
  slot = find(inode);
  if (slot < capacity) happened(inode, slot, HOOK_EXIT, false);
  return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_syscall_exit) {
  struct task_struct* task = bpf_get_current_task_btf();
  const struct cred* cred = task->cred;
  const __u64 inode = inode_of(task);
  const __u32 slot = find(inode);
  const struct ids* ids;
  if (slot >= capacity) return 0;
  ids = bpf_map_lookup_elem(&keyd_ids, &slot);
  if (ids && has_ids(cred, ids)) return 0;
  happened(inode, slot, HOOK_CREDENTIALS, false);
  return 0;
}

/* ---- keyd's changes */

/* Its sequence is odd meanwhile. */
static __always_inline bool write_record(__u32 slot, const struct table_change* change) {
  struct line *first = slot_line(slot, 0), *second = slot_line(slot, 1), *third = slot_line(slot, 2);
  if (!first || !second || !third) return false;
  const __u64 sequence = load(&first->word[1]);
  store(&first->word[1], sequence | 1);
#pragma unroll
  for (int i = 0; i < 6; i++) *(volatile __u64*)&first->word[2 + i] = change->record[i];
#pragma unroll
  for (int i = 0; i < 8; i++) *(volatile __u64*)&second->word[i] = change->record[6 + i];
#pragma unroll
  for (int i = 0; i < 7; i++) *(volatile __u64*)&third->word[i] = change->record[14 + i];
  store(&first->word[1], (sequence | 1) + 1);
  return true;
}

static __always_inline bool lay(const struct table_change* change) {
  struct line *first = line_at(0), *second = line_at(1);
  if (!first || !second || first->word[0] != 0) return false;
#pragma unroll
  for (int i = 1; i < TASK_TABLE_LINE_WORDS; i++) store(&first->word[i], change->record[i]);
#pragma unroll
  for (int i = 0; i < TASK_TABLE_HEADER_WORDS - TASK_TABLE_LINE_WORDS; i++)
    store(&second->word[i], change->record[TASK_TABLE_LINE_WORDS + i]);
  store(&first->word[0], change->record[0]);
  return true;
}

static __always_inline bool beat(const struct table_change* change) {
  struct line* first = line_at(0);
  if (!first) return false;
  store(&first->word[6], change->moment);
  return true;
}

static __always_inline bool bind(struct table_change* change) {
  const __u32 slot = change->slot, pid_slot = change->pid_entry, buckets = capacity / TASK_TABLE_BUCKET_WIDTH;
  const __u64 inode = change->record[0], pid = change->record[1] & 0xffffffff, word = change->word;
  const __u32 bucket = slot / TASK_TABLE_BUCKET_WIDTH, pid_bucket = pid_slot / TASK_TABLE_BUCKET_WIDTH;
  struct line *first, *third, *header = line_at(0);
  struct ids* ids;
  __u64 *index, *pid_index, bound;
  if (slot >= capacity || pid_slot >= capacity || inode == 0 || STATE_OF(word) != TASK_STATE_NONE)
    return false;
  /* Where the hooks look for it, and nowhere else. */
  if (bucket != task_table_first_bucket(inode, buckets) && bucket != task_table_second_bucket(inode, buckets))
    return false;
  if (pid_bucket != task_table_first_bucket(pid, buckets) &&
      pid_bucket != task_table_second_bucket(pid, buckets))
    return false;
  if (find(inode) < capacity) return false;
  index = inode_entry(slot);
  pid_index = pid_entry_at(pid_slot);
  first = slot_line(slot, 0);
  third = slot_line(slot, 2);
  ids = bpf_map_lookup_elem(&keyd_ids, &slot);
  if (!index || !pid_index || !first || !third || !ids || !header) return false;
  if (load(index) != 0 || load(pid_index) != 0) return false;
#pragma unroll
  for (int i = 0; i < 8; i++) ids->of[i] = change->ids[i];
  store(&third->word[7], 0);
  if (!write_record(slot, change)) return false;
  bound = (GENERATION_OF(word) + 1) << 32 | TASK_STATE_PENDING;
  if (__sync_val_compare_and_swap(&first->word[0], word, bound) != word) return false;
  store(index, inode);
  store(pid_index, pid << 32 | (slot + 1));
  store(&header->word[7], header->word[7] + 1);
  change->word = bound;
  return true;
}

/* The word as the change knows it belongs to the binding that the slot has. */
static __always_inline struct line* bound_slot(const struct table_change* change) {
  struct line* first;
  __u64 word;
  if (change->slot >= capacity) return NULL;
  first = slot_line(change->slot, 0);
  if (!first) return NULL;
  word = load(&first->word[0]);
  if (STATE_OF(word) == TASK_STATE_NONE || GENERATION_OF(word) != GENERATION_OF(change->word)) return NULL;
  return first;
}

static __always_inline bool exchange(const struct table_change* change) {
  const __u64 word = change->word, wanted = change->wanted;
  struct line *first = bound_slot(change), *third;
  if (!first) return false;
  if (!task_exchange_is_legal(word, wanted, 0)) return false;
  if (wanted & FLAG(TASK_FLAG_PLANNED_EXEC)) {
    third = slot_line(change->slot, 2);
    if (!third || load(&first->word[0]) != word) return false;
    store(&third->word[7], change->moment);
  }
  return __sync_val_compare_and_swap(&first->word[0], word, wanted) == word;
}

/* The record names the process that the slot is bound to. */
static __always_inline bool names_its_process(const struct table_change* change) {
  struct line* first = slot_line(change->slot, 0);
  return first && load(&first->word[2]) == change->record[0] &&
         (load(&first->word[3]) & 0xffffffff) == (change->record[1] & 0xffffffff);
}

static __always_inline bool transition(const struct table_change* change) {
  struct line* first = bound_slot(change);
  const bool begins = STATE_OF(change->wanted) == TASK_STATE_COMPLETE;
  if (!first || !names_its_process(change) || load(&first->word[0]) != change->word) return false;
  if (begins && !write_record(change->slot, change)) return false;
  if (!exchange(change)) return false;
  if (begins) {
    count(TASK_TABLE_COMPLETED);
  } else if (!write_record(change->slot, change)) {
    return false;
  }
  return true;
}

static __always_inline bool update(const struct table_change* change) {
  return bound_slot(change) && names_its_process(change) && write_record(change->slot, change);
}

static __always_inline bool free_slot(struct table_change* change) {
  struct line *first = bound_slot(change), *header = line_at(0);
  __u64 *index, *pid_index;
  bool freed = false;
  if (!first || !header || change->pid_entry >= capacity) return false;
  index = inode_entry(change->slot);
  pid_index = pid_entry_at(change->pid_entry);
  if (!index || !pid_index || (load(pid_index) & 0xffffffff) != change->slot + 1) return false;
  for (int i = 0; i < kTries && !freed; i++) {
    const __u64 word = load(&first->word[0]);
    freed = __sync_val_compare_and_swap(&first->word[0], word, GENERATION_OF(word) << 32) == word;
  }
  if (!freed) return false;
  store(index, 0);
  store(pid_index, 0);
#pragma unroll
  for (int i = 0; i < TASK_TABLE_RECORD_WORDS; i++) change->record[i] = 0;
  if (!write_record(change->slot, change)) return false;
  store(&header->word[7], header->word[7] - 1);
  return true;
}

SEC("syscall")
int apply_change(struct table_change* change) {
  bool applied = false, moved = true;
  switch (change->kind) {
    case TABLE_CHANGE_LAY:
      moved = false;
      applied = lay(change);
      break;
    case TABLE_CHANGE_BEAT:
      moved = false;
      applied = beat(change);
      break;
    case TABLE_CHANGE_DOWN:
      take_down();
      applied = true;
      break;
    case TABLE_CHANGE_BIND: applied = bind(change); break;
    case TABLE_CHANGE_EXCHANGE: applied = exchange(change); break;
    case TABLE_CHANGE_TRANSITION: applied = transition(change); break;
    case TABLE_CHANGE_UPDATE:
      moved = false;
      applied = update(change);
      break;
    case TABLE_CHANGE_FREE: applied = free_slot(change); break;
  }
  if (applied && moved) count(TASK_TABLE_CHANGES);
  change->applied = applied;
  return 0;
}
