// The C ABI on top of the C++ inside. No exception leaves; every failure leaves its line for keyclient_error().
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>

#include "core/base/untrusted_text.h"
#include "core/kernel/peer_identity.h"
#include "core/base/clock.h"
#include "core/table/task_terms.h"
#include "libkeyclient/src/planned_exec.h"
#include "libkeyclient/src/session.h"
#include "libkeyclient/src/table_view.h"

using namespace keyd;
using namespace keyd::client;

struct keyclient_handle {
  Target target;
  TableView table{target};
  pid_t owner = ::getpid();
  std::mutex mutex;  // guards what follows
  std::optional<Session> session;
  std::atomic<int> descriptor{-1};
};

struct keyclient_channel {
  exchange::SecureChannel channel;
};

namespace {

thread_local std::string last_error;

keyclient_status report(const Failure& failure) {
  last_error = failure.text;
  return failure.status;
}
keyclient_status report(keyclient_status status, std::string text) { return report(Failure{status, std::move(text)}); }

// Runs a call's body; what it throws becomes a status.
template <typename Body>
keyclient_status guarded(Body body) noexcept {
  try {
    return body();
  } catch (const secret::PoolExhausted& e) {
    return report(KEYCLIENT_BUSY, std::string(e.what()) + " (RLIMIT_MEMLOCK)");
  } catch (const std::exception& e) {
    return report(KEYCLIENT_INTERNAL, e.what());
  }
}

// Whether the caller's structure has at least the fields of version 0.1, which is all of them so far: a field added
// later is looked at only where `size` reaches it, and this sizeof stays what it is now.
template <typename Structure>
bool has_size(const Structure* structure) {
  return structure != nullptr && structure->size >= sizeof(Structure);
}

Target target_of(const keyclient_options* options) {
  Target target;
  if (const char* directory = ::secure_getenv("KEYD_RUNTIME_DIR"); directory != nullptr && *directory != '\0') {
    target.runtime_dir = directory;
  }
  if (options == nullptr) return target;
  if (options->runtime_dir != nullptr) target.runtime_dir = options->runtime_dir;
  if (options->server_name != nullptr) target.server_name = options->server_name;
  if (options->timeout_ms != 0) target.timeout_ms = options->timeout_ms;
  return target;
}

// A session call: in the right process, one at a time, with a session.
template <typename Body>
keyclient_status with_session(keyclient_t* client, Body body) noexcept {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr) return report(KEYCLIENT_INVALID, "no handle");
    if (client->owner != ::getpid()) return report(KEYCLIENT_FORKED, "the handle belongs to the parent process");
    const std::lock_guard lock(client->mutex);
    if (!client->session) return report(KEYCLIENT_NOT_AUTHENTICATED, "no session; call keyclient_authenticate first");
    const keyclient_status status = body(*client->session);
    // What leaves both ends in doubt about the channel ends it.
    if (status == KEYCLIENT_GONE || status == KEYCLIENT_DEADLINE || status == KEYCLIENT_INTERNAL) {
      client->descriptor = -1;
      client->session.reset();
    }
    return status;
  });
}

