// keyd's task table as this process sees it: fetched once, fetched anew after a restart of keyd. Look-ups are
// free of locks and system calls; several threads may make them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/table/table_reader.h"
#include "libkeyclient/src/keyd_link.h"

namespace keyd::client {

class TableView {
 public:
  explicit TableView(const Target& target) : target_(target) {}

  // The table as far as it is known. The very first call fetches it from keyd, within the target's timeout.
  // After that nothing waits: while the table is stale, calls look now and then whether a new keyd has
  // answered, and give the stale one meanwhile, for its readers say so themselves. Never null, and valid as
  // long as this view.
  [[nodiscard]] Outcome<const table::TableReader*> current();

 private:
  [[nodiscard]] Outcome<const table::TableReader*> fetch();
  void refresh();
  [[nodiscard]] Outcome<const table::TableReader*> take(const ServerAnswer& answer);

  const Target& target_;
  std::atomic<const table::TableReader*> current_{nullptr};
  std::mutex mutex_;
  // Those of earlier keyds stay: another thread may be reading one.
  std::vector<std::unique_ptr<table::TableReader>> readers_;
  std::optional<KeydLink> asked_;  // of a keyd that has not answered yet
  std::uint64_t next_look_ = 0;
};

}  // namespace keyd::client
