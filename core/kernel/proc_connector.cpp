// The kernel makes events only while it counts at least one listener, and from Linux 6.6 on any process of
// the initial namespaces can change that count: LISTEN adds one, IGNORE takes one away, also a second time
// when the socket's last operation was one that does not exist. Whoever brings it to zero silences the
// connector for everybody, and nothing says so.
//
// But every operation is acknowledged to all listeners as long as the count is positive. So we keep it high
// and read the acknowledgements in order. Our own, known by a random number, say what we have added. One of
// an operation that does not exist is taken for a taking away. Others are other listeners that come and go;
// only two threads that race in one socket can take away more than they have added with those, so each costs
// a small part. While what is left by this reckoning is well above zero, no event was withheld. When it is
// not, or one of ours stays unacknowledged, execs may have been missed.
//
// Not covered: the kernel makes an event without waiting for memory, and drops it when there is none.
#include "core/kernel/proc_connector.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

namespace keyd::kernel {
namespace {

// Octets; the kernel doubles them, and an event costs it some 800. Filled only when the reader does not run.
constexpr int kExecBuffer = 32 << 20;  // some 80 000 execs: seconds of all that a machine can do
constexpr int kIdsBuffer = 1 << 20;    // what does not fit is asked for otherwise

// The reckoning, in parts of a listener.
constexpr std::int64_t kListener = 64;
constexpr std::int64_t kMargin = 2048 * kListener;  // what we add
constexpr std::int64_t kFewest = kMargin / 4;       // below it the connector may have been silent: others'
                                                    // operations count before they are acknowledged

// nlmsghdr | cn_msg | proc_event: where the event's kind is, for the filter and the reader.
constexpr std::uint32_t kAckOffset = NLMSG_HDRLEN + offsetof(cn_msg, ack);
constexpr std::uint32_t kEventOffset = NLMSG_HDRLEN + sizeof(cn_msg);
constexpr std::uint32_t kWhatOffset = kEventOffset + offsetof(proc_event, what);

// Drops all kinds of events but two in the kernel, before they take room in the buffer. (Linux 6.6 has a
// filter of its own, with which acknowledgements would be dropped too. It would not save the kernel work: an
// event is made and offered to each socket before either filter looks.)
bool attach_filter(int socket, std::uint32_t first, std::uint32_t second) {
  // A classic BPF load is big-endian; the field is in the machine's order.
  const std::array<sock_filter, 5> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kWhatOffset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(first), 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(second), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
  sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  return ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

UniqueFd open_socket() {
  return UniqueFd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR));
}

// A member of the events' group with its filter and its buffer. Without CAP_NET_ADMIN the buffer is as large
// as the system lets anybody's be.
UniqueFd join(std::uint32_t first, std::uint32_t second, int buffer) {
  UniqueFd socket = open_socket();
  if (!socket.valid() || !attach_filter(socket.get(), first, second)) return UniqueFd();
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0)
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return UniqueFd();
  return socket;
}

enum class Batch { kMore, kEmpty, kLost };