template <std::size_t N>
void copy_text(char (&out)[N], std::string_view text) {
  const std::size_t size = std::min(text.size(), N - 1);
  std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

keyclient_revocation revocation_of(table::Revocation revocation) { return static_cast<keyclient_revocation>(revocation); }

void fill(keyclient_identity& out, const table::TaskView& view, const table::TableHeader& header) {
  const table::TaskRecord& r = view.record;
  out.state = static_cast<keyclient_state>(view.word.state);
  out.flags = view.word.flags;
  out.pid = r.pid;
  out.uid = r.uid;
  out.gid = r.gid;
  out.inode = r.inode;
  out.host = r.host;
  out.exec_generation = r.exec_generation;
  copy_text(out.user, {r.user.data(), std::min<std::size_t>(r.user_size, r.user.size())});
  copy_text(out.scheme, table::name_of(r.scheme));
  copy_text(out.suite, table::name_of(r.suite));
  copy_text(out.tier, table::name_of(r.tier));
  copy_text(out.reason, table::name_of(r.reason));
  std::ranges::copy(r.session_id, out.session_id);
  out.pending_since = r.pending_since;
  out.complete_since = r.complete_since;
  out.expires = r.expires;
  out.records = r.records;
  out.octets = r.octets;
  out.exchanges = r.exchanges;
  out.epoch = r.epoch;
  out.on_exec = revocation_of(header.strength.exec);
  out.on_exit = revocation_of(header.strength.exit);
  out.on_credentials = revocation_of(header.strength.credentials);
}

void clear(keyclient_identity& out) {
  const std::size_t size = out.size;
  out = keyclient_identity{};
  out.size = size;
}

template <typename Find>
keyclient_status lookup(keyclient_t* client, keyclient_identity* out, Find find) noexcept {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(out)) return report(KEYCLIENT_INVALID, "no handle, or an identity without its size");
    clear(*out);
    const auto reader = client->table.current();
    if (!reader) return report(reader.error());
    table::TaskView view;
    switch (find(**reader, view)) {
      case table::LookupOutcome::kFound: break;
      case table::LookupOutcome::kAbsent: return report(KEYCLIENT_NOT_AUTHENTICATED, "nobody is authenticated in that process");
      case table::LookupOutcome::kStale: return report(KEYCLIENT_UNKNOWN, "keyd is down: its task table counts for nothing");
      case table::LookupOutcome::kBusy: return report(KEYCLIENT_UNKNOWN, "the record is being written; try again");
      case table::LookupOutcome::kOtherNamespace:
        return report(KEYCLIENT_UNSUPPORTED, "keyd lives in another pid namespace: look up by inode or socket");
    }
    fill(*out, view, (*reader)->header());
    if (view.word.state == table::TaskState::kComplete) return KEYCLIENT_OK;
    return report(KEYCLIENT_NOT_AUTHENTICATED, "nobody is authenticated in that process: " + std::string(table::name_of(view.word.state)));
  });
}

Outcome<wire::ChallengeStart> choice_of(const keyclient_login& login) {
  wire::ChallengeStart choice;
  const std::string_view scheme = login.scheme == nullptr ? "challenge" : login.scheme;
  const std::string_view suite = login.suite == nullptr ? "modern" : login.suite;
  const std::string_view transform = login.transform == nullptr ? "" : login.transform;
  if (login.user == nullptr || !is_acceptable_name(login.user)) return failed(KEYCLIENT_INVALID, "not a user name");
  if (scheme != "challenge") return failed(KEYCLIENT_UNSUPPORTED, "unknown scheme \"" + escape(scheme) + "\"; this library has: challenge");
  choice.set_user(login.user);
  choice.set_key_count(login.key_count == 0 ? 2 : login.key_count);
  if (suite == "modern") {
    if (!transform.empty() && transform != "hmac-sha256") return failed(KEYCLIENT_INVALID, "the modern suite has the transform hmac-sha256");
    if (login.nonce_bits != 0 && login.nonce_bits != 256) return failed(KEYCLIENT_INVALID, "the modern suite has 256-bit numbers");
    choice.set_suite(wire::SUITE_MODERN);
    choice.set_transform(wire::TRANSFORM_HMAC_SHA256);
    choice.set_nonce_bits(256);
    return choice;
  }
  if (suite != "historic") return failed(KEYCLIENT_INVALID, "unknown suite \"" + escape(suite) + "\": modern or historic");
  choice.set_suite(wire::SUITE_HISTORIC);
  choice.set_nonce_bits(login.nonce_bits == 0 ? 16 : login.nonce_bits);
  if (transform.empty() || transform == "hmac-md5" || transform == "keyed-md5") {
    choice.set_transform(wire::TRANSFORM_HMAC_MD5);
  } else if (transform == "md5") {
    choice.set_transform(wire::TRANSFORM_MD5);
  } else if (transform == "keyed-md5-rfc1828") {
    choice.set_transform(wire::TRANSFORM_KEYED_MD5_RFC1828);
  } else {
    return failed(KEYCLIENT_INVALID, "unknown transform \"" + escape(transform) + "\": md5, hmac-md5, keyed-md5-rfc1828");
  }
  return choice;
}

