#include "tools/keystat/watch.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "core/base/clock.h"
#include "tools/console/command_line.h"
#include "tools/keystat/complaint.h"
#include "tools/keystat/exchange_rate.h"
#include "tools/keystat/screen.h"

namespace keyd::keystat {
namespace {

constexpr std::uint64_t kShortest = 100 * kMillisecond;  // between two looks at the table
constexpr std::uint64_t kLongest = 2 * kSecond;
constexpr std::uint64_t kWhileDown = 500 * kMillisecond;
constexpr std::uint64_t kShare = 5;  // of the time, at most one in so many parts is spent on looking

// The table, looked at when it has changed or it is time.
class Looker {
 public:
  Looker(keyclient_t* client, const Filter& filter) : client_(client), filter_(filter) {}

  keyclient_status look() {
    const BootTime begun = boot_now();
    (void)keyclient_wait_for_change(client_, &seen_, 0);  // what comes from here on is a change again
    Snapshot next;
    const auto status = take_snapshot(client_, filter_, next);
    if (status != KEYCLIENT_OK) next.table = snapshot.table;
    snapshot = std::move(next);
    down = status != KEYCLIENT_OK || snapshot.table.stale != 0;
    looked_ = boot_now();
    rest_ = std::max(kShortest, (looked_ - begun) * kShare);
    if (!down) rate.look(snapshot.table.completed, looked_);
    return status;
  }
  [[nodiscard]] bool is_time() {
    const std::uint64_t passed = boot_now() - looked_;
    if (passed < rest_) return false;
    if (passed >= (down ? kWhileDown : kLongest)) return true;
    std::uint64_t seen = seen_;
    return keyclient_wait_for_change(client_, &seen, 0) == KEYCLIENT_OK;
  }
  // Nanoseconds until is_time() may have something new to say.
  [[nodiscard]] std::uint64_t rest() const {
    const std::uint64_t passed = boot_now() - looked_;
    return passed < rest_ ? rest_ - passed : kShortest;
  }

  Snapshot snapshot;
  ExchangeRate rate;
  bool down = false;

 private:
  keyclient_t* client_;
  const Filter& filter_;
  std::uint64_t seen_ = 0;
  BootTime looked_ = 0;
  std::uint64_t rest_ = kShortest;
};

std::string time_now() { return fmt::format("{:%H:%M:%S}", fmt::localtime(::time(nullptr))); }

// Down, or about to come back: nothing to complain about while watching.
bool passes(keyclient_status status) { return status == KEYCLIENT_OK || status == KEYCLIENT_UNKNOWN; }

}  // namespace

int watch_on_screen(keyclient_t* client, const Filter& filter) {
  Looker looker(client, filter);
  if (const auto status = looker.look(); !passes(status)) return complain_about(status);
  View view;
  Terminal terminal;
  for (bool changed = true;;) {
    if (looker.is_time()) {
      (void)looker.look();
      changed = true;
    }
    if (changed) {
      const ScreenInput input{looker.snapshot, looker.down,     looker.rate.per_second(boot_now()),
                              time_now(),      terminal.size(), console::wants_colour()};
      if (!terminal.draw(compose(input, view))) return console::kDone;
    }
    Key key;
    const auto event = terminal.wait(static_cast<int>(looker.rest() / kMillisecond) + 1, key);
    if (event == Terminal::Event::kEnd) return console::kDone;
    if (event == Terminal::Event::kKey && !view.press(key)) return console::kDone;
    changed = event != Terminal::Event::kNothing;
  }
}

int watch_as_text(keyclient_t* client, const Filter& filter, Form form) {
  Looker looker(client, filter);
  for (bool first = true;; first = false) {
    const auto status = looker.look();
    if (first && !passes(status)) return complain_about(status);
    std::string text = render(looker.snapshot, form == Form::kJson ? Form::kJsonLine : form);
    if (looker.down && form == Form::kPretty) text = "keyd is down; waiting for it\n";
    fmt::print("{}", text);
    if (std::fflush(stdout) != 0) return console::kDone;  // whoever read us has gone
    do {
      const std::uint64_t rest = looker.rest();
      const timespec pause{static_cast<std::time_t>(rest / kSecond), static_cast<long>(rest % kSecond)};
      ::nanosleep(&pause, nullptr);
    } while (!looker.is_time());
  }
}

}  // namespace keyd::keystat
