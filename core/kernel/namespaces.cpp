#include "core/kernel/namespaces.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <new>

namespace keyd::kernel {

NamespaceIds own_namespaces() {
  struct stat pid{}, user{};
  NamespaceIds ids;
  if (::stat("/proc/self/ns/pid", &pid) == 0) ids.pid = pid.st_ino;
  if (::stat("/proc/self/ns/user", &user) == 0) ids.user = user.st_ino;
  return ids;
}

namespace {
// A page that the kernel clears in every child, however it was made; null where the kernel does not do that.
std::atomic<std::uint64_t>* wiped_on_fork() {
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const page = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (::madvise(page, size, MADV_WIPEONFORK) != 0) {
    ::munmap(page, size);
    return nullptr;
  }
  return new (page) std::atomic<std::uint64_t>(0);
}
}  // namespace

std::uint64_t own_pid_namespace() {
  static std::atomic<std::uint64_t>* const remembered = wiped_on_fork();
  if (remembered == nullptr) return own_namespaces().pid;
  std::uint64_t pid = remembered->load(std::memory_order_relaxed);
  if (pid == 0) {
    pid = own_namespaces().pid;
    remembered->store(pid, std::memory_order_relaxed);
  }
  return pid;
}

}  // namespace keyd::kernel