Outcome<secret::SecretBuffer> ask_password(const keyclient_login& login) {
  if (login.password != nullptr) {
    if (login.password_size == 0 || login.password_size > wire::kMaxPassword) {
      return failed(KEYCLIENT_INVALID, "a password has 1 to 1024 octets");
    }
    return secret::SecretBuffer::copy_of({static_cast<const std::uint8_t*>(login.password), login.password_size});
  }
  if (login.password_callback == nullptr) return failed(KEYCLIENT_INVALID, "neither a password nor a callback");
  secret::SecretBuffer buffer(wire::kMaxPassword);
  std::size_t length = 0;
  const int cancelled = login.password_callback(login.password_context, reinterpret_cast<char*>(buffer.reveal().data()),
                                                buffer.size(), &length);
  if (cancelled != 0) return failed(KEYCLIENT_CANCELLED, "no password was given");
  if (length == 0 || length > wire::kMaxPassword) return failed(KEYCLIENT_INVALID, "a password has 1 to 1024 octets");
  buffer.truncate(length);
  return buffer;
}

// The id of the session whose record this process still has, its channel lost in a planned exec; or empty.
std::string orphaned_session(keyclient_t& client) {
  const auto self = kernel::open_pidfd(::getpid());
  const auto inode = self ? kernel::pidfs_inode(self->get()) : std::nullopt;
  const auto reader = client.table.current();
  table::TaskView view;
  if (!inode || !reader || (*reader)->find_by_inode(*inode, view) != table::LookupOutcome::kFound ||
      view.word.state != table::TaskState::kComplete) {
    return {};
  }
  return std::string(text_of(view.record.session_id));
}

Outcome<Session> authenticate(keyclient_t& client, const Login& login) {
  secret::SecretBuffer password;
  std::string renews = client.session ? client.session->id() : std::string();
  for (int attempt = 0;; ++attempt) {
    std::optional<KeydLink> own_link;
    if (!client.session) {
      auto link = KeydLink::connect(client.target);
      if (!link) return std::unexpected(link.error());
      own_link.emplace(std::move(*link));
    }
    KeydLink& link = client.session ? client.session->link() : *own_link;
    auto session = Session::authenticate(link, client.target.server_name, login, renews, password);
    if (session) return session;
    const keyclient_status status = session.error().status;
    // A renewal that failed leaves the session as it was, unless the conversation itself broke.
    if (client.session && (!client.session->link().usable() || status == KEYCLIENT_SERVER_UNPROVEN)) {
      client.session.reset();
      client.descriptor = -1;
    }
    if (attempt > 0) return session;
    // The password took longer than keyd waits: once more, now that it is known.
    if (status == KEYCLIENT_DEADLINE && login.may_retry && !password.empty()) {
      if (!client.session) renews.clear();
      continue;
    }
    // keyd was restarted since the session that was to be renewed.
    if (status == KEYCLIENT_GONE && !renews.empty() && !client.session) {
      renews.clear();
      continue;
    }
    if (status == KEYCLIENT_REFUSED && renews.empty() && !client.session) {
      renews = orphaned_session(client);
      if (!renews.empty()) continue;
    }
    return session;
  }
}

}  // namespace

extern "C" {

const char* keyclient_status_text(keyclient_status status) {
  switch (status) {
    case KEYCLIENT_OK: return "done";
    case KEYCLIENT_DENIED: return "denied";
    case KEYCLIENT_REFUSED: return "refused";
    case KEYCLIENT_NOT_FOUND: return "not found";
    case KEYCLIENT_NOT_AUTHENTICATED: return "not authenticated";
    case KEYCLIENT_INVALID: return "invalid";
    case KEYCLIENT_UNREACHABLE: return "keyd cannot be reached";
    case KEYCLIENT_DEADLINE: return "out of time";
    case KEYCLIENT_BUSY: return "busy";
    case KEYCLIENT_GONE: return "the session is over";
    case KEYCLIENT_UNKNOWN: return "unknown";
    case KEYCLIENT_UNSUPPORTED: return "unsupported";
    case KEYCLIENT_FORKED: return "the handle is the parent process's";
    case KEYCLIENT_CANCELLED: return "cancelled";
    case KEYCLIENT_TOO_SMALL: return "the buffer is too small";
    case KEYCLIENT_SERVER_UNPROVEN: return "the server did not prove itself";
    case KEYCLIENT_INTERNAL: return "internal error";
  }
  return "unknown status";
}

const char* keyclient_version(void) { return KEYD_VERSION; }
const char* keyclient_error(void) { return last_error.c_str(); }

keyclient_status keyclient_open(const keyclient_options* options, keyclient_t** out) {
  return guarded([&]() -> keyclient_status {
    if (out == nullptr || (options != nullptr && !has_size(options))) return report(KEYCLIENT_INVALID, "no place for the handle, or options without their size");
    *out = nullptr;
    auto client = std::make_unique<keyclient_handle>();
    client->target = target_of(options);
    // Whether keyd is there is told now, not at the first use.
    auto link = KeydLink::connect(client->target);
    if (!link) return report(link.error());
    *out = client.release();
    return KEYCLIENT_OK;
  });
}

void keyclient_close(keyclient_t* client) { delete client; }

keyclient_status keyclient_authenticate(keyclient_t* client, const keyclient_login* login) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(login)) return report(KEYCLIENT_INVALID, "no handle, or a login without its size");
    if (client->owner != ::getpid()) return report(KEYCLIENT_FORKED, "the handle belongs to the parent process");
    auto choice = choice_of(*login);
    if (!choice) return report(choice.error());
    const std::lock_guard lock(client->mutex);
    auto session = authenticate(*client, Login{std::move(*choice), [login] { return ask_password(*login); },
                                               login->password == nullptr});
    if (!session) return report(session.error());
    client->session.emplace(std::move(*session));
    client->descriptor = client->session->descriptor();
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_rekey(keyclient_t* client) {
  return with_session(client, [](Session& session) {
    const auto done = session.rekey();
    return done ? KEYCLIENT_OK : report(done.error());
  });
}