// Up to kBatch messages in one system call, each given to `visit`.
constexpr std::size_t kBatch = 64;
constexpr std::size_t kMostBatches = 4096;  // more than the buffer can hold at once
template <typename Visit>
Batch read_batch(int socket, const Visit& visit) {
  struct alignas(8) Octets {
    std::array<std::uint8_t, 256> data;
  };
  std::array<Octets, kBatch> buffers;
  std::array<sockaddr_nl, kBatch> from{};
  std::array<iovec, kBatch> parts;
  std::array<mmsghdr, kBatch> headers{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    parts[i] = {buffers[i].data.data(), buffers[i].data.size()};
    headers[i].msg_hdr.msg_name = &from[i];
    headers[i].msg_hdr.msg_namelen = sizeof from[i];
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  const int got = ::recvmmsg(socket, headers.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (got < 0) {
    if (errno == EINTR) return Batch::kMore;
    return errno == EAGAIN || errno == EWOULDBLOCK ? Batch::kEmpty : Batch::kLost;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
    if (from[i].nl_pid != 0) continue;  // only the kernel tells
    const auto message = decode_process_message(ByteView(buffers[i].data).first(headers[i].msg_len));
    if (message) visit(*message);
  }
  return Batch::kMore;
}

// Has a child exec this very program (silenced, and killed as soon as it was seen): the event proves the
// whole way from the kernel to this socket.
bool sees_an_exec(ProcConnector& connector) {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    ::execl("/proc/self/exe", "keyd", "--version", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  bool seen = false;
  std::vector<std::uint32_t> tgids;
  for (int waited = 0; waited < 20 && !seen; ++waited) {
    pollfd entry{connector.exec_descriptor(), POLLIN, 0};
    ::poll(&entry, 1, 50);
    tgids.clear();
    if (!connector.drain_execs(tgids)) break;
    for (const std::uint32_t tgid : tgids) seen |= tgid == static_cast<std::uint32_t>(child);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return seen;
}

}  // namespace

std::optional<ProcessMessage> decode_process_message(ByteView datagram) {
  proc_event event{};
  if (datagram.size() < kEventOffset + offsetof(proc_event, event_data) + sizeof(event.event_data.exec)) {
    return std::nullopt;
  }
  std::memcpy(&event, datagram.data() + kEventOffset, std::min(sizeof event, datagram.size() - kEventOffset));
  const auto id = [](__kernel_pid_t tgid) { return static_cast<std::uint32_t>(tgid); };
  using Kind = ProcessMessage::Kind;
  switch (event.what) {
    case proc_event::PROC_EVENT_EXEC:
      return ProcessMessage{.kind = Kind::kExec, .tgid = id(event.event_data.exec.process_tgid)};
    case proc_event::PROC_EVENT_UID:
    case proc_event::PROC_EVENT_GID:
      return ProcessMessage{.kind = Kind::kIds, .tgid = id(event.event_data.id.process_tgid)};
    case proc_event::PROC_EVENT_NONE: {
      std::uint32_t number = 0;
      std::memcpy(&number, datagram.data() + kAckOffset, sizeof number);
      return ProcessMessage{
          .kind = Kind::kAcknowledgement, .acknowledgement = number, .error = event.event_data.ack.err};
    }
    default: return std::nullopt;
  }
}

Result<ProcConnector> ProcConnector::open() {
  UniqueFd execs = join(proc_event::PROC_EVENT_EXEC, proc_event::PROC_EVENT_NONE, kExecBuffer);
  UniqueFd ids = join(proc_event::PROC_EVENT_UID, proc_event::PROC_EVENT_GID, kIdsBuffer);
  if (!execs.valid() || !ids.valid())
    return fail_errno(Code::kUnsupported, "cannot join the process connector");
  ProcConnector connector(std::move(execs), std::move(ids));
  if (!connector.say(connector.ids_.get(), PROC_CN_MCAST_LISTEN, true) || !connector.establish() ||
      !sees_an_exec(connector)) {
    return fail(Code::kUnsupported, "the process connector tells nothing here (not the initial namespaces?)");
  }
  return connector;
}

// The operation is done, and its acknowledgement is in our buffer, when this returns.
bool ProcConnector::say(int socket, std::uint32_t operation, bool counts) {
  struct {
    nlmsghdr netlink;
    alignas(NLMSG_ALIGNTO) std::array<std::uint8_t, sizeof(cn_msg) + sizeof operation> body;
  } request{};
  request.netlink.nlmsg_len = NLMSG_LENGTH(request.body.size());
  request.netlink.nlmsg_type = NLMSG_DONE;
  cn_msg header{};
  header.id.idx = CN_IDX_PROC;
  header.id.val = CN_VAL_PROC;
  header.len = sizeof operation;
  if (::getrandom(&header.ack, sizeof header.ack, 0) != sizeof header.ack) return false;
  std::memcpy(request.body.data(), &header, sizeof header);
  std::memcpy(request.body.data() + sizeof header, &operation, sizeof operation);
  if (::send(socket, &request, request.netlink.nlmsg_len, 0) !=
      static_cast<ssize_t>(request.netlink.nlmsg_len)) {
    return false;
  }
  said_.push_back({header.ack + 1, counts});
  return true;
}

void ProcConnector::take_acknowledgement(std::uint32_t number, std::uint32_t error) {
  if (!said_.empty() && said_.front().acknowledgement == number) {
    listeners_ += said_.front().counts ? kListener : 0;
    said_.pop_front();
    return;
  }
  listeners_ -= error != 0 ? kListener : 1;
  fewest_ = std::min(fewest_, listeners_);
}

// All that had arrived when it was called, and maybe more. False when some was lost.
bool ProcConnector::read_execs(std::vector<std::uint32_t>& tgids) {
  const auto take = [&](const ProcessMessage& message) {
    heard_ = true;
    if (message.kind == ProcessMessage::Kind::kExec) {
      tgids.push_back(message.tgid);
    } else if (message.kind == ProcessMessage::Kind::kAcknowledgement) {
      take_acknowledgement(message.acknowledgement, message.error);
    }
  };
  for (std::size_t i = 0; i < kMostBatches; ++i) {
    const Batch batch = read_batch(execs_.get(), take);
    if (batch != Batch::kMore) return batch == Batch::kEmpty;
  }
  return true;
}

// Adds listeners: the kernel does not take one away when its socket is closed. Reads in between, for an
// unprivileged buffer is small.
bool ProcConnector::raise(std::vector<std::uint32_t>& tgids) {
  for (std::int64_t i = 1; i <= kMargin / kListener; ++i) {
    const UniqueFd socket = open_socket();
    if (!socket.valid() || !say(socket.get(), PROC_CN_MCAST_LISTEN, true)) return false;
    if (i % 64 == 0 && !read_execs(tgids)) return false;
  }
  return said_.empty();
}

// Begins anew: what was unread tells nothing any more. False when the connector is silent.
bool ProcConnector::establish() {
  for (std::size_t i = 0; i < kMostBatches; ++i) {
    const Batch batch = read_batch(execs_.get(), [](const ProcessMessage&) {});
    if (batch == Batch::kEmpty) break;
    if (batch == Batch::kLost && errno != ENOBUFS) return false;
  }
  said_.clear();
  listeners_ = 0;
  std::vector<std::uint32_t> ignored;
  const bool speaks = say(execs_.get(), PROC_CN_MCAST_LISTEN, true) && raise(ignored);
  fewest_ = listeners_;
  return speaks && listeners_ > kMargin / 2;
}

bool ProcConnector::probe() {
  if (std::exchange(heard_, false)) return true;
  return say(execs_.get(), PROC_CN_MCAST_LISTEN, false);
}

bool ProcConnector::drain_execs(std::vector<std::uint32_t>& tgids) {
  const auto whole = [this] { return said_.empty() && fewest_ >= kFewest; };
  bool told = read_execs(tgids) && whole();
  if (told && listeners_ < kMargin / 2) told = raise(tgids) && whole();
  fewest_ = listeners_;
  if (!told) (void)establish();
  return told;
}

bool ProcConnector::drain_ids(std::vector<std::uint32_t>& tgids) {
  const auto take = [&](const ProcessMessage& message) { tgids.push_back(message.tgid); };
  for (std::size_t i = 0; i < kIdsAtOnce / kBatch; ++i) {
    const Batch batch = read_batch(ids_.get(), take);
    if (batch != Batch::kMore) return batch == Batch::kEmpty;
  }
  return false;  // a flood: to read it all is more work than to ask the processes
}

}  // namespace keyd::kernel
