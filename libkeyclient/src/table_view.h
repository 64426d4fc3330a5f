// keyd's task table as this process sees it: fetched once, fetched anew after a restart of keyd. Look-ups are free of
// locks and system calls; several threads may make them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "core/table/table_reader.h"
#include "libkeyclient/src/keyd_link.h"

namespace keyd::client {

class TableView {
 public:
  explicit TableView(const Target& target) : target_(target) {}

  // A table that is not stale, if one can be had; a stale one is given too, for its readers say so themselves. Never
  // null when it succeeds, and valid as long as this view.
  [[nodiscard]] Outcome<const table::TableReader*> current();

 private:
  [[nodiscard]] Outcome<const table::TableReader*> fetch();

  const Target& target_;
  std::atomic<const table::TableReader*> current_{nullptr};
  std::mutex mutex_;
  // Those of earlier keyds stay: another thread may be reading one.
  std::vector<std::unique_ptr<table::TableReader>> readers_;
  std::uint64_t last_try_ = 0;
};

}  // namespace keyd::client
