// Executes a command as on a kernel without memfd_secret(2). usage: without_memfd_secret PROGRAM [ARGUMENT...]
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "tests/support/refused_call.h"

int main(int argc, char** argv) {
  if (argc < 2 || !keyd::testing::refuse_call(SYS_memfd_secret)) return 126;
  ::execv(argv[1], argv + 1);
  std::perror(argv[1]);
  return 127;
}
