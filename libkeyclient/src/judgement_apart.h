// A judgement on passwords by code that copies them about and does not wipe them: in a child process, of which nothing
// is left afterwards.
//
// The passwords do not come to the child by the fork, for locked memory is not inherited, but through a pair of
// sockets, and the verdict comes back there. The child has no other descriptor, none of the program's handlers of
// signals, leaves no core file and cannot be looked into by its user. Whatever ends it before its verdict (a crash, a
// signal, no memory, the deadline) is no verdict, and no verdict is a refusal.
//
// What the program notices: a handler of SIGCHLD may be called for the child, and a wait(2) of its own for any child
// may reap it, which does no harm. A program whose other threads are inside the C library's locale or name service just
// when the child is made may see it wait for a lock that nobody gives back: then the deadline passes, and the next try
// is as good as the first.
// System calls: here socketpair, clone, sendto, recvfrom, poll, pidfd_open, pidfd_send_signal, waitid, rt_sigprocmask;
// in the child also prctl, setrlimit, setitimer, rt_sigaction, dup2, close_range and those of core/secret/locked_pool.h.
#pragma once

#include <chrono>
#include <functional>

#include "core/base/bytes.h"
#include "libkeyclient/src/failure.h"

namespace keyd::client {

inline constexpr std::chrono::seconds kLongestJudgement{10};

// Runs in the child. Zero-terminated, in the child's own locked memory.
using Judge = std::function<Outcome<void>(const char* fresh, const char* old)>;

// What `judge` says of the two; an exception of its is no verdict. `fresh` holds no zero octet; those of `old` are left
// out. At most kMaxPassword octets each. Throws PoolExhausted. Besides the judge's own failures:
//   KEYCLIENT_BUSY      no descriptor, no process or no locked memory is to be had
//   KEYCLIENT_DEADLINE  no verdict in time: the child is killed
//   KEYCLIENT_INTERNAL  the child ended without one
[[nodiscard]] Outcome<void> judge_apart(ByteView fresh, ByteView old, const Judge& judge,
                                        std::chrono::milliseconds deadline = kLongestJudgement);

}  // namespace keyd::client
