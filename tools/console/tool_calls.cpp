#include "tools/console/tool_calls.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

namespace keyd::console {

kernel::SystemCalls tool_calls() {
  using kernel::is;
  kernel::SystemCalls calls = kernel::run_time_calls();
  const kernel::SystemCalls more{
      {"socket", {is(0, AF_UNIX)}},
      {"connect"},
      {"getsockopt"},
      {"setsockopt"},
      {"recvfrom"},
      {"recvmsg"},
      {"sendto"},
      {"sendmsg"},
      {"shutdown"},
      {"ioctl", {is(1, TCGETS)}},
      {"ioctl", {is(1, TCSETS)}},
      {"ioctl", {is(1, TCSETSW)}},
      {"ioctl", {is(1, TCSETSF)}},
      {"ioctl", {is(1, TIOCGWINSZ)}},
      // files, where Landlock lets it
      {"open"},
      {"openat"},
      {"stat"},
      {"lstat"},
      {"access"},
      {"readlink"},
  };
  calls.insert(calls.end(), more.begin(), more.end());
  return calls;
}

}  // namespace keyd::console
