// A kernel that lacks a system call, as far as a process can tell: a seccomp(2) filter of its own.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstddef>

namespace keyd::testing {

// From now on `call` fails with `error` in this thread, what it starts and what it executes. Root keeps its
// way to new privileges; others lose it (PR_SET_NO_NEW_PRIVS), which the kernel asks of them. False when it
// cannot be had.
inline bool refuse_call(long call, int error = ENOSYS) {
  const auto refusal = SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & SECCOMP_RET_DATA);
  sock_filter steps[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<unsigned>(call)},
      {BPF_RET | BPF_K, 0, 0, refusal},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program{sizeof steps / sizeof *steps, steps};
  const auto install = [&] { return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0; };
  return install() || (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && install());
}

}  // namespace keyd::testing
