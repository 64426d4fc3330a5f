// What the parties of a race write down where all of them can read it: one board for each process that makes
// tries, in a memfd that outlives every exec. Plain atomics; times are CLOCK_BOOTTIME nanoseconds, 0 for "never".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace keyd::races {

// Descriptors that a new image finds open.
inline constexpr int kTableDescriptor = 100, kBoardDescriptor = 101, kConnectionDescriptor = 102;

// How long a look-up may go on to find a living record before it counts as one that never falls.
// Longer than a dead keyd's last heartbeat counts.
inline constexpr std::uint64_t kPatience = 10'000'000'000;  // ns

// What a new image does, the word after its name: image ACT TABLE_SIZE BOARD
//   look      looks itself up until it has no living record, and a little longer
//   prove     looks once, sends the board's packet on the connection, and goes on until the answer is there
//   await     looks until keyd has said on the connection what came of the exchange
//   planned   must find itself COMPLETE still, and becomes the same image again, to look
struct RaceBoard {
  std::atomic<std::uint64_t> inode;  // whose record is watched now; 0: nobody's

  // The observer's, who never stops looking at all boards.
  std::atomic<std::uint64_t> seen_living;  // when its last look began that found PENDING or COMPLETE

  // Of the process itself, before and after it became another.
  std::atomic<std::uint64_t>
      moment;  // the first statement of the new image, or the return of the system call
  std::atomic<std::uint64_t> living;       // looks of its own after the moment that found PENDING or COMPLETE
  std::atomic<std::uint64_t> fell;         // when its first look began that did not
  std::atomic<std::uint32_t> ready;        // it stood where the race begins: COMPLETE, or PENDING
  std::atomic<std::uint32_t> images;       // that have begun
  std::atomic<std::uint32_t> lost;         // looks that did not find a record which ought to have stayed
  std::atomic<std::uint32_t> lost_events;  // such, where keyd says that process events were lost
  std::atomic<std::uint32_t> euid, ruid;   // of the last image
  std::atomic<std::uint32_t> complete_since_set;  // the record says that its exchange came to its end

  // The proof, and keyd's answer to it.
  std::atomic<std::uint32_t> packet_size, answer_size;
  std::array<std::uint8_t, 1400> packet, answer;
};

inline constexpr std::size_t kBoardSize = 4096;
static_assert(sizeof(RaceBoard) <= kBoardSize && std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace keyd::races
