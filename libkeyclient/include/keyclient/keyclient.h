/* libkeyclient: prove to keyd who your user is, get keys and credentials, and ask who is authenticated in
 * another process.
 *
 * A keyclient_t is a connection to keyd. keyclient_authenticate() makes its process COMPLETE in keyd's task
 * table; the record, the keys and the connection belong together, and end together: by keyclient_end(),
 * keyclient_close(), the process's exit, its exec (unless planned), or a change of its credentials.
 *
 * Threads: a handle may be used by several threads. Session calls on one handle run one after the other;
 *   keyclient_lookup_*(), keyclient_identify() and keyclient_wait_for_change() run beside everything. Only
 *   keyclient_close() needs the handle for itself, and keyclient_peer_free() its peer.
 * fork(): a child must not use its parent's handle. Session calls give KEYCLIENT_FORKED there and leave the
 *   parent's session alone; the child may open a handle of its own, and close the inherited one. A
 *   keyclient_peer_t serves both.
 * Deadlines: every call that talks to keyd takes at most the handle's timeout (default 10 s) and then gives
 *   KEYCLIENT_DEADLINE; the time a password callback takes does not count.
 * A restart of keyd: session calls give KEYCLIENT_GONE (authenticate again on the same handle); look-ups find
 *   the new table by themselves, up to the 63rd restart: each earlier table stays mapped, for another thread may
 *   be reading it. After that they say KEYCLIENT_UNKNOWN until the handle is closed and opened anew.
 * Secrets: passwords and keys lie in locked memory that is left out of core files and wiped; in memfd_secret(2),
 *   which debuggers cannot read and with which the machine does not hibernate, where the kernel has it. What a
 *   caller is given in its own buffer is its own to wipe. A program that wants no debugger at its session calls
 *   prctl(PR_SET_DUMPABLE, 0). A seccomp filter of its own has to allow the pool's growth: memfd_secret, ftruncate,
 *   mmap, madvise, mremap, munmap, close, mprotect, mlock.
 *
 * Strings are UTF-8, zero-terminated. Times are CLOCK_BOOTTIME nanoseconds. Structures begin with `size`,
 * which the caller sets to sizeof: fields that a later version adds are then left alone. */
#ifndef KEYCLIENT_KEYCLIENT_H
#define KEYCLIENT_KEYCLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KEYCLIENT_API __attribute__((visibility("default")))

/* What a call came to. Everything but KEYCLIENT_OK is a refusal: never go on with a default. */
typedef enum keyclient_status {
  KEYCLIENT_OK = 0,
  KEYCLIENT_DENIED = 1,  /* the password is wrong, or this user may not log in so (keyd does not say which) */
  KEYCLIENT_REFUSED = 2, /* keyd does not offer it, or not now */
  KEYCLIENT_NOT_FOUND = 3,         /* no such credential */
  KEYCLIENT_NOT_AUTHENTICATED = 4, /* nobody is authenticated in that process (or here) */
  KEYCLIENT_INVALID = 5,           /* an argument is wrong, or what arrived was malformed */
  KEYCLIENT_UNREACHABLE = 6,       /* keyd does not run at this runtime directory, or may not be reached */
  KEYCLIENT_DEADLINE = 7,          /* time ran out */
  KEYCLIENT_BUSY = 8,              /* a quota, the table or memory is full: try again later */
  KEYCLIENT_GONE = 9,              /* the session is over: revoked, expired, or keyd restarted */
  KEYCLIENT_UNKNOWN = 10,          /* it cannot be told now: keyd is down, or a record is half written */
  KEYCLIENT_UNSUPPORTED = 11,      /* this kernel or this keyd lacks it */
  KEYCLIENT_FORKED = 12,           /* the handle belongs to the parent process */
  KEYCLIENT_CANCELLED = 13,        /* the password callback gave up */
  KEYCLIENT_TOO_SMALL = 14,        /* the caller's buffer; the size needed was stored */
  KEYCLIENT_SERVER_UNPROVEN = 15,  /* the server did not prove that it knows the password: do not trust it */
  KEYCLIENT_INTERNAL = 16,
  KEYCLIENT_THROTTLED = 17 /* too many failed tries: wait; keyclient_error() says how long */
} keyclient_status;

