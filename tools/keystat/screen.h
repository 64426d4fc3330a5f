// keystat --watch as it stands on the screen: pure text out of what was read and what was chosen.
#pragma once

#include <string>
#include <vector>

#include "tools/keystat/terminal.h"
#include "tools/keystat/view.h"

namespace keyd::keystat {

struct ScreenInput {
  Snapshot& snapshot;
  bool down;         // keyd does not answer for the table
  double rate;       // ExchangeRate
  std::string time;  // for the header
  Terminal::Size size;
  bool colour;
};

// At most size.rows lines of at most size.columns columns.
[[nodiscard]] std::vector<std::string> compose(const ScreenInput& input, View& view);

}  // namespace keyd::keystat
