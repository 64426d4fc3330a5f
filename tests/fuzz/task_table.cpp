// A task table from somebody who is not keyd: mapping refuses it, or every look-up stays inside the mapping.
// The buffer lies in a memfd of exactly its size, so that a read behind the last page is a crash. The first
// two octets are how many more octets the table is said to have than it has.
#include <unistd.h>

#include <cstring>

#include "core/base/clock.h"
#include "core/kernel/memfd.h"
#include "core/kernel/namespaces.h"
#include "core/table/table_reader.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {
namespace {

void look_around(const table::TableReader& reader) {
  table::TaskView view;
  for (std::uint64_t key = 0; key < 40; ++key) {
    (void)reader.find_by_inode(key * 0x9e3779b97f4a7c15u + key, view);
    (void)reader.find_by_pid(static_cast<std::uint32_t>(key), view);
  }
  // Every key that is in the table as a record shows it is found again or is inconsistent, never out of
  // bounds.
  reader.for_each([&](const table::TaskView& seen) {
    must(seen.record.user_size <= kMaxNameOctets);
    table::TaskView again;
    if (reader.find_by_inode(seen.record.inode, again) == table::LookupOutcome::kFound) {
      must(again.record.inode == seen.record.inode);
    }
    if (reader.find_by_pid(seen.record.pid, again) == table::LookupOutcome::kFound) {
      must(again.record.pid == seen.record.pid);
    }
  });
  (void)reader.stale();
  (void)reader.changes();
}

// A handle made from what was found stands as long as its word does, and not a bit longer; one from anywhere
// leads nowhere outside.
void look_again(const table::TableReader& reader, int memfd, std::uint64_t noise) {
  const table::Sighting anywhere{static_cast<std::uint32_t>(noise), noise, noise};
  if (reader.look_again(anywhere) == table::Standing::kStands) must(anywhere.slot < reader.header().capacity);
  (void)reader.glance(anywhere);
  (void)reader.expiry_of(anywhere);
  reader.for_each([&](const table::TaskView& there) {
    table::TaskView found;
    table::Sighting seen;
    if (reader.find_by_inode(there.record.inode, found, seen) != table::LookupOutcome::kFound) return;
    must(seen.slot < reader.header().capacity);
    const bool complete = found.word.state == table::TaskState::kComplete;
    if (complete) {
      must(reader.look_again(seen) == table::Standing::kStands);
      must(reader.glance(seen) == table::Standing::kStands);
      must(reader.expiry_of(seen) == found.record.expires);
    } else {
      must(reader.look_again(seen) != table::Standing::kStands);
    }
    if (!complete) return;
    const auto at = static_cast<off_t>(table::kHeaderSize + std::size_t{16} * reader.header().capacity +
                                       seen.slot * sizeof(table::TaskSlot));
    std::uint64_t word = 0;
    must(::pread(memfd, &word, sizeof word, at) == sizeof word);
    const unsigned bit = (noise + seen.slot * 7) % 64;  // another one for each record
    const std::uint64_t other = word ^ std::uint64_t{1} << bit;
    must(::pwrite(memfd, &other, sizeof other, at) == sizeof other);
    const bool may_change = bit >= 8 && bit < 16 && (table::kPublicFlags >> (bit - 8) & 1) != 0;
    must((reader.glance(seen) == table::Standing::kStands) == may_change);
    must((reader.look_again(seen) == table::Standing::kStands) == may_change);
    must(::pwrite(memfd, &word, sizeof word, at) == sizeof word);
  });
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyd;
  using namespace keyd::fuzz;
  if (size < 2 || size > (1u << 20)) return 0;
  const std::size_t more = std::size_t{data[0]} << 8 | data[1];
  Bytes buffer(data + 2, data + size);
  // Pids are looked up by those alone who live in keyd's pid namespace: on whatever machine this runs.
  constexpr std::size_t kNamespaceAt = offsetof(table::TableHeader, pid_namespace);
  if (buffer.size() >= table::kHeaderSize && buffer[kNamespaceAt] != 0) {
    const std::uint64_t own = kernel::own_namespaces().pid;
    std::memcpy(buffer.data() + kNamespaceAt, &own, sizeof own);
  }
  // And one that once lived, lives: a heartbeat counts for moments only.
  constexpr std::size_t kAliveAt = offsetof(table::TableHeader, alive_until);
  if (buffer.size() >= table::kHeaderSize && buffer[kAliveAt] != 0) {
    const BootTime alive_until = boot_now() + table::kHeartbeatValidity;
    std::memcpy(buffer.data() + kAliveAt, &alive_until, sizeof alive_until);
  }
  const auto memfd = kernel::make_memfd("fuzz", buffer.size());
  if (!memfd ||
      ::pwrite(memfd->get(), buffer.data(), buffer.size(), 0) != static_cast<ssize_t>(buffer.size())) {
    return 0;
  }
  const auto reader = table::TableReader::map(memfd->get(), buffer.size() + more);
  if (!reader) return 0;
  must(more == 0 && table::table_size(reader->header().capacity) <= buffer.size());
  look_around(*reader);
  std::uint64_t noise = 0;  // the last slot's last words: plan_deadline is nobody's here
  std::memcpy(&noise, buffer.data() + buffer.size() - sizeof noise, sizeof noise);
  look_again(*reader, memfd->get(), noise);
  return 0;
}