/* A few words for a status. Never NULL, never freed. */
KEYCLIENT_API const char* keyclient_status_text(keyclient_status status);

/* The version of the library, "0.1.0". */
KEYCLIENT_API const char* keyclient_version(void);

typedef struct keyclient_handle keyclient_t;

/* ---- the handle */

typedef struct keyclient_options {
  size_t size;
  const char* runtime_dir; /* NULL: $KEYD_RUNTIME_DIR, else /run/keyd */
  const char* server_name; /* what is to be reached; NULL: "localhost" */
  uint32_t timeout_ms;     /* 0: 10 000 */
} keyclient_options;

/* Connects. `options` may be NULL. The handle is the caller's, to be closed. On failure *out is NULL. */
KEYCLIENT_API keyclient_status keyclient_open(const keyclient_options* options, keyclient_t** out);

/* Ends the session if there is one, wipes, frees. NULL is fine. In a forked child: only frees. */
KEYCLIENT_API void keyclient_close(keyclient_t* client);

/* One line about the calling thread's last call that did not give KEYCLIENT_OK. Valid until its next call. */
KEYCLIENT_API const char* keyclient_error(void);

/* ---- the session */

/* Writes the password into `buffer` (locked memory, `capacity` octets), stores its length, gives 0; anything
 * else cancels. Called between keyd's challenge and the proof, so the task is PENDING meanwhile. */
typedef int (*keyclient_password_callback)(void* context, char* buffer, size_t capacity, size_t* length);

typedef struct keyclient_login {
  size_t size;
  const char* user;
  const char* scheme; /* "srp" (NULL), "challenge" or "kryptoknight" */
  const char* suite;  /* NULL: "modern"; "historic" only where keyd's administrator allows it */
  const char*
      transform; /* challenge, historic: "md5", "hmac-md5" (default; also named "keyed-md5"), "keyed-md5-rfc1828" */
  uint32_t nonce_bits; /* challenge, historic: 16 to 256, 0: 16 */
  uint32_t key_count;  /* challenge: 1 or 2; 0: 2 */
  /* Either a password of 1 to 1024 octets (the caller wipes its own copy), or a callback. */
  const void* password;
  size_t password_size;
  keyclient_password_callback password_callback;
  void* password_context;
  /* kryptoknight: not 0 for new keys, from the stored hash, for each request; costs a round trip more each, and
   * such a session is not handed over at an exec. */
  int per_command;
  /* kryptoknight: not 0 to hash by the methods too that look at few characters or are as good as none (descrypt,
   * bigcrypt, bsdicrypt, NT). */
  int accept_weak_hashes;
  /* srp: not 0 to take verifiers that were made without a memory-hard function too (imported ones): whoever steals
   * such a one, or plays keyd with it, guesses the password faster. The historic suite has no others. */
  int accept_fast_derivations;
  const char* interleave; /* srp, historic: "rfc2945" (NULL) or "stanford" */
  /* srp: not 0 when this program can ask its user for a new password, by keyclient_change_password(). Then keyd asks
   * this session when the password is to be changed. */
  int can_change_password;
  /* srp, modern: the IANA enterprise number in the EAP packets, the same as keyd's srp.vendor_id; below 2^24.
   * 0: 32473, keyd's default. */
  uint32_t srp_vendor_id;
  /* srp: the fewest bits of a group that is taken, 1024 to 8192; 0: 2048. Below 2048 is for verifiers that were imported.
   * Groups off RFC 5054's list are never taken. */
  uint32_t srp_least_group_bits;
} keyclient_login;

/* Runs the exchange. On a handle that has a session it renews it: the old one stands until the new one is
 * proven. When keyd's deadline passed while the callback ran, the exchange is run once more with the password
 * it gave. */