keyclient_status keyclient_end(keyclient_t* client) {
  return with_session(client, [client](Session& session) {
    const auto done = session.end();
    const keyclient_status status = done ? KEYCLIENT_OK : report(done.error());
    client->descriptor = -1;
    client->session.reset();
    return status;
  });
}

int keyclient_descriptor(const keyclient_t* client) { return client == nullptr ? -1 : client->descriptor.load(); }

keyclient_status keyclient_credential(keyclient_t* client, const char* name, void* buffer, size_t* size) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (name == nullptr || size == nullptr || (buffer == nullptr && *size != 0)) return report(KEYCLIENT_INVALID, "no name or no buffer");
    if (!is_acceptable_name(name)) return report(KEYCLIENT_INVALID, "not a credential name");
    const auto value = session.credential(name);
    if (!value) return report(value.error());
    const std::size_t room = std::exchange(*size, value->size());
    if (value->size() > room) return report(KEYCLIENT_TOO_SMALL, "the credential is larger than the buffer");
    std::memcpy(buffer, value->reveal().data(), value->size());
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_credential_names(keyclient_t* client, void (*visit)(void*, const char*), void* context) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (visit == nullptr) return report(KEYCLIENT_INVALID, "no callback");
    const auto names = session.credential_names();
    if (!names) return report(names.error());
    for (const std::string& name : *names) visit(context, name.c_str());
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_echo(keyclient_t* client, const void* data, size_t size, void* out) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (size > wire::kMaxCredential || (size != 0 && (data == nullptr || out == nullptr))) return report(KEYCLIENT_INVALID, "0 to 65536 octets, and room for them");
    const auto back = session.echo({static_cast<const std::uint8_t*>(data), size});
    if (!back) return report(back.error());
    if (back->size() != size) return report(KEYCLIENT_GONE, "keyd sent something else back");
    if (size != 0) std::memcpy(out, back->reveal().data(), size);
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_export_key(keyclient_t* client, const char* label, void* out, size_t size) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (label == nullptr || out == nullptr) return report(KEYCLIENT_INVALID, "no label or no room for the key");
    const auto done = session.channel().export_key(label, {static_cast<std::uint8_t*>(out), size});
    return done ? KEYCLIENT_OK : report(failure_of(done.error()));
  });
}

// ---- records of the program's own ----------------------------------------------------------------------------------

keyclient_status keyclient_channel_new(keyclient_t* client, const char* label, keyclient_role role,
                                       keyclient_channel_t** out) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if (label == nullptr || out == nullptr || (role != KEYCLIENT_INITIATOR && role != KEYCLIENT_RESPONDER)) {
      return report(KEYCLIENT_INVALID, "no label, no role or no place for the channel");
    }
    *out = nullptr;
    secret::SecretBuffer keys(64);
    const auto exported = session.channel().export_key("keyclient channel " + std::string(label), keys.reveal());
    if (!exported) return report(failure_of(exported.error()));
    // As in the session itself (claims 6 and 10): the first key one way, the second the other.
    const auto end = role == KEYCLIENT_INITIATOR ? exchange::Role::kClient : exchange::Role::kServer;
    *out = new keyclient_channel{
        exchange::SecureChannel(end, keys.reveal().first(32), keys.reveal().subspan(32), bytes_of("keyclient channel"))};
    return KEYCLIENT_OK;
  });
}

