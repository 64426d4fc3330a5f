#include "keyd/server.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/log.h"
#include "core/base/untrusted_text.h"
#include "core/crypto/des.h"
#include "core/table/task_terms.h"
#include "keyd/locked_memory_shares.h"
#include "keyd/request_table.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

namespace keyd::daemon {

namespace asio = boost::asio;

namespace {

// In a sandbox OpenSSL's files cannot be opened any more.
void warn_of_missing_ciphers(const Config& config) {
  if (auto loaded = crypto::load_legacy_ciphers(); !loaded && config.historic_enabled)
    log::warn("kryptoknight's historic suite cannot be had: " + loaded.error().message());
}

constexpr std::chrono::milliseconds kTick{500};  // heartbeat and deadlines
constexpr std::chrono::milliseconds kDeliveryLook{20};
constexpr std::size_t kDeliveriesAtOnce = 128;  // some 20 µs a look
constexpr std::uint64_t kTriesSweep = 600 * kSecond;
constexpr std::uint32_t kReservedDescriptors = 128;
constexpr std::uint32_t kAdminConnections = 64;  // out of those descriptors

Result<LockedMemoryShares> locked_memory_shares(const Config& config) {
  return LockedMemoryShares::of(secret::LockedPool::lockable(), config.srp_group, config.srp_pool);
}

Quota::Limits limits_of(const Config& config) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  // A connection is a descriptor, and so is a process with a record.
  const auto room = static_cast<std::uint32_t>(std::min<rlim_t>(files.rlim_cur, 1u << 22));
  const std::uint32_t usable = room > 2 * kReservedDescriptors ? room - kReservedDescriptors : room / 2;
  const std::uint32_t connections = std::min(config.connections, std::max(usable * 3 / 4, 1u));
  // Nor is there a session, or an exchange, without room for its secrets. (Where that cannot be shared out keyd does not
  // start.)
  const auto secrets = locked_memory_shares(config).value_or(LockedMemoryShares{});
  const std::uint32_t records = std::min({config.table_capacity, std::max(usable / 4, 1u), secrets.sessions});
  // However large a share is, the reserve of each total keeps one account from taking all there is.
  return {Quota::Limit{connections, config.connections_per_uid},
          Quota::Limit{kAdminConnections, kAdminConnections}, Quota::Limit{records, config.pending_per_uid},
          Quota::Limit{records, config.records_per_uid}, Quota::Limit{config.octets, config.octets_per_uid},
          // Together at most half of what the kernel lets be on its way.
          Quota::Limit{std::max(usable / 4, 1u), config.connections_per_uid},
          Quota::Limit{secrets.kept_keys, config.records_per_uid},
          Quota::Limit{secrets.kept_keys, config.records_per_uid},
          Quota::Limit{secrets.exchanges, config.pending_per_uid}};
}

std::uint64_t nanoseconds(std::chrono::seconds s) { return static_cast<std::uint64_t>(s.count()) * kSecond; }

TaskRegistry::Limits task_limits(const Config& config) {
  return {nanoseconds(config.pending_deadline), nanoseconds(config.lifetime),
          nanoseconds(config.plan_deadline), nanoseconds(config.linger)};
}

TryLedger::Limits try_limits(const Config& config) {
  return {config.free_tries, config.tries_per_source, config.tries_per_user,
          nanoseconds(config.longest_delay)};
}

}  // namespace

Server::Server(asio::io_context& loop, ServerParts parts)
    : loop_(loop),
      config_(std::move(parts.config)),
      audit_(std::move(parts.audit)),
      admin_group_(parts.admin_group),
      sealer_(std::move(parts.sealer)),
      quota_(limits_of(config_), std::move(parts.accounts)),
      receive_buffer_(wire::kMaxPacket),
      idle_(nanoseconds(config_.idle_deadline)),
      turns_(loop),
      undelivered_timer_(loop),
      passwords_(*sealer_, config_.historic_enabled && config_.resident_passwords),
      stand_ins_(*sealer_),
      stand_in_verifiers_(*sealer_),
      tries_(try_limits(config_), parts.tries, boot_now()),
      changes_(*this, std::move(parts.placed)),
      tasks_(loop,
             std::make_unique<table::TableWriter>(std::move(parts.tier.memory), std::move(parts.table_bell),
                                                  config_.table_capacity, parts.tier.tier, parts.own_inode,
                                                  parts.tier.strength),
             std::move(parts.tier.connector), quota_, audit_, task_limits(config_),
             [this](std::uint64_t inode, table::Reason reason) { task_ended(inode, reason); }),
      client_door_(loop, std::move(parts.client_listener),
                   [this](UniqueFd socket) { admit(std::move(socket), Door::kClients); }),
      admin_door_(loop, std::move(parts.admin_listener),
                  [this](UniqueFd socket) { admit(std::move(socket), Door::kAdministrators); }),
      tick_timer_(loop),
      store_(loop, std::move(parts.store)),
      store_probe_(loop, store_),
      users_(store_),
      noise_(loop, workers_, config_.raw_noise),
      ephemerals_(workers_, config_.srp_group, config_.srp_pool),
      workers_(loop, std::max(1u, std::thread::hardware_concurrency())) {}

