#include "keyd/connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "core/base/log.h"
#include "keyd/server.h"

namespace keyd::daemon {

namespace asio = boost::asio;

namespace {
// Octets of answers that the kernel keeps for a peer that does not read (it doubles the number, for its own
// needs): room for what is usual. A larger answer gets a larger buffer for as long as it takes.
constexpr int kSendBuffer = 8 * 1024;
constexpr std::size_t kEnvelope = 128;  // octets around a session's message: lengths, the record, the packet
constexpr int kRoomySendBuffer = static_cast<int>(wire::kMaxPacket) + 1024;

void set_send_buffer(int socket, int octets) {
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
}
}  // namespace

Connection::Connection(Server& server, UniqueFd socket, Door door, kernel::PeerIdentity peer, Charge charge)
    : phase(door == Door::kClients ? Phase::kFresh : Phase::kAdmin),
      server_(server),
      socket_(server.loop(), socket.release()),
      peer_(std::move(peer)),
      account_(server.quota().account_of(peer_.ids.euid)),
      charge_(std::move(charge)),
      door_(door) {
  peer_.pidfd.reset();
  set_send_buffer(this->socket(), kSendBuffer);
}

Connection::~Connection() = default;

AuditEvent event_of(const Connection& connection, std::string_view event) {
  AuditEvent line;
  line.event = event;
  line.uid = connection.peer().ids.euid;
  line.pid = connection.peer().pid;
  line.inode = connection.peer().inode;
  return line;
}

void Connection::start() { wait_for_packet(); }

void Connection::wait_for_packet() {
  if (receiving_ || closed()) return;
  receiving_ = true;
  // A session may be silent for its whole life, and an exchange has a deadline of its own; anybody else is
  // here to ask for something.
  if (session == nullptr && phase != Phase::kChallenged) {
    server_.idle().begin(*this, idle_place, boot_now());
  } else {
    server_.idle().release(idle_place);
  }
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](boost::system::error_code ec) {
                       self->receiving_ = false;
                       if (!ec) self->take_turn();
                     });
}

void Connection::take_turn() {
  server_.turns().run(account_, [self = shared_from_this()] {
    if (!self->closed()) self->on_readable();
  });
}

void Connection::out_of_time() {
  if (!receiving_ || closing_) {
    close();  // it does not read what it asked for
    return;
  }
  refuse(wire::REFUSAL_DEADLINE, "nothing was asked for too long; connect again when there is something");
}

kernel::PeerIdentity Connection::take_identified_peer() {
  kernel::PeerIdentity identified;
  identified.pidfd = std::move(sender_pidfd_);
  if (!identified.pidfd.valid()) {
    UniqueFd anew;
    if (kernel::open_peer(socket(), anew) == kernel::PeerOutcome::kOk &&
        kernel::pidfs_inode(anew.get()) == peer_.inode)
      identified.pidfd = std::move(anew);
  }
  identified.inode = peer_.inode;
  identified.pid = peer_.pid;
  identified.ids = peer_.ids;
  return identified;
}

bool Connection::accept_sender(wire::SenderMark& mark) {
  const auto outcome = kernel::check_sender(mark, peer_);
  if (outcome == kernel::SenderOutcome::kPeer) {
    sender_pidfd_ = std::move(mark.pidfd);
    return true;
  }
  server_.refused_sender(*this, outcome);
  refuse(wire::REFUSAL_SENDER,
         "the sender is not the process that connected; connect from the process itself");
  return false;
}

