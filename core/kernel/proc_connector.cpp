// The kernel makes events only while it counts at least one listener, and from Linux 6.6 on any process of
// the initial namespaces can change that count: LISTEN adds one, IGNORE takes one away, also a second time
// when the socket's last operation was one that does not exist. Whoever brings it to zero silences the
// connector for everybody, and nothing says so.
//
// But every operation is acknowledged to all listeners as long as the count is positive. So we keep it high
// and read the acknowledgements. Our own, known by a random number, say what we have added. To take away what
// it has not added, somebody needs an invalid operation *and* an IGNORE: an error and a success. The lesser
// number of the two is the most that can be missing; a flood of errors alone costs nothing, and needs not
// even be read. Two threads that race in one socket can take away more than they have added, so each success
// costs a small part besides. While what is left by this reckoning is well above zero, no event was withheld.
// When it is not, or one of ours stays unacknowledged, execs may have been missed.
//
// Not covered: the kernel makes an event without waiting for memory, and drops it when there is none. Who has
// more than ListenerCount::kPrepared sockets whose last operation is invalid can take away one with each, for a success.
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
#include <span>
#include <utility>

namespace keyd::kernel {
namespace {

// Octets; the kernel doubles them, and an event costs it some 800. Filled only when the reader does not run.
constexpr int kExecBuffer = 32 << 20;     // some 80 000 execs: seconds of all that a machine can do
constexpr int kSuccessBuffer = 64 << 20;  // some 160 000: a quarter of a second of somebody's flood
constexpr int kErrorBuffer = 8 << 20;     // more than kMargin of them: what does not fit needs not be known
constexpr int kIdsBuffer = 1 << 20;       // what does not fit is asked for otherwise

constexpr int kAtOnce = 256;  // added in one look: some 2 ms

// One look: 4096 messages of a socket, 2 ms.
constexpr std::size_t kLook = 64;
constexpr BootTime kPause = kSecond;  // between a loss and beginning anew

// nlmsghdr | cn_msg | proc_event: where the event's kind is, for the filter and the reader.
constexpr std::uint32_t kAckOffset = NLMSG_HDRLEN + offsetof(cn_msg, ack);
constexpr std::uint32_t kEventOffset = NLMSG_HDRLEN + sizeof(cn_msg);
constexpr std::uint32_t kWhatOffset = kEventOffset + offsetof(proc_event, what);
constexpr std::uint32_t kErrorOffset = kEventOffset + offsetof(proc_event, event_data.ack.err);

// Drops in the kernel what a socket is not for, before it takes room in the buffer. (Linux 6.6 has a filter of
// its own, which knows no acknowledgements. It would not save the kernel work: an event is made and offered to
// each socket before either filter looks.) A classic BPF load is big-endian; the fields are in the machine's
// order.
bool attach_filter(int socket, std::span<const sock_filter> program) {
  sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  return ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

std::array<sock_filter, 5> events(std::uint32_t first, std::uint32_t second) {
  return {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kWhatOffset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(first), 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(second), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
}

// Of operations that succeeded, or of those that did not.
std::array<sock_filter, 6> acknowledgements(bool successes) {
  return {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kWhatOffset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(proc_event::PROC_EVENT_NONE), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kErrorOffset),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, static_cast<std::uint8_t>(successes ? 0 : 1),
               static_cast<std::uint8_t>(successes ? 1 : 0)),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
}

UniqueFd open_socket() {
  return UniqueFd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR));
}

// A member of the events' group with its filter and its buffer. Without CAP_NET_ADMIN the buffer is as large
// as the system lets anybody's be.
UniqueFd join(std::span<const sock_filter> filter, int buffer) {
  UniqueFd socket = open_socket();
  if (!socket.valid() || !attach_filter(socket.get(), filter)) return UniqueFd();
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

// Until there is no more, or one look is over (kMore).
template <typename Visit>
Batch look(int socket, const Visit& visit) {
  for (std::size_t i = 0; i < kLook; ++i) {
    if (const Batch batch = read_batch(socket, visit); batch != Batch::kMore) return batch;
  }
  return Batch::kMore;
}

// What is unread tells nothing any more, also not that there was too much.
Batch discard(int socket) {
  for (std::size_t i = 0; i < kLook; ++i) {
    const Batch batch = read_batch(socket, [](const ProcessMessage&) {});
    if (batch == Batch::kEmpty || (batch == Batch::kLost && errno != ENOBUFS)) return batch;
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
  for (const BootTime end = boot_now() + kSecond; !seen && boot_now() < end;) {
    std::array<pollfd, 2> entries{
        {{connector.exec_descriptor(), POLLIN, 0}, {connector.acknowledgement_descriptor(), POLLIN, 0}}};
    ::poll(entries.data(), entries.size(), 50);
    tgids.clear();
    if (connector.drain_execs(tgids) == Heard::kLost) break;
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
  ProcConnector connector;
  connector.execs_ = join(events(proc_event::PROC_EVENT_EXEC, proc_event::PROC_EVENT_EXEC), kExecBuffer);
  connector.ids_ = join(events(proc_event::PROC_EVENT_UID, proc_event::PROC_EVENT_GID), kIdsBuffer);
  connector.successes_ = join(acknowledgements(true), kSuccessBuffer);
  connector.errors_ = join(acknowledgements(false), kErrorBuffer);
  if (!connector.listen()) return fail_errno(Code::kUnsupported, "cannot join the process connector");
  connector.begin_anew();
  while (connector.state_ == State::kBeginning) (void)connector.go_on_beginning();
  if (connector.state_ != State::kListening || !sees_an_exec(connector)) {
    return fail(Code::kUnsupported, "the process connector tells nothing here (not the initial namespaces?)");
  }
  return connector;
}

// Every socket says once that it listens: the kernel's own filter asks what a member has said last.
bool ProcConnector::listen() {
  for (const UniqueFd* const socket : {&execs_, &ids_, &successes_, &errors_}) {
    if (!socket->valid() || !say(socket->get(), PROC_CN_MCAST_LISTEN, false)) return false;
  }
  return true;
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

void ProcConnector::take_success(std::uint32_t number) {
  heard_ = true;
  if (!said_.empty() && said_.front().acknowledgement == number) {
    if (said_.front().counts) listeners_.added();
    said_.pop_front();
    return;
  }
  listeners_.success();
}

// To be called after successes were read, not before.
void ProcConnector::read_errors() {
  const Batch errors = look(errors_.get(), [this](const ProcessMessage&) { listeners_.error(); });
  if (errors == Batch::kLost) listeners_.errors_lost();
  if (errors == Batch::kEmpty) listeners_.errors_read();
}

// Adds listeners: the kernel does not take one away when its socket is closed. Each needs a socket of its
// own: one socket could add many with an invalid operation before each, but another keyd would have to take
// that for an attack.
bool ProcConnector::raise() {
  for (int i = 0; i < kAtOnce; ++i) {
    const UniqueFd socket = open_socket();
    if (!socket.valid() || !say(socket.get(), PROC_CN_MCAST_LISTEN, true)) return false;
  }
  return true;
}

Heard ProcConnector::lose() {
  state_ = State::kLost;
  lost_at_ = boot_now();
  return Heard::kLost;
}

void ProcConnector::begin_anew() {
  if (discard(successes_.get()) == Batch::kLost || discard(errors_.get()) == Batch::kLost) {
    (void)lose();
    return;
  }
  said_.clear();
  listeners_ = ListenerCount();
  state_ = raise() ? State::kBeginning : State::kLost;
  lost_at_ = boot_now();
}

// kLost even when it is done with this look: what it says about execs begins with the next.
Heard ProcConnector::go_on_beginning() {
  const Batch execs = discard(execs_.get());
  const auto take = [this](const ProcessMessage& message) { take_success(message.acknowledgement); };
  const Batch others = look(successes_.get(), take);
  if (execs == Batch::kLost || others == Batch::kLost) return lose();
  const bool too_many = listeners_.additions() > 2 * ListenerCount::kMargin;
  if (others == Batch::kMore) return too_many ? lose() : Heard::kLost;
  if (!said_.empty()) return lose();  // silent
  listeners_.successes_read();
  read_errors();
  if (listeners_.spare(listeners_.additions()) >= ListenerCount::kMargin) {
    state_ = State::kListening;
  } else if (too_many || !raise()) {
    return lose();
  }
  return Heard::kLost;
}

bool ProcConnector::probe() {
  if (state_ == State::kLost && boot_now() - lost_at_ >= kPause) begin_anew();
  if (state_ != State::kListening) return true;
  read_errors();
  if (std::exchange(heard_, false)) return true;
  if (say(execs_.get(), PROC_CN_MCAST_LISTEN, false)) return true;
  (void)lose();
  return false;
}

// Execs before the acknowledgements: what these say then holds for the time before, too.
Heard ProcConnector::drain_execs(std::vector<std::uint32_t>& tgids) {
  if (state_ == State::kBeginning) return go_on_beginning();
  if (state_ == State::kLost) {  // read all the same, or the sockets stay readable
    (void)discard(execs_.get());
    (void)discard(successes_.get());
    return Heard::kLost;
  }
  const std::int64_t added_before = listeners_.additions();
  const Batch execs = look(execs_.get(), [&](const ProcessMessage& message) {
    heard_ = true;
    tgids.push_back(message.tgid);
  });
  if (execs == Batch::kLost) return lose();
  const Batch others = look(successes_.get(),
                            [this](const ProcessMessage& message) { take_success(message.acknowledgement); });
  if (others == Batch::kLost) return lose();
  if (others == Batch::kEmpty) {
    if (!said_.empty()) return lose();  // silent
    listeners_.successes_read();
  }
  if (listeners_.spare(added_before) < ListenerCount::kEnough) {
    read_errors();
    if (listeners_.spare(added_before) < ListenerCount::kFewest || !raise()) return lose();
  }
  return execs == Batch::kEmpty && others == Batch::kEmpty ? Heard::kAll : Heard::kSome;
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