Server::~Server() {
  if (!stopping_)
    stop();  // an exception has ended the loop: exchanges and their tries go while there is all they use
}

Result<void> Server::start() {
  if (const auto shared = locked_memory_shares(config_); !shared) return std::unexpected(shared.error());
  if (auto stirred = noise_.start(); !stirred) return stirred;
  if (auto prepared = passwords_.prepare(); !prepared) return prepared;
  if (auto set = stand_ins_.set_resalting(config_.resalting()); !set) return set;
  if (auto prepared = stand_ins_.prepare(); !prepared) return prepared;
  if (auto prepared = stand_in_verifiers_.prepare(config_.srp_group); !prepared) return prepared;
  ephemerals_.start();
  client_door_.open();
  admin_door_.open();
  tick();
  if (failed_) return fail(Code::kRefused, "the tier kernel's ground is gone already; see the log");
  return {};
}

void Server::stop() {
  stopping_ = true;
  changes_.store_use();
  tasks_.shut_down();
  client_door_.close();
  admin_door_.close();
  const auto all = connections_;
  for (const auto& connection : all) connection->close();
  loop_.stop();
}

void Server::reload(Result<Config> loaded) {
  Config next = config_;
  ConfigChanges changes;
  if (loaded) changes = take_live_keys(next, std::move(*loaded));
  auto audit = loaded ? Audit::open(next.audit_format, next.audit_file) : std::unexpected(loaded.error());
  if (!audit && audit.error().system == EACCES && next.audit_file != config_.audit_file)
    audit.error().detail += " (in a directory that keyd was not started with? restart it)";
  reload_state_.when = wall_now() / kSecond;
  AuditEvent event;
  if (!audit) {
    reload_state_.problem = audit.error().message();
    log::error("the configuration stays as it was: " + reload_state_.problem);
    event.event = "config.refused";
    event.reason = reload_state_.problem;
    audit_.write(event);
    return;
  }
  reload_state_.problem.clear();
  reload_state_.awaiting = changes.kept;
  audit_.go_on_in(std::move(*audit));
  config_ = std::move(next);
  quota_.set_limits(limits_of(config_));
  tasks_.set_limits(task_limits(config_));
  tries_.set_limits(try_limits(config_));
  idle_.set_period(nanoseconds(config_.idle_deadline));
  passwords_.set_resident(config_.historic_enabled && config_.resident_passwords);
  if (auto set = stand_ins_.set_resalting(config_.resalting()); !set) log::error(set.error().message());
  warn_of_missing_ciphers(config_);
  note_shapes_changed();
  for (const std::string& key : changes.kept)
    log::warn(key + " is set otherwise now, but a change takes effect at the next start of keyd only");
  event.event = "config.reloaded";
  event.object = fmt::format("{}", fmt::join(changes.taken, ","));
  audit_.write(event);
  log::info("the configuration was read again; changed: " +
            (changes.taken.empty() ? "nothing" : event.object));
}

void Server::tick() {
  const BootTime now = boot_now();
  if (!tasks_.table().memory().is_protected()) {
    log::error(
        "every user may load BPF programs now (kernel.unprivileged_bpf_disabled is 0) and could write the task "
        "table with one: nothing in it counts any more. Set it to 1 and start keyd again");
    failed_ = true;
    stop();
    return;
  }
  tasks_.tick();
  nonces_.sweep(now);
  changes_.tick(now);
  while (Connection* const late = idle_.overdue(now)) late->out_of_time();
  if (now - tries_swept_ >= kTriesSweep) {
    tries_swept_ = now;
    sweep_tries();
  }
  if (std::exchange(shapes_changed_, false)) learn_shapes();
  tick_timer_.expires_after(kTick);
  tick_timer_.async_wait([this](boost::system::error_code ec) {
    if (!ec) tick();
  });
}

namespace {
// Looks at the first of `kept`, a bounded part; those that are not done go to the end.
template <typename Kept, typename Done>
void look_at_some(std::deque<Kept>& kept, const Done& done) {
  for (std::size_t left = std::min(kept.size(), kDeliveriesAtOnce); left != 0; --left) {
    Kept first = std::move(kept.front());
    kept.pop_front();
    if (!done(first)) kept.push_back(std::move(first));
  }
}
}  // namespace

