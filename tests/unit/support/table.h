// A task table in real sealed memory, with a view of the writer's own mapping, so that a test can do to it
// what a crash or a hostile writer would.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "core/base/bytes.h"
#include "core/table/table_reader.h"
#include "core/table/table_writer.h"

namespace keyd::test {

class Table {
 public:
  explicit Table(std::uint32_t capacity = 64, table::Tier tier = table::Tier::kWatch)
      : memory_(make(capacity)),
        base_(memory_->data()),
        writer_(std::move(memory_), table::TableBell::create().value(), capacity, tier, 4242) {
    writer_.heartbeat();
  }

  table::TableWriter& writer() { return writer_; }
  [[nodiscard]] table::TableReader reader() const {
    auto mapped = table::TableReader::map(writer_.reader_descriptor(), writer_.size());
    if (!mapped) std::abort();
    return std::move(*mapped);
  }
  [[nodiscard]] table::BellListener bell() const {
    auto mapped = table::BellListener::map(writer_.bell_descriptor());
    if (!mapped) std::abort();
    return std::move(*mapped);
  }
  // The shared memory as the writer sees it.
  [[nodiscard]] table::TableArrays arrays() const {
    return table::TableArrays::at(base_, writer_.capacity());
  }
  [[nodiscard]] ByteView octets() const { return {static_cast<const std::uint8_t*>(base_), writer_.size()}; }

 private:
  static std::unique_ptr<table::SealedMemfd> make(std::uint32_t capacity) {
    auto made = table::SealedMemfd::create(table::table_size(capacity));
    if (!made) std::abort();
    return std::move(*made);
  }
  std::unique_ptr<table::SealedMemfd> memory_;
  void* base_;
  table::TableWriter writer_;
};

// Whose records they are where that does not matter.
inline constexpr std::uint64_t kOwner = 1000;

// A record of the process (inode, pid) that does not expire.
inline table::TaskRecord record_of(std::uint64_t inode, std::uint32_t pid) {
  table::TaskRecord record;
  record.inode = inode;
  record.pid = pid;
  record.uid = 1000;
  record.scheme = table::Scheme::kChallenge;
  record.suite = table::Suite::kModern;
  record.tier = table::Tier::kWatch;
  record.reason = table::Reason::kExchange;
  record.expires = ~std::uint64_t{0};
  record.user_size = 3;
  record.user = {'a', 'd', 'a'};
  return record;
}

}  // namespace keyd::test
