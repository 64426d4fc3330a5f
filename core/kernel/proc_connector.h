// The kernel's process event connector: execs and changes of credentials of every process, as they happen, a
// moment after they have happened. Only in the initial pid and network namespaces; before Linux 6.6 with
// CAP_NET_ADMIN alone.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::kernel {

struct ProcessEvent {
  enum class Kind { kExec, kCredentials };
  Kind kind;
  std::uint32_t tgid;  // in the initial pid namespace
};

class ProcConnector {
 public:
  // Subscribes, and waits for proof that events really arrive (a container's connector stays silent): the
  // caller's own forked child must be seen within a second. kUnsupported where it is not.
  [[nodiscard]] static Result<ProcConnector> open();

  [[nodiscard]] int descriptor() const { return socket_.get(); }

  // Takes what has arrived, without waiting, appended to `out`. False when events were lost (ENOBUFS) or the
  // socket broke: whoever relies on them must assume that every process has exec'd.
  [[nodiscard]] bool drain(std::vector<ProcessEvent>& out);

 private:
  explicit ProcConnector(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

}  // namespace keyd::kernel