// Nothing tells when an answer was received: it is asked for, as long as there is one that was not.
void Server::close_delivered() {
  look_at_some(undelivered_, [](const Undelivered& kept) {
    int unread = 0;
    return ::ioctl(kept.socket.get(), SIOCOUTQ, &unread) != 0 || unread == 0;
  });
  look_at_some(delivering_, [](const std::weak_ptr<Connection>& kept) {
    const auto connection = kept.lock();
    return connection == nullptr || connection->settle_delivery();
  });
  if (undelivered_.empty() && delivering_.empty()) return;
  undelivered_timer_.expires_after(kDeliveryLook);
  undelivered_timer_.async_wait([this](boost::system::error_code ec) {
    if (!ec) close_delivered();
  });
}

void Server::keep_undelivered(UniqueFd socket, Charge charge, Charge answer) {
  undelivered_.push_back({std::move(socket), std::move(charge), std::move(answer)});
  if (undelivered_.size() + delivering_.size() == 1) close_delivered();
}

void Server::watch_delivery(Connection& connection) {
  delivering_.push_back(connection.weak_from_this());
  if (undelivered_.size() + delivering_.size() == 1) close_delivered();
}

void Server::sweep_tries() {
  auto faded = tries_.sweep(boot_now());
  if (faded.empty()) return;
  store_.post(
      kTriesQueue, [faded = std::move(faded)](UserStore& store) { return store.record_tries(faded); },
      [](const Result<void>& stored) {
        if (!stored) log::error(stored.error().message());
      });
}

void Server::learn_shapes() {
  store_.post(
      kTriesQueue, [](UserStore& store) { return store.shapes(); },
      [this](const Result<UserStore::Shapes>& shapes) {
        if (shapes) {
          stand_ins_.set_shapes(*shapes);
          stand_in_verifiers_.set_shapes(*shapes);
          shapes_unknown_ = false;
          return;
        }
        shapes_changed_ = true;  // asked again at the next tick, and told once
        if (!std::exchange(shapes_unknown_, true)) log::error(shapes.error().message());
      });
}

// ---- who comes in

namespace {
// Who is not let in is told so in the terms of the door that was knocked at.
void turn_away(int socket, Door door, wire::RefusalCode code, const std::string& text) {
  if (door == Door::kClients) {
    auto packet = wire::refusal(code, text);
    (void)wire::send_packet(socket, wire::encode(packet));
    return;
  }
  wire::AdminReply packet;
  packet.mutable_refused()->set_code(code);
  packet.mutable_refused()->set_text(text);
  (void)wire::send_packet(socket, wire::encode(packet));
}
}  // namespace

void Server::admit(UniqueFd socket, Door door) {
  kernel::PeerIdentity peer;
  if (const auto outcome = kernel::identify_peer(socket.get(), peer); outcome != kernel::PeerOutcome::kOk) {
    AuditEvent event;
    event.event = "connection.refused";
    event.reason = kernel::name_of(outcome);
    audit_.write(event);
    turn_away(socket.get(), door, wire::REFUSAL_SENDER,
              "keyd cannot tell which process this is: " + std::string(kernel::name_of(outcome)));
    return;
  }
  const std::uint32_t uid = peer.ids.euid;
  auto charge = quota_.take(door == Door::kClients ? Resource::kConnection : Resource::kAdminConnection, uid);
  if (!charge) {
    turn_away(socket.get(), door, wire::REFUSAL_BUSY, "too many connections; close some, or try again later");
    return;
  }
  const auto connection =
      std::make_shared<Connection>(*this, std::move(socket), door, std::move(peer), std::move(*charge));
  connections_.insert(connection);
  if (door == Door::kAdministrators && !is_administrator(*connection)) {
    audit_.write(event_of(*connection, "admin.refused"));
    connection->refuse(wire::REFUSAL_POLICY, "only administrators may do this");
    return;
  }
  connection->start();
}