KEYCLIENT_API keyclient_status keyclient_authenticate(keyclient_t* client, const keyclient_login* login);

/* New traffic keys. The library does so by itself long before a key is worn out. */
KEYCLIENT_API keyclient_status keyclient_rekey(keyclient_t* client);

/* Ends the session; the record becomes REVOKED. The handle may authenticate again. */
KEYCLIENT_API keyclient_status keyclient_end(keyclient_t* client);

/* ---- the change of a password
 *
 * keyd decides when a password must be changed, and asks with some reply; keyclient_change_requested() tells. The
 * session goes on as it was. keyclient_change_password() proves the old password, asks for the new one, judges it by
 * rules (length, letters and digits, dictionary, likeness to the old one, the user's words), sends its verifier, and
 * gives the session new keys when keyd has it for good. Neither password leaves the process.
 *
 * When the connection breaks after the answer has left, the call finds out which password holds: it authenticates with
 * the new one, then with the old. Where that cannot be told either it gives KEYCLIENT_UNKNOWN. */

typedef enum keyclient_question {
  KEYCLIENT_OLD_PASSWORD = 0,
  KEYCLIENT_NEW_PASSWORD = 1,
  KEYCLIENT_NEW_PASSWORD_AGAIN = 2
} keyclient_question;

/* Asks the user. `remark`: NULL, or one line to be shown that says why the last answer did not do. Writes the answer
 * into `buffer` (locked memory, `capacity` octets), stores its length, gives 0; anything else cancels. Called without
 * any lock: other threads may use the handle. */
typedef int (*keyclient_question_callback)(void* context, keyclient_question question, const char* remark,
                                           char* buffer, size_t capacity, size_t* length);

typedef struct keyclient_change {
  size_t size;
  keyclient_question_callback ask;
  void* context;
  const char* const* words; /* personal ones that the password must not have in it; NULL: none */
  size_t word_count;
  int wanted;  /* not 0: the user wants it, whether keyd asks or not */
  int changed; /* out: not 0 when the new password is the user's, also where the call fails after that */
} keyclient_change;

/* Not 0: keyd asks this session for a new password. */
KEYCLIENT_API int keyclient_change_requested(keyclient_t* client);

/* One at a time on a handle; other threads may use the session beside it. Forks for a moment, to judge the password
 * apart from this process's memory: SIGCHLD may come. KEYCLIENT_NOT_FOUND: keyd does not ask, and it was not wanted.
 * KEYCLIENT_DENIED: not the old password. KEYCLIENT_CANCELLED: by the callback. */
KEYCLIENT_API keyclient_status keyclient_change_password(keyclient_t* client, keyclient_change* change);

/* A descriptor to poll. POLLIN or POLLHUP between calls means that the session is over: the next session call
 * gives KEYCLIENT_GONE. Do not read from it. -1 when there is no connection. */
KEYCLIENT_API int keyclient_descriptor(const keyclient_t* client);

/* Fetches the user's credential `name` into `buffer`. `*size` is its room before and the credential's size
 * after, also with KEYCLIENT_TOO_SMALL (at most 65 536). keyd gives it to this process alone, sealed. */
KEYCLIENT_API keyclient_status keyclient_credential(keyclient_t* client, const char* name, void* buffer,
                                                    size_t* size);

/* Calls `visit` with the name of each of the user's credentials. */
KEYCLIENT_API keyclient_status keyclient_credential_names(keyclient_t* client,
                                                          void (*visit)(void* context, const char* name),
                                                          void* context);

/* Sends up to 65 536 octets to keyd and back through the sealed channel, into `out` of the same size: whether
 * the session works. */
KEYCLIENT_API keyclient_status keyclient_echo(keyclient_t* client, const void* data, size_t size, void* out);

/* A key of 1 to 8160 octets for the program's own use, bound to this session and `label` (at most 255
 * octets). The same label and size give the same key until the session ends or is renewed; never one that the
 * channel uses. */
