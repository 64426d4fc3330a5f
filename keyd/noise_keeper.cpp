#include "keyd/noise_keeper.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/log.h"

namespace keyd::daemon {
namespace {
constexpr std::chrono::seconds kInterval{60};
}

NoiseKeeper::NoiseKeeper(boost::asio::io_context& loop, WorkerPool& workers, bool raw_sources)
    : workers_(workers),
      timer_(loop),
      collector_(raw_sources ? crypto::raw_noise_sources()
                             : std::vector<std::unique_ptr<crypto::NoiseSource>>()) {}

Result<void> NoiseKeeper::start() {
  const auto first = collector_.stir();
  report(first, true);
  if (!first) return std::unexpected(first.error());
  wait();
  return {};
}

void NoiseKeeper::report(const Result<crypto::NoiseCollector::Report>& result, bool first) {
  trustworthy_ = result.has_value();
  if (!result) {
    log::error("no random numbers: " + result.error().message() +
               "; exchanges are refused until it works again");
    return;
  }
  for (const std::string& failure : result->newly_failed) log::warn("noise source left out: " + failure);
  if (first) log::info(fmt::format("noise: {}", fmt::join(result->mixed, ", ")));
}

void NoiseKeeper::wait() {
  timer_.expires_after(kInterval);
  timer_.async_wait([this](boost::system::error_code ec) {
    if (ec) return;
    workers_.post(
        0, [this] { return collector_.stir(); },
        [this](const Result<crypto::NoiseCollector::Report>& result) {
          report(result, false);
          wait();
        });
  });
}

}  // namespace keyd::daemon
