// The task table of a running keyd, as any client gets it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/base/unique_fd.h"
#include "core/table/table_reader.h"

namespace keyd::testing {

struct ServedTable {
  UniqueFd descriptor;  // as keyd has sent it
  std::size_t size = 0;
  std::unique_ptr<table::TableReader> reader;  // none: keyd did not give it
};

[[nodiscard]] ServedTable ask_for_table(const std::string& runtime_dir);

}  // namespace keyd::testing
