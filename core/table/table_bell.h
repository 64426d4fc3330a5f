// What wakes those who wait for a change of the task table: one page of shared memory, beside the table and
// handed out with it. The writer rings after every change; readers sleep on it. The truth is in the table
// (TableHeader::changes): the bell says only that it is time to look.
//
// A page of its own, because a futex cannot be waited for on the pages of a BPF array (EFAULT); in every tier,
// so that there is one way.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstdint>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::table {

inline constexpr std::size_t kBellSize = 4096;  // octets; the count is the first eight of them

// A waiter looks at the table this often even when nobody rings: what the kernel changes there by itself is
// rung for only by a keyd that runs.
inline constexpr std::uint64_t kLookAtLeastEvery = 100 * kMillisecond;

// The writer's end. The page is sealed as the table's memory is: whoever has its descriptor can read alone.
class TableBell {
 public:
  [[nodiscard]] static Result<TableBell> create();

  // Wakes everybody who waits. One system call; call it after the change.
  void ring();
  [[nodiscard]] int reader_descriptor() const { return fd_.get(); }

 private:
  TableBell(UniqueFd fd, boost::interprocess::mapped_region region)
      : fd_(std::move(fd)), region_(std::move(region)) {}
  UniqueFd fd_;
  boost::interprocess::mapped_region region_;
};

// A reader's end. Thread-safe.
class BellListener {
 public:
  // Maps the descriptor read-only. kInvalid when it is not a sealed memfd with a whole page. It may be closed
  // afterwards.
  [[nodiscard]] static Result<BellListener> map(int descriptor);

  // Sleeps while `unchanged()` holds, for at most `timeout` ns. True when it no longer holds. `unchanged` is
  // asked after every ring and at least every kLookAtLeastEvery; it must not sleep itself.
  template <typename Unchanged>
  [[nodiscard]] bool wait_while(const Unchanged& unchanged, std::uint64_t timeout) const {
    const BootTime begun = boot_now();
    for (;;) {
      // The bell first: a ring that comes after the look is one that the sleep below does not miss.
      const std::uint64_t heard = rings();
      if (!unchanged()) return true;
      const std::uint64_t passed = boot_now() - begun;
      if (passed >= timeout) return false;
      sleep(heard, timeout - passed);
    }
  }

 private:
  explicit BellListener(boost::interprocess::mapped_region region) : region_(std::move(region)) {}
  [[nodiscard]] std::uint64_t rings() const;
  void sleep(std::uint64_t heard, std::uint64_t longest) const;
  boost::interprocess::mapped_region region_;
};

}  // namespace keyd::table
