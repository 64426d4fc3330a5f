#include "core/kernel/namespaces.h"

#include <sys/stat.h>

namespace keyd::kernel {

NamespaceIds own_namespaces() {
  struct stat pid{}, user{};
  NamespaceIds ids;
  if (::stat("/proc/self/ns/pid", &pid) == 0) ids.pid = pid.st_ino;
  if (::stat("/proc/self/ns/user", &user) == 0) ids.user = user.st_ino;
  return ids;
}

}  // namespace keyd::kernel