void keyclient_channel_free(keyclient_channel_t* channel) { delete channel; }

keyclient_status keyclient_seal(keyclient_channel_t* channel, const void* data, size_t size, void* record) {
  return guarded([&]() -> keyclient_status {
    static_assert(KEYCLIENT_RECORD_OVERHEAD == exchange::kRecordOverhead);
    if (channel == nullptr || record == nullptr || (data == nullptr && size != 0) || size > wire::kMaxCredential) {
      return report(KEYCLIENT_INVALID, "no channel, no room, or more than 65536 octets");
    }
    const auto sealed = channel->channel.seal(exchange::RecordType::kApplication, {static_cast<const std::uint8_t*>(data), size});
    if (!sealed) return report(failure_of(sealed.error()));
    std::memcpy(record, sealed->data(), sealed->size());
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_open_record(keyclient_channel_t* channel, const void* record, size_t size, void* data) {
  return guarded([&]() -> keyclient_status {
    if (channel == nullptr || record == nullptr || size < KEYCLIENT_RECORD_OVERHEAD ||
        size > wire::kMaxCredential + KEYCLIENT_RECORD_OVERHEAD || (data == nullptr && size > KEYCLIENT_RECORD_OVERHEAD)) {
      return report(KEYCLIENT_INVALID, "no channel, no room, or not the size of a record");
    }
    const auto opened = channel->channel.open(exchange::RecordType::kApplication, {static_cast<const std::uint8_t*>(record), size});
    if (!opened) return report(KEYCLIENT_INVALID, "not the other end's next record; the channel is over");
    if (!opened->empty()) std::memcpy(data, opened->reveal().data(), opened->size());
    return KEYCLIENT_OK;
  });
}

// ---- the task table ------------------------------------------------------------------------------------------------

keyclient_status keyclient_lookup_pid(keyclient_t* client, uint32_t pid, keyclient_identity* out) {
  return lookup(client, out, [pid](const table::TableReader& reader, table::TaskView& view) { return reader.find_by_pid(pid, view); });
}

keyclient_status keyclient_lookup_inode(keyclient_t* client, uint64_t inode, keyclient_identity* out) {
  return lookup(client, out, [inode](const table::TableReader& reader, table::TaskView& view) { return reader.find_by_inode(inode, view); });
}

keyclient_status keyclient_lookup_socket(keyclient_t* client, int socket, keyclient_identity* out) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(out)) return report(KEYCLIENT_INVALID, "no handle, or an identity without its size");
    clear(*out);
    kernel::PeerIdentity peer;
    const auto outcome = kernel::identify_peer(socket, peer);
    switch (outcome) {
      case kernel::PeerOutcome::kOk: break;
      case kernel::PeerOutcome::kGone: return report(KEYCLIENT_NOT_AUTHENTICATED, "the process that connected has exited");
      case kernel::PeerOutcome::kUnsupported: return report(KEYCLIENT_UNSUPPORTED, "this kernel cannot name a socket's peer");
      case kernel::PeerOutcome::kOtherNamespace:
      case kernel::PeerOutcome::kFailed: return report(KEYCLIENT_UNKNOWN, "the socket's peer cannot be named: " + std::string(kernel::name_of(outcome)));
    }
    const keyclient_status status = keyclient_lookup_inode(client, peer.inode, out);
    if (status != KEYCLIENT_OK || (out->uid == peer.ids.euid && out->gid == peer.ids.egid)) return status;
    // In another user namespace the numbers differ although nothing changed; then too it is no answer to rely on.
    clear(*out);
    return report(KEYCLIENT_UNKNOWN, "the process has other credentials than its record");
  });
}

keyclient_status keyclient_whoami(keyclient_t* client, keyclient_identity* out) {
  if (has_size(out)) clear(*out);
  const auto self = kernel::open_pidfd(::getpid());
  const auto inode = self ? kernel::pidfs_inode(self->get()) : std::nullopt;
  if (!inode) return report(KEYCLIENT_UNSUPPORTED, "this kernel cannot name processes (pidfs, Linux 6.9)");
  return keyclient_lookup_inode(client, *inode, out);
}

