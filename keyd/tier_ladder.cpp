#include "keyd/tier_ladder.h"

#include <fmt/format.h>
#include <malloc.h>

#include "core/base/log.h"
#include "core/table/bpf_table.h"
#include "core/table/task_terms.h"

namespace keyd::daemon {
namespace {

Result<ReachedTier> reach_kernel(const Config& config) {
  const bool every_syscall = config.credentials == CredentialsWatch::kEverySyscall;
  auto memory =
      table::BpfTable::load({.capacity = config.table_capacity, .watch_every_syscall = every_syscall});
  ::malloc_trim(0);  // the kernel's type information, some 5 MB, was there for the loading alone
  if (!memory) return std::unexpected(memory.error());
  table::Strength strength = table::strength_of(table::Tier::kKernel);
  if (every_syscall) strength.credentials = table::Revocation::kSynchronous;
  return ReachedTier{table::Tier::kKernel, strength, std::move(*memory), std::nullopt};
}

Result<ReachedTier> reach_in_user_space(table::Tier tier, const Config& config) {
  std::optional<kernel::ProcConnector> connector;
  if (tier == table::Tier::kWatch) {
    auto opened = kernel::ProcConnector::open();
    if (!opened) return std::unexpected(opened.error());
    connector = std::move(*opened);
  }
  auto memory = table::SealedMemfd::create(table::table_size(config.table_capacity));
  if (!memory) return std::unexpected(memory.error());
  return ReachedTier{tier, table::strength_of(tier), std::move(*memory), std::move(connector)};
}

Result<ReachedTier> reach(table::Tier tier, const Config& config) {
  return tier == table::Tier::kKernel ? reach_kernel(config) : reach_in_user_space(tier, config);
}

std::optional<table::Tier> named(TierChoice choice) {
  switch (choice) {
    case TierChoice::kKernel: return table::Tier::kKernel;
    case TierChoice::kWatch: return table::Tier::kWatch;
    case TierChoice::kPidfd: return table::Tier::kPidfd;
    case TierChoice::kAuto: break;
  }
  return std::nullopt;
}

}  // namespace

Result<ReachedTier> reach_tier(const Config& config) {
  using enum table::Tier;
  const auto only = named(config.tier);
  if (config.credentials == CredentialsWatch::kEverySyscall && only.value_or(kKernel) != kKernel) {
    return fail(Code::kInvalid,
                "daemon.credentials = \"every-syscall\" takes daemon.tier = \"kernel\" or \"auto\"");
  }
  for (const table::Tier tier : {kKernel, kWatch, kPidfd}) {
    if (only.value_or(tier) != tier) continue;
    auto reached = reach(tier, config);
    if (reached) return reached;
    const std::string why =
        fmt::format("tier {} cannot be reached: {}", table::name_of(tier), reached.error().message());
    // The last rung, or the only one that will do.
    if (only || tier == kPidfd) return fail(reached.error().code, why);
    if (config.credentials == CredentialsWatch::kEverySyscall) {
      return fail(reached.error().code, why + "; daemon.credentials = \"every-syscall\" takes it");
    }
    log::info(why);
  }
  return fail(Code::kBroken, "no tier");
}

}  // namespace keyd::daemon