KEYCLIENT_API keyclient_status keyclient_export_key(keyclient_t* client, const char* label, void* out,
                                                    size_t size);

/* ---- records of the program's own */

/* Sealed records (AES-256-GCM, in order, each once) under keys exported from the session for `label`: one for
 * each direction, so that what one end seals only the other opens. Both ends are made from the same session;
 * how the octets travel between them is the program's. A channel outlives its session. Not for several
 * threads at once. */
typedef struct keyclient_channel keyclient_channel_t;
typedef enum keyclient_role { KEYCLIENT_INITIATOR = 0, KEYCLIENT_RESPONDER = 1 } keyclient_role;

#define KEYCLIENT_RECORD_OVERHEAD 29 /* octets a sealed record is longer than what is in it */

KEYCLIENT_API keyclient_status keyclient_channel_new(keyclient_t* client, const char* label,
                                                     keyclient_role role, keyclient_channel_t** out);
KEYCLIENT_API void keyclient_channel_free(keyclient_channel_t* channel);
/* `record` has room for size + KEYCLIENT_RECORD_OVERHEAD octets. At most 65 536 octets a record, 2^24
 * records. */
KEYCLIENT_API keyclient_status keyclient_seal(keyclient_channel_t* channel, const void* data, size_t size,
                                              void* record);
/* `data` has room for size - KEYCLIENT_RECORD_OVERHEAD octets. KEYCLIENT_INVALID for anything but the other
 * end's next record: the channel is then of no further use. */
KEYCLIENT_API keyclient_status keyclient_open_record(keyclient_channel_t* channel, const void* record,
                                                     size_t size, void* data);

/* ---- the task table: who is authenticated in a process? */

typedef enum keyclient_state {
  KEYCLIENT_STATE_NONE = 0,
  KEYCLIENT_STATE_PENDING = 1,
  KEYCLIENT_STATE_COMPLETE = 2,
  KEYCLIENT_STATE_EXPIRED = 3,
  KEYCLIENT_STATE_REVOKED = 4,
  KEYCLIENT_STATE_FAILED = 5
} keyclient_state;

/* How soon a record falls after its cause, at this keyd's tier. */
typedef enum keyclient_revocation {
  KEYCLIENT_NEVER = 0,
  KEYCLIENT_COOPERATIVE = 1, /* within moments, as long as the process keeps its connection close-on-exec */
  KEYCLIENT_ON_CONTACT = 2,
  KEYCLIENT_ASYNCHRONOUS = 3,
  KEYCLIENT_SYNCHRONOUS = 4
} keyclient_revocation;

#define KEYCLIENT_FLAG_CHANGE_DUE 1u
#define KEYCLIENT_FLAG_REAUTHENTICATING 2u
#define KEYCLIENT_FLAG_PLANNED_EXEC 4u

typedef struct keyclient_identity {
  size_t size;
  keyclient_state state;
  uint32_t flags;
  uint32_t pid, uid, gid;   /* of keyd's namespaces */
  uint64_t inode;           /* pidfs inode: names the process for ever */
  uint32_t host;            /* 0: this one */
  uint32_t exec_generation; /* planned execs it has survived */
  char user[65];
  char scheme[16], suite[16], tier[16], reason[24];
  uint8_t session_id[16];
  uint64_t pending_since, complete_since, expires;
  uint64_t records, octets;
  uint32_t exchanges, epoch;
  keyclient_revocation on_exec, on_exit, on_credentials; /* the strength of this answer */
} keyclient_identity;

/* KEYCLIENT_OK: somebody is authenticated (COMPLETE) in the process, and *out says who.
 * KEYCLIENT_NOT_AUTHENTICATED: nobody is; out->state says whether there is a record. KEYCLIENT_UNKNOWN: it
 * cannot be told. A handle's first look-up fetches the table from keyd; from then on no system call but the
 * clock's, no waiting. By pid only within keyd's pid namespace (else KEYCLIENT_UNSUPPORTED), and a pid may be
 * reused: prefer the inode, or the socket. `client` needs no session. */