keyclient_status keyclient_each(keyclient_t* client, void (*visit)(void*, const keyclient_identity*), void* context) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || visit == nullptr) return report(KEYCLIENT_INVALID, "no handle or no callback");
    const auto reader = client->table.current();
    if (!reader) return report(reader.error());
    if ((*reader)->stale()) return report(KEYCLIENT_UNKNOWN, "keyd is down: its task table counts for nothing");
    (*reader)->for_each([&](const table::TaskView& view) {
      keyclient_identity identity{};
      identity.size = sizeof identity;
      fill(identity, view, (*reader)->header());
      visit(context, &identity);
    });
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_table_info(keyclient_t* client, keyclient_table* out) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(out)) return report(KEYCLIENT_INVALID, "no handle, or a structure without its size");
    const auto reader = client->table.current();
    if (!reader) return report(reader.error());
    const table::TableHeader& header = (*reader)->header();
    out->version = header.version;
    out->capacity = header.capacity;
    out->used = header.used.load(std::memory_order_relaxed);
    out->stale = (*reader)->stale() ? 1 : 0;
    copy_text(out->tier, table::name_of(header.tier));
    out->on_exec = revocation_of(header.strength.exec);
    out->on_exit = revocation_of(header.strength.exit);
    out->on_credentials = revocation_of(header.strength.credentials);
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_wait_for_change(keyclient_t* client, uint64_t* seen, uint32_t timeout_ms) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || seen == nullptr) return report(KEYCLIENT_INVALID, "no handle or no counter");
    const auto reader = client->table.current();
    if (!reader) return report(reader.error());
    const bool changed = (*reader)->wait_for_change(*seen, std::uint64_t{timeout_ms} * kMillisecond);
    *seen = (*reader)->changes();
    return changed ? KEYCLIENT_OK : report(KEYCLIENT_DEADLINE, "nothing changed");
  });
}

// ---- planned exec --------------------------------------------------------------------------------------------------

keyclient_status keyclient_plan_exec(keyclient_t* client, int* socket, int* keys) {
  return with_session(client, [&](Session& session) -> keyclient_status {
    if ((socket == nullptr) != (keys == nullptr)) return report(KEYCLIENT_INVALID, "a place for both descriptors, or for none");
    if (socket == nullptr) {
      const auto planned = session.plan_exec();
      if (!planned) return report(planned.error());
      client->descriptor = -1;
      client->session.reset();
      return KEYCLIENT_OK;
    }
    // All that can fail here comes before the announcement.
    auto key_fd = make_key_descriptor(Session::kHandoverSize);
    if (!key_fd) return report(key_fd.error());
    UniqueFd link(::fcntl(session.descriptor(), F_DUPFD_CLOEXEC, 3));
    if (!link.valid()) return report(KEYCLIENT_BUSY, "no descriptor left");
    if (auto stored = store_handover(key_fd->get(), {}); !stored) return report(stored.error());
    const auto handover = session.plan_exec();
    if (!handover) return report(handover.error());
    for (const auto& step : {store_handover(key_fd->get(), handover->reveal()), keep_over_exec(link.get()), keep_over_exec(key_fd->get())}) {
      if (!step) return report(step.error());
    }
    *socket = link.release();
    *keys = key_fd->release();
    client->descriptor = -1;
    client->session.reset();
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_adopt(const keyclient_options* options, keyclient_t** out) {
  return guarded([&]() -> keyclient_status {
    if (out == nullptr || (options != nullptr && !has_size(options))) return report(KEYCLIENT_INVALID, "no place for the handle, or options without their size");
    *out = nullptr;
    auto inherited = take_inherited(Session::kHandoverSize);
    if (!inherited) return report(inherited.error());
    auto client = std::make_unique<keyclient_handle>();
    client->target = target_of(options);
    auto session = Session::adopt(KeydLink(std::move(inherited->socket), client->target.timeout_ms), inherited->handover.reveal());
    if (!session) return report(session.error());
    client->session.emplace(std::move(*session));
    client->descriptor = client->session->descriptor();
    *out = client.release();
    return KEYCLIENT_OK;
  });
}

}  // extern "C"
