// One connection: its process, its phase, and what it holds. Receives a packet, checks its sender, hands it
// to the server, and receives no other before that one is answered; so a peer makes keyd hold one request at
// a time, and nobody waits for it. What a peer does not read is charged to its account, and bounded in time.
// Event loop only.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "core/exchange/secure_channel.h"
#include "core/kernel/peer_identity.h"
#include "core/wire/message_codec.h"
#include "keyd/audit.h"
#include "keyd/exchange.h"
#include "keyd/idle_watch.h"
#include "keyd/password_change.h"
#include "keyd/quota.h"

namespace keyd::daemon {

class Server;

// What a connection may ask depends on where it is (request_table.h).
enum class Phase : std::uint8_t {
  kFresh = 1,        // connected, or an exchange failed
  kChallenged = 2,   // the numbers are out; its proof is awaited
  kEstablished = 4,  // its process is COMPLETE by an exchange on this connection
  kHandedOver = 8,   // an exec was announced; only the new image's adoption is awaited
  kAdmin = 16,       // on admin.sock
  kSecret = 32,      // on admin.sock: a raw secret is awaited
  kClosed = 64,
};

enum class Door { kClients, kAdministrators };

// What each command's own key comes from (`kryptoknight`, per_command).
struct CommandKeys {
  wire::Suite suite;
  secret::SecretBuffer hash;  // P' of the login
  Charge charge;              // for it
  bool used = false;          // the key at hand has carried its command
};

// An established session's end of the conversation.
struct Session {
  exchange::SecureChannel channel;
  std::string id;  // 16 octets
  std::string user;
  std::string user_id;  // of the store
  std::optional<CommandKeys> command_keys;
  std::unique_ptr<PasswordChange> change = {};  // of one whose client can ask its user for a new password
  std::shared_ptr<PasswordUse> use = {};        // shared by the user's sessions
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Server& server, UniqueFd socket, Door door, kernel::PeerIdentity peer, Charge charge);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins to receive.
  void start();

  // Answers the packet in hand and goes on receiving. One reply a packet.
  void reply(wire::ServerPacket& packet);
  void reply(Bytes packet);
  void reply(wire::AdminReply& packet);
  // Answers with a secret in a packet of its own behind the answer (`secret_follows`).
  void reply(wire::AdminReply& packet, secret::SecretBuffer secret);
  // Answers, and closes once the answer has left. Also for a packet that nobody asked for.
  void refuse(wire::RefusalCode code, std::string text);
  void refuse(wire::ServerPacket refusal);  // on keyd.sock
  // Answers with descriptors along, which must outlive the connection. `charge` is for what is on its way.
  void reply(wire::ServerPacket& packet, wire::Enclosed enclosed, Charge charge);
  // Answers with something sealed; a question about the password that is to be sent goes along.
  void reply_sealed(const wire::SessionReply& message, ByteView payload = {});
  // After the answer has left the connection closes.
  void close_after_reply() { closing_ = true; }
  // Runs a handler, or the rest of one that had to wait. Out of locked memory it is a refusal, out of any other
  // the end of this connection; not an end of keyd.
  template <typename Handler>
  void attempt(Handler handler) {
    try {
      handler();
    } catch (const secret::PoolExhausted&) {
      if (closing_) {
        close();  // the last word cannot be said
      } else {
        refuse(wire::REFUSAL_BUSY, "no locked memory left; try again later");
      }
    } catch (const std::exception&) {
      close();
    }
  }
  // Closes now; tells the server.
  void close();

  // Gives up the charge for an answer with descriptors once it was received. False: it was not yet.
  [[nodiscard]] bool settle_delivery();

  // Its time is up (idle_watch.h): nothing asked, or an answer not read.
  void out_of_time();

  [[nodiscard]] const kernel::PeerIdentity& peer() const { return peer_; }
  // The peer with a pidfd of its own: the one that came with the packet in hand, or, for a handler that had to wait,
  // one opened anew, so that nobody who waits holds a descriptor. Invalid when the process has gone.
  [[nodiscard]] kernel::PeerIdentity take_identified_peer();
  [[nodiscard]] AccountId account() const { return account_; }
  [[nodiscard]] Door door() const { return door_; }
  [[nodiscard]] int socket() { return socket_.native_handle(); }
  // Its last word has been said, though its peer may not have read it yet: nothing is done for it any more.
  [[nodiscard]] bool closed() const { return gone() || closing_; }
  // No request of its is under way.
  [[nodiscard]] bool awaits_packet() const { return receiving_; }

  Phase phase;
  std::unique_ptr<Exchange> exchange;                   // while Challenged
  std::unique_ptr<Session> session;                     // while Established, HandedOver, and during a renewal
  std::unique_ptr<wire::AdminRequest> awaiting_secret;  // while Secret
  IdleWatch::Place idle_place;

 private:
  [[nodiscard]] bool gone() const { return phase == Phase::kClosed; }
  void wait_for_packet();
  void take_turn();
  void on_readable();
  [[nodiscard]] bool accept_sender(wire::SenderMark& mark);
  void seal_and_reply(const wire::SessionReply& message, ByteView payload);
  void send(Bytes packet, wire::Enclosed enclosed);
  void send_following();
  template <typename Resume>
  void wait_for_reader(std::size_t octets, Resume resume);
  [[nodiscard]] bool has_unread();
  [[nodiscard]] bool make_room(std::size_t octets);
  void finish_reply();

  Server& server_;
  boost::asio::posix::stream_descriptor socket_;
  kernel::PeerIdentity peer_;  // its pidfd is closed: one pidfd a process, not a connection (task_registry.h)
  UniqueFd sender_pidfd_;      // with the packet in hand
  AccountId account_;
  Charge charge_;    // until the connection is gone and nothing holds it: a job of its request may wait still
  Charge unread_;    // of an answer that waits for its reader, or is larger than most
  Charge enclosed_;  // of an answer with descriptors, until it was received
  secret::SecretBuffer following_;  // leaves behind the answer that is on its way
  Door door_;
  bool closing_ = false;
  bool receiving_ = false;      // a wait for the next packet is under way
  bool waits_to_send_ = false;  // an answer that the socket did not take
  bool roomy_ = false;          // the socket's send buffer was enlarged for one large answer
};

// An event about the connection's process: its uid, pid and inode are filled in.
[[nodiscard]] AuditEvent event_of(const Connection& connection, std::string_view event);

}  // namespace keyd::daemon
