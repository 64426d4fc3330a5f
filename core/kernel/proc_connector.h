// The kernel's process event connector: execs and changes of credentials of every process, as they happen, a
// moment after they have happened. Only in the initial pid, user and network namespaces; before Linux 6.6
// with CAP_NET_ADMIN alone.
//
// Execs and changes of ids come on sockets of their own, because their loss means different things: a process
// cannot be asked whether it has exec'd, but it can be asked for its ids.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace keyd::kernel {

// What one message of the connector says.
struct ProcessMessage {
  enum class Kind {
    kExec,
    kIds,             // a uid or gid has changed
    kAcknowledgement  // of an operation: somebody's, not always ours
  };
  Kind kind;
  std::uint32_t tgid = 0;                        // in the initial pid namespace
  std::uint32_t acknowledgement = 0, error = 0;  // its number; its outcome

  bool operator==(const ProcessMessage&) const = default;
};

// Nothing: the datagram is too short, or tells something else.
[[nodiscard]] std::optional<ProcessMessage> decode_process_message(ByteView datagram);

class ProcConnector {
 public:
  // Subscribes, and waits for proof that events really arrive (a container's connector stays silent): the
  // caller's own forked child must be seen within a second. kUnsupported where it is not.
  [[nodiscard]] static Result<ProcConnector> open();

  [[nodiscard]] int exec_descriptor() const { return execs_.get(); }
  [[nodiscard]] int ids_descriptor() const { return ids_.get(); }

  // Takes what has arrived, without waiting: the tgids (of the initial pid namespace) that have exec'd, one
  // for each exec, in order, appended to `tgids`. False when execs may have been missed: the buffer ran over,
  // or somebody has silenced the connector or could have. Then every process must be taken to have exec'd.
  [[nodiscard]] bool drain_execs(std::vector<std::uint32_t>& tgids);

  // When nothing was heard since the last time: makes the connector say something, and drain_execs() then
  // tells whether it did. Call it now and then: a silent connector looks like a machine on which nothing
  // happens. False when the socket broke.
  [[nodiscard]] bool probe();

  // The tgids whose uids or gids have changed, appended: at most kIdsAtOnce. False when there are more, or
  // some were lost: every process is to be asked for its ids then.
  [[nodiscard]] bool drain_ids(std::vector<std::uint32_t>& tgids);
  static constexpr std::size_t kIdsAtOnce = 1024;

 private:
  ProcConnector(UniqueFd execs, UniqueFd ids) : execs_(std::move(execs)), ids_(std::move(ids)) {}
  // One of our own operations that was not seen acknowledged yet.
  struct Said {
    std::uint32_t acknowledgement;  // the number that its acknowledgement carries: not to be guessed
    bool counts;                    // it has added a listener, or proved that there is one
  };
  [[nodiscard]] bool say(int socket, std::uint32_t operation, bool counts);
  void take_acknowledgement(std::uint32_t number, std::uint32_t error);
  [[nodiscard]] bool read_execs(std::vector<std::uint32_t>& tgids);
  [[nodiscard]] bool raise(std::vector<std::uint32_t>& tgids);
  [[nodiscard]] bool establish();

  UniqueFd execs_, ids_;
  std::deque<Said> said_;
  // The kernel counts at least so many listeners (in parts of one), and the least since the last look.
  std::int64_t listeners_ = 0, fewest_ = 0;
  bool heard_ = false;  // anything, since the last probe
};

}  // namespace keyd::kernel
