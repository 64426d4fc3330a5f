// The tiers, and how far up this machine and our rights reach (docs/kernel.md).
#pragma once

#include <memory>
#include <optional>

#include "core/base/error.h"
#include "core/kernel/proc_connector.h"
#include "core/table/table_memory.h"
#include "keyd/config.h"

namespace keyd::daemon {

// What a tier is made of.
struct ReachedTier {
  table::Tier tier;
  table::Strength strength;
  std::unique_ptr<table::TableMemory> memory;
  std::optional<kernel::ProcConnector> connector;  // in tier `watch`
};

// The best tier that can be reached, or the one that the configuration names, or an error: never a weaker one
// than was asked for. What keeps us from a better one goes to the log. With the privileges that keyd was
// started with, before any thread is made.
[[nodiscard]] Result<ReachedTier> reach_tier(const Config& config);

}  // namespace keyd::daemon
