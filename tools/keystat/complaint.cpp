#include "tools/keystat/complaint.h"

#include "tools/console/command_line.h"

namespace keyd::keystat {

int complain_about(keyclient_status status) {
  const bool down = status == KEYCLIENT_UNREACHABLE || status == KEYCLIENT_UNKNOWN ||
                    status == KEYCLIENT_GONE || status == KEYCLIENT_DEADLINE;
  return console::complain("keystat", keyclient_error(), down ? console::kUnreachable : console::kRefused);
}

}  // namespace keyd::keystat