KEYCLIENT_API keyclient_status keyclient_lookup_pid(keyclient_t* client, uint32_t pid,
                                                    keyclient_identity* out);
KEYCLIENT_API keyclient_status keyclient_lookup_inode(keyclient_t* client, uint64_t inode,
                                                      keyclient_identity* out);
/* The process that connected to us on Unix socket `socket`: keyclient_identify() without the peer. */
KEYCLIENT_API keyclient_status keyclient_lookup_socket(keyclient_t* client, int socket,
                                                       keyclient_identity* out);
/* The calling process. */
KEYCLIENT_API keyclient_status keyclient_whoami(keyclient_t* client, keyclient_identity* out);
/* Calls `visit` with every record. */
KEYCLIENT_API keyclient_status keyclient_each(
    keyclient_t* client, void (*visit)(void* context, const keyclient_identity* identity), void* context);

typedef struct keyclient_table {
  size_t size;
  uint32_t version, capacity;
  uint64_t used;
  int stale; /* not 0: keyd is down, nothing in the table counts */
  char tier[16];
  keyclient_revocation on_exec, on_exit, on_credentials;
  uint64_t completed;    /* exchanges that have succeeded since keyd's start */
  int kernel_keeps_down; /* not 0: the kernel itself marks the table at keyd's death, before it can be seen */
} keyclient_table;
KEYCLIENT_API keyclient_status keyclient_table_info(keyclient_t* client, keyclient_table* out);

/* Waits until a record has come, gone, or changed its state or flags since `*seen` (0 at first), and updates
 * it. KEYCLIENT_DEADLINE after `timeout_ms`. Bound the wait: a keyd that was killed changes nothing more. */
KEYCLIENT_API keyclient_status keyclient_wait_for_change(keyclient_t* client, uint64_t* seen,
                                                         uint32_t timeout_ms);

/* ---- the peer of a socket, and whether it still is who it was */

/* A process at the other end of a Unix socket in which somebody was found authenticated. Holds its pidfd (one
 * descriptor), and the place of its record. It outlives the keyclient_t that it was made with. */
typedef struct keyclient_peer keyclient_peer_t;

/* Who is authenticated in the process that connected to us on `socket`. Statuses as of keyclient_lookup_*();
 * only with KEYCLIENT_OK is there a *peer, the caller's to be freed, and NULL otherwise.
 *
 * The process is the one that the kernel noted: for an accepted socket, whoever called connect(); for a
 * connecting one, whoever called listen() last; for a socketpair, whoever made it. Others may hold the same
 * socket: children, or whom it was passed to. Who must know the sender of each message asks for its SCM_PIDFD
 * beside this. Nothing is concluded from a process that has exited.
 *
 * Where `on_credentials` is not KEYCLIENT_SYNCHRONOUS, the kernel is asked after the look-up whether the process
 * has the uid and gid of its record; KEYCLIENT_UNKNOWN when it has others, or they cannot be told from here: in
 * another user namespace than keyd's, or with a peer in a foreign pid namespace. Where `on_exit` is not, it is
 * asked whether the process lives.
 *
 * What KEYCLIENT_OK, here or of keyclient_peer_check(), lets its caller conclude, by the strength in *out:
 *   on_exec, on_exit, on_credentials = KEYCLIENT_SYNCHRONOUS: no such call had returned since the user proved
 *     the password, up to the moment of the answer;
 *   KEYCLIENT_ASYNCHRONOUS: none had returned but within the last moments, while keyd is not stopped;
 *   KEYCLIENT_ON_CONTACT: of credentials: they are those of the record now, what they were meanwhile nobody
 *     says. Of the rest: as far as the process has spoken to keyd since;
 *   KEYCLIENT_COOPERATIVE: as far as the process keeps its connection to keyd close-on-exec, as libkeyclient
 *     does;
 *   KEYCLIENT_NEVER: nothing.
 * Never more: the next moment may change it. */
