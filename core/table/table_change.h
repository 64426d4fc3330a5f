/* A change to the task table, as keyd asks for it from whoever can write the table's memory: keyd's own mapping
 * of a sealed memfd (core/table/table_memory.cpp), or, in the tier `kernel`, the program
 * core/kernel/task_table.bpf.c, which alone can write a frozen BPF array. So this header is C for the kernel
 * and C++ for keyd; the numbers are those of core/table/task_table_layout.h, which asserts them in
 * core/table/table_memory.h.
 *
 * Whoever applies a change checks first that it is a legal one. */
#ifndef KEYD_CORE_TABLE_TABLE_CHANGE_H
#define KEYD_CORE_TABLE_TABLE_CHANGE_H

#include <linux/types.h>

#ifdef __cplusplus
#define TASK_TABLE_FUNCTION constexpr
#else
#define TASK_TABLE_FUNCTION static inline
#endif

#define TASK_TABLE_BUCKET_WIDTH 16
#define TASK_TABLE_HEADER_SIZE 4096
#define TASK_TABLE_SLOT_SIZE 192
#define TASK_TABLE_RECORD_WORDS 21
#define TASK_TABLE_HEADER_WORDS 12 /* what LAY takes: the header up to its last field */

/* The table as 64-octet lines: what the BPF array's elements are. */
#define TASK_TABLE_LINE_WORDS 8
#define TASK_TABLE_LINE_SIZE (8 * TASK_TABLE_LINE_WORDS)
#define TASK_TABLE_INODE_LINE (TASK_TABLE_HEADER_SIZE / TASK_TABLE_LINE_SIZE)

/* Words of the header's second line. */
#define TASK_TABLE_CHANGES 0
#define TASK_TABLE_COMPLETED 1
#define TASK_TABLE_DOWN 2

/* States and flags of a word: generation << 32 | exec generation << 16 | flags << 8 | state. */
#define TASK_STATE_NONE 0
#define TASK_STATE_PENDING 1
#define TASK_STATE_COMPLETE 2
#define TASK_STATE_EXPIRED 3
#define TASK_STATE_REVOKED 4
#define TASK_STATE_FAILED 5
#define TASK_FLAG_PLANNED_EXEC 4
#define TASK_FLAG_EXECUTING 8
#define TASK_FLAG_ENDED_BY_EXEC 16
#define TASK_FLAG_ENDED_BY_EXIT 32
#define TASK_FLAG_ENDED_BY_CREDENTIALS 64

/* The states that a state may become, one bit each (docs/architecture.md has them as a drawing). COMPLETE is
 * reached from PENDING alone, or from itself by a re-authentication. A record that has ended never lives again:
 * the next exchange of its process binds a new one. */
#define TASK_BIT(state) (1u << (state))
TASK_TABLE_FUNCTION int task_transition_is_legal(__u64 from, __u64 to) {
  __u32 legal = 0;
  if (from == TASK_STATE_NONE) {
    legal = TASK_BIT(TASK_STATE_PENDING);
  } else if (from == TASK_STATE_PENDING) {
    legal = TASK_BIT(TASK_STATE_COMPLETE) | TASK_BIT(TASK_STATE_FAILED) | TASK_BIT(TASK_STATE_REVOKED) |
            TASK_BIT(TASK_STATE_NONE);
  } else if (from == TASK_STATE_COMPLETE) {
    legal = TASK_BIT(TASK_STATE_COMPLETE) | TASK_BIT(TASK_STATE_EXPIRED) | TASK_BIT(TASK_STATE_REVOKED) |
            TASK_BIT(TASK_STATE_NONE);
  } else if (from <= TASK_STATE_FAILED) {
    legal = TASK_BIT(TASK_STATE_NONE);
  }
  return to <= TASK_STATE_FAILED && (legal >> to & 1) != 0;
}

/* A change of a slot's word from one to another that keyd may ask for: of the same binding, to a state that may follow
 * (or the same one, with other flags), not to a free slot, without the notes that only the kernel makes, and a plan
 * only for what is COMPLETE. `counted`: execs that keyd itself may count, where no hook does. */
TASK_TABLE_FUNCTION int task_exchange_is_legal(__u64 word, __u64 wanted, __u64 counted) {
  const __u64 from = word & 0xff, to = wanted & 0xff;
  const __u64 execs = (wanted >> 16 & 0xffff) - (word >> 16 & 0xffff);
  const __u64 notes = TASK_FLAG_EXECUTING | TASK_FLAG_ENDED_BY_EXEC | TASK_FLAG_ENDED_BY_EXIT |
                      TASK_FLAG_ENDED_BY_CREDENTIALS;
  if (word >> 32 != wanted >> 32 || execs > counted || (wanted >> 8 & notes) != 0) return 0;
  if ((wanted >> 8 & TASK_FLAG_PLANNED_EXEC) != 0 && to != TASK_STATE_COMPLETE) return 0;
  if (from == TASK_STATE_NONE || to == TASK_STATE_NONE) return 0;
  return from == to ? to <= TASK_STATE_FAILED : task_transition_is_legal(from, to);
}

/* The two buckets of a key; `buckets` is a power of two. Fibonacci hashing for the first: inodes and pids come in
 * runs. The second is another one, except where there is but one; keys that share their first are spread: the
 * shift between the products keeps both from following the same differences. */
TASK_TABLE_FUNCTION __u64 task_table_first_bucket(__u64 key, __u64 buckets) {
  return (key * 0x9e3779b97f4a7c15ull) >> 32 & (buckets - 1);
}
TASK_TABLE_FUNCTION __u64 task_table_second_bucket(__u64 key, __u64 buckets) {
  __u64 mixed = key * 0x9e3779b97f4a7c15ull;
  mixed = (mixed ^ mixed >> 32) * 0xd6e8feb86659fd93ull;
  return task_table_first_bucket(key, buckets) ^ ((mixed >> 32 | 1) & (buckets - 1));
}

enum table_change_kind {
  TABLE_CHANGE_LAY = 1,  /* an empty table's header: record[0..11]; once */
  TABLE_CHANGE_BEAT,     /* alive until `moment` */
  TABLE_CHANGE_DOWN,     /* keyd goes: nothing counts any more; for good */
  TABLE_CHANGE_BIND,     /* `record` into free slot `slot` and free entry `pid_entry`: PENDING. `word` is the
                              slot's word as it is, and as it is afterwards */
  TABLE_CHANGE_EXCHANGE, /* the word from `word` to `wanted`, of one binding. `moment`: the deadline, where
                              that is a planned exec's */
  TABLE_CHANGE_TRANSITION, /* the same with `record` as its explanation, which stands first when the record
                              begins to count, and else follows */
  TABLE_CHANGE_UPDATE, /* `record`, with the inode and pid that it has, into the slot whose binding is that
                              of `word` */
  TABLE_CHANGE_FREE    /* the slot whose binding is that of `word`, and its `pid_entry` */
};

struct table_change {
  __u32 kind;
  __u32 slot;
  __u32 pid_entry;
  __u32 applied; /* out: 1 when it was */
  __u64 word, wanted;
  __u64 moment; /* CLOCK_BOOTTIME ns */
  __u32 ids[8]; /* BIND: uid, gid, suid, sgid, euid, egid, fsuid, fsgid in the kernel's numbering */
  __u64 record[TASK_TABLE_RECORD_WORDS];
};

#endif
