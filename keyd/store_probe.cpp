#include "keyd/store_probe.h"

#include <fmt/format.h>

namespace keyd::daemon {
namespace {

std::uint64_t microseconds_since(BootTime start) { return (boot_now() - start) / 1000; }

Result<StoreProbe::Outcome> probe(UserStore& store, BootTime asked) {
  StoreProbe::Outcome outcome;
  outcome.answered = true;
  outcome.waited = microseconds_since(asked);
  const BootTime reading = boot_now();
  const auto read = store.list({}, 1);
  outcome.read = microseconds_since(reading);
  if (!read) {
    outcome.problem = read.error().message();
    return outcome;
  }
  const BootTime writing = boot_now();
  const auto written = store.write_probe();
  outcome.write = microseconds_since(writing);
  if (!written) outcome.problem = written.error().message();
  return outcome;
}

}  // namespace

void StoreProbe::Asker::tell(const Outcome& outcome) {
  if (!done) return;  // was told already that there is no answer
  patience.cancel();
  std::exchange(done, nullptr)(outcome);
}

void StoreProbe::ask(Done done) {
  const auto asker = std::make_shared<Asker>(loop_, std::move(done));
  askers_.push_back(asker);
  asker->patience.expires_after(kPatience);
  asker->patience.async_wait([this, asker](boost::system::error_code ec) {
    if (!ec) gave_up(asker);
  });
  if (running_since_ == 0) begin();
}

void StoreProbe::begin() {
  running_since_ = boot_now();
  store_.post(
      0, [asked = running_since_](UserStore& store) { return probe(store, asked); },
      [this](const Result<Outcome>& result) {
        running_since_ = 0;
        Outcome outcome;
        if (result) {
          outcome = *result;
        } else {
          outcome.problem = result.error().message();
        }
        for (const auto& asker : std::exchange(askers_, {})) asker->tell(outcome);
      });
}

void StoreProbe::gave_up(const std::shared_ptr<Asker>& asker) {
  std::erase(askers_, asker);
  Outcome none;
  none.problem = fmt::format(
      "the store does not answer (asked {} ms ago): its disk hangs, or somebody holds it; who is "
      "authenticated stays so, but no exchange can begin",
      (boot_now() - running_since_) / kMillisecond);
  asker->tell(none);
}

}  // namespace keyd::daemon