KEYCLIENT_API keyclient_status keyclient_identify(keyclient_t* client, int socket, keyclient_peer_t** peer,
                                                  keyclient_identity* out);

/* Is the same user, without a break, authenticated in the same process, which executes the same program?
 * KEYCLIENT_OK: yes. A renewal by the same user changes nothing, it may move `expires`, `session_id` and
 *   `suite`; nor does a planned exec that has not begun.
 * KEYCLIENT_GONE: no. It ended, expired, exited, changed its ids, or executes another program, a planned exec
 *   included; or keyd has stopped. It stays so: keyclient_identify() the socket anew to know who is there now.
 * KEYCLIENT_UNKNOWN: it cannot be told: keyd does not move, or the process cannot be asked. Refuse; later it may
 *   be told again.
 * Costs two loads and the clock, no system call, where exit and credentials are SYNCHRONOUS; PIDFD_GET_INFO more
 * where credentials are not, and poll where exit is not. */
KEYCLIENT_API keyclient_status keyclient_peer_check(keyclient_peer_t* peer);

/* The same by what is in the table alone, never a system call: for the inner loop of who calls
 * keyclient_peer_check() at other times. It leaves out
 *   - what is known on contact only: a change of ids where on_credentials is KEYCLIENT_ON_CONTACT, and what keyd
 *     has not noticed yet where they are ASYNCHRONOUS;
 *   - the clock's word on the end of the session's lifetime: that is seen when keyd has written it down, within
 *     a second, or not at all while keyd is stopped.
 * Costs one load of the record's word and one of whether keyd lives, where the kernel tells its death in the
 * table (keyclient_table.kernel_keeps_down); elsewhere the clock too, because a keyd that is killed is noticed by
 * its missing heartbeat, within three seconds. */
KEYCLIENT_API keyclient_status keyclient_peer_glance(const keyclient_peer_t* peer);

/* Sleeps until keyclient_peer_check() would not give KEYCLIENT_OK, and gives what it would. KEYCLIENT_DEADLINE:
 * it still would after `timeout_ms`. What keyd writes or announces wakes at once; the rest is looked for ten
 * times a second. */
KEYCLIENT_API keyclient_status keyclient_peer_wait(keyclient_peer_t* peer, uint32_t timeout_ms);

/* The peer's pidfd, for poll, select or epoll: readable once the process has exited. Stays the peer's; do not
 * close it. There is no descriptor that tells the other endings: none could without a thread, or without keyd
 * keeping a connection for every watcher. An event loop calls keyclient_peer_glance() or _check() before it acts
 * for the peer, which costs less than a wake-up, and where it holds what must be let go of soon, from a timer. */
KEYCLIENT_API int keyclient_peer_descriptor(const keyclient_peer_t* peer);

/* NULL is fine. */
KEYCLIENT_API void keyclient_peer_free(keyclient_peer_t* peer);

/* ---- planned exec */

/* Announces that this process will execve once, within 10 s, to an image that is not more privileged. Its
 * record survives that exec. Afterwards this handle has no session. Stores two descriptors without
 * close-on-exec: the connection, and the next keys in a memfd_secret. Pass their numbers as
 * KEYD_SESSION="<socket>:<keys>". KEYCLIENT_UNSUPPORTED: this kernel has no memfd_secret; nothing was
 * announced. With both pointers NULL nothing is handed over and the record survives alone, where keyd's tier
 * sees execs ("watch" and better). */
KEYCLIENT_API keyclient_status keyclient_plan_exec(keyclient_t* client, int* socket, int* keys);

/* In the image after a planned exec: takes the session over from KEYD_SESSION, removes that variable, and
 * re-keys. KEYCLIENT_NOT_FOUND when there is none to take over. */
KEYCLIENT_API keyclient_status keyclient_adopt(const keyclient_options* options, keyclient_t** out);

#ifdef __cplusplus
}
#endif

#endif
