#include "core/table/table_bell.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>

#include "core/kernel/memfd.h"
#include "core/table/table_memory.h"

namespace keyd::table {

namespace ipc = boost::interprocess;

namespace {

std::atomic<std::uint64_t>& count_in(const ipc::mapped_region& region) {
  return *static_cast<std::atomic<std::uint64_t>*>(region.get_address());
}

}  // namespace

Result<TableBell> TableBell::create() {
  auto fd = kernel::make_memfd("keyd-table-bell", kBellSize);
  if (!fd) return std::unexpected(fd.error());
  ipc::mapped_region region;
  try {
    region = ipc::mapped_region(MappableDescriptor(fd->get()), ipc::read_write, 0, kBellSize);
  } catch (const ipc::interprocess_exception& e) {
    return fail(Code::kExhausted, std::string("cannot map the table's bell: ") + e.what());
  }
  if (auto sealed = kernel::seal_for_readers(fd->get()); !sealed) return std::unexpected(sealed.error());
  return TableBell(std::move(*fd), std::move(region));
}

void TableBell::ring() {
  std::atomic<std::uint64_t>& count = count_in(region_);
  count.fetch_add(1, std::memory_order_release);
  // Its low half (little-endian) is the futex.
  ::syscall(SYS_futex, &count, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

Result<BellListener> BellListener::map(int descriptor) {
  // A file that its owner could still cut off would be a SIGBUS to come; and only a memfd has seals.
  struct stat st{};
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(descriptor, &st) != 0 ||
      st.st_size < static_cast<off_t>(kBellSize)) {
    return fail(Code::kInvalid, "the table's bell is no page that stays");
  }
  try {
    return BellListener(ipc::mapped_region(MappableDescriptor(descriptor), ipc::read_only, 0, kBellSize));
  } catch (const ipc::interprocess_exception& e) {
    return fail(Code::kBroken, std::string("cannot map the table's bell: ") + e.what());
  }
}

std::uint64_t BellListener::rings() const { return count_in(region_).load(std::memory_order_acquire); }

void BellListener::sleep(std::uint64_t heard, std::uint64_t longest) const {
  const std::uint64_t nanoseconds = std::min(longest, kLookAtLeastEvery);
  timespec relative{};
  relative.tv_sec = static_cast<std::time_t>(nanoseconds / kSecond);
  relative.tv_nsec = static_cast<long>(nanoseconds % kSecond);
  // Interrupted, rung at, out of time or a page that cannot be waited on: the caller looks in any case. Only the
  // last must not become a loop that never rests.
  if (::syscall(SYS_futex, &count_in(region_), FUTEX_WAIT, static_cast<std::uint32_t>(heard), &relative,
                nullptr, 0) != 0 &&
      errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT) {
    ::nanosleep(&relative, nullptr);
  }
}

}  // namespace keyd::table