void Connection::on_readable() {
  // A secret goes straight into locked memory; everything else into the server's one buffer.
  secret::SecretBuffer secret;
  if (phase == Phase::kSecret) {
    try {
      secret = secret::SecretBuffer(wire::kMaxCredential + 1);
    } catch (const secret::PoolExhausted&) {
      refuse(wire::REFUSAL_BUSY, "no locked memory left; try again later");
      return;
    }
  }
  const MutableByteView buffer = phase == Phase::kSecret ? secret.reveal() : server_.receive_buffer();
  auto received = wire::receive_packet(socket(), buffer);
  switch (received.outcome) {
    case wire::ReceiveOutcome::kWouldBlock: wait_for_packet(); return;
    case wire::ReceiveOutcome::kEnd:
    case wire::ReceiveOutcome::kBroken: close(); return;
    case wire::ReceiveOutcome::kTooLong:
      refuse(wire::REFUSAL_MALFORMED, "the packet is larger than any of this protocol");
      return;
    case wire::ReceiveOutcome::kPacket: break;
  }
  server_.idle().release(idle_place);  // from here on it waits for us
  // Before a single octet of it is looked at.
  if (!accept_sender(received.sender)) return;
  const auto self = shared_from_this();  // whatever the handler does to us
  attempt([&] {
    if (phase == Phase::kSecret) {
      secret.truncate(received.size);
      server_.take_secret(*this, std::move(secret));
    } else {
      server_.take_packet(*this, buffer.first(received.size));
    }
  });
  sender_pidfd_.reset();
}

void Connection::reply(wire::ServerPacket& packet) { send(wire::encode(packet), {}); }
void Connection::reply(Bytes packet) { send(std::move(packet), {}); }
void Connection::reply(wire::AdminReply& packet) { send(wire::encode(packet), {}); }

void Connection::reply(wire::AdminReply& packet, secret::SecretBuffer secret) {
  packet.set_secret_follows(true);
  following_ = std::move(secret);
  send(wire::encode(packet), {});
}

void Connection::reply(wire::ServerPacket& packet, wire::Enclosed enclosed, Charge charge) {
  enclosed_ = std::move(charge);
  send(wire::encode(packet), enclosed);
  if (!gone()) server_.watch_delivery(*this);
}

bool Connection::has_unread() {
  int unread = 0;
  return ::ioctl(socket(), SIOCOUTQ, &unread) == 0 && unread != 0;
}

bool Connection::settle_delivery() {
  if (!gone() && (waits_to_send_ || has_unread())) return false;
  enclosed_ = Charge();
  return true;
}

void Connection::refuse(wire::RefusalCode code, std::string text) {
  if (door_ == Door::kClients) {
    refuse(wire::refusal(code, std::move(text)));
    return;
  }
  if (closed()) return;  // a last word has been said
  closing_ = true;
  wire::AdminReply packet;
  packet.mutable_refused()->set_code(code);
  packet.mutable_refused()->set_text(std::move(text));
  reply(packet);
}

void Connection::refuse(wire::ServerPacket refusal) {
  if (closed()) return;
  closing_ = true;
  reply(refusal);
}

void Connection::reply_sealed(const wire::SessionReply& message, ByteView payload) {
  if (PasswordChange* const change = session->change.get(); change != nullptr && change->to_be_sent) {
    wire::SessionReply with_question = message;
    *with_question.mutable_change_request() = change->question;
    // Beside a very large answer there is no room for it: with the next one then.
    if (with_question.ByteSizeLong() + payload.size() + kEnvelope <= wire::kMaxPacket) {
      change->to_be_sent = false;
      seal_and_reply(with_question, payload);
      return;
    }
  }
  seal_and_reply(message, payload);
}

void Connection::seal_and_reply(const wire::SessionReply& message, ByteView payload) {
  const auto plaintext = wire::encode_session(message, payload);
  const auto record = session->channel.seal(exchange::RecordType::kSession, plaintext.reveal());
  if (!record) {  // the epoch's keys are used up, and the client did not ask for the next
    close();
    return;
  }
  server_.tasks().count_record(peer_.inode, plaintext.size());
  server_.changes().carried(*this, plaintext.size());
  wire::ServerPacket packet;
  packet.set_record(record->data(), record->size());
  reply(packet);
}

