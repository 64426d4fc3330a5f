#include "keyd/connection.h"

#include <cstring>

#include "core/base/log.h"
#include "keyd/server.h"

namespace keyd::daemon {

namespace asio = boost::asio;

Connection::Connection(Server& server, UniqueFd socket, Door door, kernel::PeerIdentity peer, Charge charge)
    : phase(door == Door::kClients ? Phase::kFresh : Phase::kAdmin),
      server_(server),
      socket_(server.loop(), socket.release()),
      peer_(std::move(peer)),
      charge_(std::move(charge)),
      door_(door) {
  peer_.pidfd.reset();
}

Connection::~Connection() = default;

void Connection::start() { wait_for_packet(); }

void Connection::wait_for_packet() {
  if (receiving_ || closed()) return;
  receiving_ = true;
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](boost::system::error_code ec) {
                       self->receiving_ = false;
                       if (!ec && !self->closed()) self->on_readable();
                     });
}

bool Connection::accept_sender(const wire::SenderMark& mark) {
  const auto outcome = kernel::check_sender(mark, peer_);
  if (outcome == kernel::SenderOutcome::kPeer) return true;
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
  const auto received = wire::receive_packet(socket(), buffer);
  switch (received.outcome) {
    case wire::ReceiveOutcome::kWouldBlock: wait_for_packet(); return;
    case wire::ReceiveOutcome::kEnd:
    case wire::ReceiveOutcome::kBroken: close(); return;
    case wire::ReceiveOutcome::kTooLong:
      refuse(wire::REFUSAL_MALFORMED, "the packet is larger than any of this protocol");
      return;
    case wire::ReceiveOutcome::kPacket: break;
  }
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
}

void Connection::reply(wire::ServerPacket& packet, int descriptor) { send(wire::encode(packet), descriptor); }
void Connection::reply(Bytes packet, int descriptor) { send(std::move(packet), descriptor); }
void Connection::reply(wire::AdminReply& packet) { send(wire::encode(packet), -1); }

void Connection::refuse(wire::RefusalCode code, std::string text) {
  if (closed() || closing_) return;  // a last word has been said
  closing_ = true;
  if (door_ == Door::kClients) {
    auto packet = wire::refusal(code, std::move(text));
    reply(packet);
  } else {
    wire::AdminReply packet;
    packet.mutable_refused()->set_code(code);
    packet.mutable_refused()->set_text(std::move(text));
    reply(packet);
  }
}

void Connection::reply_sealed(const wire::SessionReply& message, ByteView payload) {
  const auto plaintext = wire::encode_session(message, payload);
  const auto record = session->channel.seal(exchange::RecordType::kSession, plaintext.reveal());
  if (!record) {  // the epoch's keys are used up, and the client did not ask for the next
    close();
    return;
  }
  server_.tasks().count_record(peer_.inode, plaintext.size());
  wire::ServerPacket packet;
  packet.set_record(record->data(), record->size());
  reply(packet);
}

void Connection::send(Bytes packet, int descriptor) {
  if (closed()) return;
  if (wire::send_packet(socket(), packet, descriptor)) {
    finish_reply();
    return;
  }
  if (errno == ETOOMANYREFS && descriptor >= 0) {  // descriptors on their way to others fill keyd's limit
    refuse(wire::REFUSAL_BUSY, "too many descriptors are on their way; try again later");
    return;
  }
  if (errno != EAGAIN && errno != EWOULDBLOCK) {
    close();
    return;
  }
  // The peer does not read. It asks nothing more until this one packet is out; it holds up nobody else. (A
  // descriptor that goes along is the table's, which outlives every connection.)
  socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this(), packet = std::move(packet),
                      descriptor](boost::system::error_code ec) mutable {
                       if (!ec && !self->closed()) self->send(std::move(packet), descriptor);
                     });
}

void Connection::finish_reply() {
  if (closing_) {
    close();
  } else {
    wait_for_packet();
  }
}

void Connection::close() {
  if (closed()) return;
  const auto self = shared_from_this();
  phase = Phase::kClosed;
  server_.connection_closed(*this);
  exchange.reset();
  session.reset();
  charge_ = Charge();  // handlers that still hold this connection may outlive the quota
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace keyd::daemon
