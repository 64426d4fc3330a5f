// keyd's task table as this process sees it: fetched once, fetched anew after a restart of keyd. Look-ups are
// free of locks and system calls; several threads may make them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/table/table_bell.h"
#include "core/table/table_reader.h"
#include "libkeyclient/src/keyd_link.h"

namespace keyd::client {

// One keyd's table, and what wakes those who wait for a change of it. Shared by the view and by every peer that
// was identified in it (peer.h).
struct MappedTable : std::enable_shared_from_this<MappedTable> {
  MappedTable(table::TableReader of_table, table::BellListener of_bell)
      : reader(std::move(of_table)), bell(std::move(of_bell)) {}
  table::TableReader reader;
  table::BellListener bell;
};

class TableView {
 public:
  explicit TableView(const Target& target) : target_(target) {}

  // The table as far as it is known. The very first call fetches it from keyd, within the target's timeout.
  // After that nothing waits. Never null, and valid as long as this view.
  [[nodiscard]] Outcome<const MappedTable*> known();
  // Likewise; and while the table is stale, looks now and then whether a new keyd has answered, and gives the
  // stale one meanwhile, for its readers say so themselves.
  [[nodiscard]] Outcome<const MappedTable*> current();

  // A look-up in the known table; when that is stale, in a new one as soon as there is one. `find` takes a
  // MappedTable and gives a LookupOutcome.
  template <typename Find>
  [[nodiscard]] Outcome<table::LookupOutcome> look_up(const Find& find) {
    const auto table = known();
    if (!table) return std::unexpected(table.error());
    const table::LookupOutcome outcome = find(**table);
    if (outcome != table::LookupOutcome::kStale) return outcome;
    const auto next = current();
    if (!next) return std::unexpected(next.error());
    return *next == *table ? outcome : find(**next);
  }

 private:
  [[nodiscard]] Outcome<const MappedTable*> fetch();
  void refresh();
  [[nodiscard]] Outcome<const MappedTable*> take(const ServerAnswer& answer);

  const Target& target_;
  std::atomic<const MappedTable*> current_{nullptr};
  std::mutex mutex_;
  // Those of earlier keyds stay: another thread may be reading one.
  std::vector<std::shared_ptr<const MappedTable>> tables_;
  std::optional<KeydLink> asked_;  // of a keyd that has not answered yet
  std::uint64_t next_look_ = 0;
};

}  // namespace keyd::client
