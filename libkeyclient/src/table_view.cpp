#include "libkeyclient/src/table_view.h"

#include "core/base/clock.h"

namespace keyd::client {
namespace {
constexpr std::uint64_t kRetryAfter = 100 * kMillisecond;
constexpr std::size_t kKeptReaders = 64;  // restarts of keyd; more means that something restarts it in a loop
}  // namespace

Outcome<const table::TableReader*> TableView::current() {
  const table::TableReader* const reader = current_.load(std::memory_order_acquire);
  if (reader != nullptr && !reader->stale()) return reader;
  const std::lock_guard lock(mutex_);
  const table::TableReader* const now = current_.load(std::memory_order_acquire);
  if (now != reader) return now;  // another thread has fetched it meanwhile
  const std::uint64_t time = boot_now();
  if (now != nullptr && (time - last_try_ < kRetryAfter || readers_.size() >= kKeptReaders)) return now;
  last_try_ = time;
  auto fetched = fetch();
  if (!fetched && now != nullptr) return now;  // stale: its look-ups give "unknown"
  return fetched;
}

Outcome<const table::TableReader*> TableView::fetch() {
  auto link = KeydLink::connect(target_);
  if (!link) return std::unexpected(link.error());
  wire::ClientPacket request;
  request.mutable_table();
  const auto answer = link->ask(wire::encode(request));
  if (!answer) return std::unexpected(answer.error());
  if (answer->message.has_refused()) return std::unexpected(failure_of(answer->message.refused()));
  if (!answer->message.has_table() || !answer->descriptor.valid()) {
    return failed(KEYCLIENT_INVALID, "keyd did not give its task table");
  }
  auto reader = table::TableReader::map(answer->descriptor.get(), answer->message.table().size());
  if (!reader) return std::unexpected(failure_of(reader.error()));
  readers_.push_back(std::make_unique<table::TableReader>(std::move(*reader)));
  current_.store(readers_.back().get(), std::memory_order_release);
  return readers_.back().get();
}

}  // namespace keyd::client