void Connection::send(Bytes packet, wire::Enclosed enclosed) {
  if (gone()) return;
  if (wire::send_packet(socket(), packet, enclosed)) {
    finish_reply();
    return;
  }
  switch (errno) {
    case EMSGSIZE:  // larger than the buffer
      if (!roomy_ && make_room(packet.size())) {
        send(std::move(packet), enclosed);
        return;
      }
      break;
    case ETOOMANYREFS:  // descriptors on their way to others fill keyd's limit
      if (enclosed.count() == 0) break;
      enclosed_ = Charge();
      refuse(wire::REFUSAL_BUSY, "too many descriptors are on their way; try again later");
      return;
    case EAGAIN: {
      const std::size_t octets = packet.size();
      wait_for_reader(octets, [packet = std::move(packet), enclosed](Connection& self) mutable {
        self.send(std::move(packet), enclosed);
      });
      return;
    }
    default: break;
  }
  close();
}

void Connection::send_following() {
  if (wire::send_packet(socket(), following_.reveal())) {
    following_ = {};
    finish_reply();
  } else if (errno == EAGAIN) {
    wait_for_reader(following_.size(), [](Connection& self) { self.send_following(); });
  } else {
    close();
  }
}

bool Connection::make_room(std::size_t octets) {
  auto charge = server_.quota().take(Resource::kOctets, peer_.ids.euid, static_cast<std::uint32_t>(octets));
  if (!charge) return false;
  unread_ = std::move(*charge);
  roomy_ = true;
  set_send_buffer(socket(), kRoomySendBuffer);
  return true;
}

// The peer does not read. It asks nothing more until this one packet is out; it holds up nobody else. (The
// descriptors that go along are the table's, which outlive every connection.)
template <typename Resume>
void Connection::wait_for_reader(std::size_t octets, Resume resume) {
  if (!roomy_) {
    auto charge = server_.quota().take(Resource::kOctets, peer_.ids.euid, static_cast<std::uint32_t>(octets));
    if (!charge) {
      close();  // its account has too much that it does not read
      return;
    }
    unread_ = std::move(*charge);
  }
  waits_to_send_ = true;
  server_.idle().begin(*this, idle_place, boot_now());
  socket_.async_wait(
      asio::posix::stream_descriptor::wait_write,
      [self = shared_from_this(), resume = std::move(resume)](boost::system::error_code ec) mutable {
        self->waits_to_send_ = false;
        if (!ec && !self->gone()) resume(*self);
      });
}

void Connection::finish_reply() {
  if (!following_.empty()) {
    send_following();
    return;
  }
  if (closing_) {
    close();
    return;
  }
  if (!roomy_) {
    unread_ = Charge();
    wait_for_packet();
    return;
  }
  // The charge goes when the large answer was read: with the small buffer back, it is writable then.
  roomy_ = false;
  set_send_buffer(socket(), kSendBuffer);
  server_.idle().begin(*this, idle_place, boot_now());
  socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](boost::system::error_code ec) {
                       if (ec || self->gone()) return;
                       self->unread_ = Charge();
                       self->wait_for_packet();
                     });
}

void Connection::close() {
  if (gone()) return;
  const auto self = shared_from_this();
  phase = Phase::kClosed;
  server_.idle().release(idle_place);
  server_.connection_closed(*this);
  exchange.reset();
  session.reset();
  boost::system::error_code ignored;
  // Descriptors that their receiver has not taken count against keyd's own limit, also when we have closed:
  // the socket, and the charges for it, stay until they were taken or the peer has gone.
  if (enclosed_.held() && has_unread()) {
    ::shutdown(socket(), SHUT_RDWR);
    server_.keep_undelivered(UniqueFd(socket_.release()), std::move(charge_), std::move(enclosed_));
  }
  enclosed_ = Charge();
  unread_ = Charge();
  following_ = {};
  socket_.close(ignored);
}

}  // namespace keyd::daemon
