#include "libkeyclient/src/table_view.h"

#include "core/base/clock.h"

namespace keyd::client {
namespace {
constexpr std::uint64_t kLookEvery = 20 * kMillisecond;
constexpr std::size_t kKeptTables = 64;  // restarts of keyd; more means that something restarts it in a loop

Bytes table_request() {
  wire::ClientPacket request;
  request.mutable_table();
  return wire::encode(request);
}
}  // namespace

Outcome<const MappedTable*> TableView::known() {
  if (const MappedTable* const table = current_.load(std::memory_order_acquire)) return table;
  const std::lock_guard lock(mutex_);
  if (const MappedTable* const meanwhile = current_.load(std::memory_order_acquire)) return meanwhile;
  return fetch();
}

Outcome<const MappedTable*> TableView::current() {
  const auto table = known();
  if (!table || !(*table)->reader.stale()) return table;
  if (std::unique_lock lock(mutex_, std::try_to_lock); lock) refresh();
  return current_.load(std::memory_order_acquire);
}

Outcome<const MappedTable*> TableView::fetch() {
  auto link = KeydLink::connect(target_);
  if (!link) return std::unexpected(link.error());
  const auto answer = link->ask(table_request());
  if (!answer) return std::unexpected(answer.error());
  return take(*answer);
}

// Without waiting: a keyd that is stopped takes the connection and never answers.
void TableView::refresh() {
  const std::uint64_t now = boot_now();
  if (now < next_look_ || tables_.size() >= kKeptTables) return;
  next_look_ = now + kLookEvery;
  if (!asked_) {
    Target at_once = target_;
    at_once.timeout_ms = 0;
    auto link = KeydLink::connect(at_once);
    if (link && link->send(table_request())) asked_.emplace(std::move(*link));
    return;
  }
  const auto answer = asked_->poll();
  if (answer && !*answer) return;
  if (answer) (void)take(**answer);
  asked_.reset();
}

Outcome<const MappedTable*> TableView::take(const ServerAnswer& answer) {
  if (answer.message.has_refused()) return std::unexpected(failure_of(answer.message.refused()));
  if (!answer.message.has_table() || !answer.descriptor.valid() || !answer.second_descriptor.valid()) {
    return failed(KEYCLIENT_INVALID, "keyd did not give its task table");
  }
  auto reader = table::TableReader::map(answer.descriptor.get(), answer.message.table().size());
  if (!reader) return std::unexpected(failure_of(reader.error()));
  auto bell = table::BellListener::map(answer.second_descriptor.get());
  if (!bell) return std::unexpected(failure_of(bell.error()));
  tables_.push_back(std::make_shared<const MappedTable>(std::move(*reader), std::move(*bell)));
  current_.store(tables_.back().get(), std::memory_order_release);
  return tables_.back().get();
}

}  // namespace keyd::client