bool Server::is_administrator(Connection& connection) const {
  const kernel::TaskIds& ids = connection.peer().ids;
  if (ids.euid == 0 || ids.euid == ::geteuid()) return true;
  if (admin_group_ == static_cast<std::uint32_t>(-1)) return false;
  if (ids.egid == admin_group_) return true;
  std::vector<gid_t> groups(64);
  socklen_t size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  if (::getsockopt(connection.socket(), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) {
    if (errno != ERANGE) return false;
    groups.resize(size / sizeof(gid_t));
    if (::getsockopt(connection.socket(), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) return false;
  }
  groups.resize(size / sizeof(gid_t));
  return std::ranges::find(groups, admin_group_) != groups.end();
}

// ---- packets

void Server::take_packet(Connection& connection, ByteView packet) {
  const auto phase = static_cast<std::uint8_t>(connection.phase);
  if (connection.door() == Door::kAdministrators) {
    wire::AdminRequest message;
    const auto decoded = wire::decode(packet, message);
    if (decoded != wire::Decoded::kMessage || packet.size() > wire::kMaxPlainPacket) {
      connection.refuse(
          decoded == wire::Decoded::kOtherVersion ? wire::REFUSAL_VERSION : wire::REFUSAL_MALFORMED,
          "not a request of this keyd's version; use the keyadm that came with it");
      return;
    }
    const auto table = admin_requests();
    const auto entry = std::ranges::find(table, message.body_case(), &AdminEntry::type);
    if (entry == table.end() || message.secret_follows() != (entry->secret != SecretNeed::kNone)) {
      connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "no such request");
      return;
    }
    if (message.secret_follows()) {
      connection.awaiting_secret = std::make_unique<wire::AdminRequest>(std::move(message));
      connection.phase = Phase::kSecret;
      connection.start();
      return;
    }
    entry->handle(*this, connection, message, {});
    return;
  }
  // What stands outside a session is small; what is inside one may carry a credential's worth.
  const bool in_session = connection.session != nullptr;
  wire::ClientPacket message;
  const auto decoded = packet.size() > wire::kMaxPlainPacket && !in_session ? wire::Decoded::kMalformed
                                                                            : wire::decode(packet, message);
  if (decoded == wire::Decoded::kMalformed) {
    connection.refuse(wire::REFUSAL_MALFORMED, "not a packet of this protocol");
    return;
  }
  if (decoded == wire::Decoded::kOtherVersion) {
    connection.refuse(wire::REFUSAL_VERSION,
                      fmt::format("this keyd speaks protocol version {}", wire::kVersion));
    return;
  }
  if (packet.size() > wire::kMaxPlainPacket && message.body_case() != wire::ClientPacket::kRecord) {
    connection.refuse(wire::REFUSAL_MALFORMED, "the packet is larger than any of this kind");
    return;
  }
  const auto table = client_requests();
  const auto entry = std::ranges::find(table, message.body_case(), &ClientEntry::type);
  if (entry == table.end() || (entry->phases & phase) == 0) {
    connection.refuse(wire::REFUSAL_OUT_OF_ORDER, "no such request, or not now");
    return;
  }
  entry->handle(*this, connection, {message, packet});
}

void Server::take_secret(Connection& connection, secret::SecretBuffer value) {
  const auto message = std::move(connection.awaiting_secret);
  connection.phase = Phase::kAdmin;
  const auto table = admin_requests();
  const auto entry = std::ranges::find(table, message->body_case(), &AdminEntry::type);
  // A buffer of a credential's size for a password would lie about in the locked pool: keep what is needed.
  entry->handle(*this, connection, *message, secret::SecretBuffer::copy_of(value.reveal()));
}

// ---- what ends

void Server::disown(const Connection& connection) {
  const auto found = owners_.find(connection.peer().inode);
  if (found != owners_.end() && found->second.lock().get() == &connection) owners_.erase(found);
}

bool Server::has_owner(std::uint64_t inode) const {
  const auto found = owners_.find(inode);
  return found != owners_.end() && !found->second.expired();
}

void Server::connection_closed(Connection& connection) {
  const auto owner = owners_.find(connection.peer().inode);
  const bool owned = owner != owners_.end() && owner->second.lock().get() == &connection;
  if (owned) {
    owners_.erase(owner);
    if (!stopping_) tasks_.connection_closed(connection.peer().inode, connection.session != nullptr);
  }
  if (connection.session != nullptr) changes_.session_ended(connection);
  connections_.erase(connection.shared_from_this());
}

void Server::task_ended(std::uint64_t inode, table::Reason reason) {
  const auto owner = owners_.find(inode);
  if (owner == owners_.end()) return;
  const auto connection = owner->second.lock();
  owners_.erase(owner);
  if (connection == nullptr || connection->closed()) return;
  if (reason == table::Reason::kNone) {
    connection->close();  // its process is gone; whoever holds the socket now has no business with it
    return;
  }
  const bool deadline = reason == table::Reason::kDeadline;
  connection->refuse(deadline ? wire::REFUSAL_DEADLINE : wire::REFUSAL_GONE,
                     deadline ? "the exchange took too long; start it again"
                              : "the session is over: " + std::string(table::name_of(reason)));
}

void Server::refused_sender(const Connection& connection, kernel::SenderOutcome outcome) {
  AuditEvent event = event_of(connection, "message.refused");
  event.reason = kernel::name_of(outcome);
  audit_.write(event);
}

}  // namespace keyd::daemon
