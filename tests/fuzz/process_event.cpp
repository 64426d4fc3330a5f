// A datagram of the process connector, whatever its length: an event is told only when all that it says was
// there.
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/kernel/proc_connector.h"
#include "tests/fuzz/fuzz.h"

namespace keyd::fuzz {
namespace {

constexpr std::size_t kEvent = NLMSG_HDRLEN + sizeof(cn_msg);

std::uint32_t number_at(keyd::ByteView datagram, std::size_t at) {
  std::uint32_t value = 0;
  must(at + sizeof value <= datagram.size());
  std::memcpy(&value, datagram.data() + at, sizeof value);
  return value;
}

void decode(keyd::ByteView datagram) {
  using Kind = kernel::ProcessMessage::Kind;
  const auto message = kernel::decode_process_message(datagram);
  if (!message) return;
  const std::uint32_t what = number_at(datagram, kEvent + offsetof(proc_event, what));
  const std::size_t body = kEvent + offsetof(proc_event, event_data);
  switch (message->kind) {
    case Kind::kExec: must(what == proc_event::PROC_EVENT_EXEC); break;
    case Kind::kIds: must(what == proc_event::PROC_EVENT_UID || what == proc_event::PROC_EVENT_GID); break;
    case Kind::kAcknowledgement:
      must(what == proc_event::PROC_EVENT_NONE);
      must(message->error == number_at(datagram, body));
      must(message->acknowledgement == number_at(datagram, NLMSG_HDRLEN + offsetof(cn_msg, ack)));
      return;
  }
  // Both kinds of event begin with the thread and its process.
  must(message->tgid == number_at(datagram, body + sizeof(std::uint32_t)));
}

}  // namespace
}  // namespace keyd::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  keyd::fuzz::decode({data, size});
  return 0;
}
