// The kernel's process event connector: execs and changes of credentials of every process, as they happen, a
// moment after they have happened. Only in the initial pid, user and network namespaces; before Linux 6.6
// with CAP_NET_ADMIN alone.
//
// Execs, changes of ids and acknowledgements come on sockets of their own, because their loss means different
// things: a process cannot be asked whether it has exec'd, but it can be asked for its ids; and nobody's
// operations shall push an exec out of a buffer.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/unique_fd.h"
#include "core/kernel/listener_count.h"

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

// How much a look at the connector has told.
enum class Heard {
  kAll,   // all that had happened when it was asked
  kSome,  // there is more than one look takes: look again
  kLost,  // execs may have been missed
};

class ProcConnector {
 public:
  // Subscribes, and waits for proof that events really arrive (a container's connector stays silent): the
  // caller's own forked child must be seen within a second. kUnsupported where it is not.
  [[nodiscard]] static Result<ProcConnector> open();

  [[nodiscard]] int exec_descriptor() const { return execs_.get(); }
  [[nodiscard]] int acknowledgement_descriptor() const { return successes_.get(); }
  [[nodiscard]] int ids_descriptor() const { return ids_.get(); }

  // Takes what has arrived, without waiting and a bounded part of it: the tgids (of the initial pid
  // namespace) that have exec'd, one for each exec, in order, appended to `tgids`. To be called when one of
  // the first two descriptors is readable. kLost: a buffer ran over, or somebody has silenced the connector or
  // could have; every process must be taken to have exec'd. It begins anew a second later, by and by; until
  // that is done all calls say kLost.
  [[nodiscard]] Heard drain_execs(std::vector<std::uint32_t>& tgids);

  // When nothing was heard since the last time: makes the connector say something, and drain_execs() then
  // tells whether it did. Call it now and then: a silent connector looks like a machine on which nothing
  // happens. False when the socket broke.
  [[nodiscard]] bool probe();

  // The tgids whose uids or gids have changed, appended: at most kIdsAtOnce. False when there are more, or
  // some were lost: every process is to be asked for its ids then.
  [[nodiscard]] bool drain_ids(std::vector<std::uint32_t>& tgids);
  static constexpr std::size_t kIdsAtOnce = 1024;

 private:
  ProcConnector() = default;
  // One of our own operations that was not seen acknowledged yet.
  struct Said {
    std::uint32_t acknowledgement;  // the number that its acknowledgement carries: not to be guessed
    bool counts;                    // it has added a listener
  };
  [[nodiscard]] bool say(int socket, std::uint32_t operation, bool counts);
  void take_success(std::uint32_t number);
  void read_errors();
  [[nodiscard]] bool raise();
  [[nodiscard]] bool listen();
  [[nodiscard]] Heard lose();
  void begin_anew();
  [[nodiscard]] Heard go_on_beginning();

  enum class State {
    kListening,  // nothing was missed since it is in this state
    kBeginning,  // adds its listeners
    kLost,       // waits until it may begin anew
  };
  UniqueFd execs_, ids_, successes_, errors_;
  State state_ = State::kLost;
  BootTime lost_at_ = 0;
  std::deque<Said> said_;
  ListenerCount listeners_;
  bool heard_ = false;  // anything, since the last probe
};

}  // namespace keyd::kernel
