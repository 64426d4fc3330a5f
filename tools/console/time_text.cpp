#include "tools/console/time_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

namespace keyd::console {
namespace {

constexpr std::uint64_t kLast = 253402300799;  // 9999-12-31T23:59:59Z

}  // namespace

std::string utc(std::uint64_t seconds) {
  // fmt::gmtime throws for years that do not fit.
  if (seconds > kLast) return fmt::format("{}", seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

}  // namespace keyd::console
