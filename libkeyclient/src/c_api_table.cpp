// The C ABI: who is authenticated in a process? Nothing here needs a session.
#include <algorithm>
#include <cstring>

#include "core/base/clock.h"
#include "core/kernel/peer_identity.h"
#include "core/table/task_terms.h"
#include "libkeyclient/src/handle.h"

using namespace keyd;
using namespace keyd::client;

namespace {

template <std::size_t N>
void copy_text(char (&out)[N], std::string_view text) {
  const std::size_t size = std::min(text.size(), N - 1);
  std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

keyclient_revocation revocation_of(table::Revocation revocation) {
  return static_cast<keyclient_revocation>(revocation);
}

void fill(keyclient_identity& out, const table::TaskView& view, const table::TableHeader& header) {
  const table::TaskRecord& r = view.record;
  out.state = static_cast<keyclient_state>(view.word.state);
  out.flags = view.word.flags;
  out.pid = r.pid;
  out.uid = r.uid;
  out.gid = r.gid;
  out.inode = r.inode;
  out.host = r.host;
  out.exec_generation = view.word.exec_generation;
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
    if (client == nullptr || !has_size(out))
      return report(KEYCLIENT_INVALID, "no handle, or an identity without its size");
    clear(*out);
    const auto reader = client->table.current();
    if (!reader) return report(reader.error());
    table::TaskView view;
    switch (find(**reader, view)) {
      case table::LookupOutcome::kFound: break;
      case table::LookupOutcome::kAbsent:
        return report(KEYCLIENT_NOT_AUTHENTICATED, "nobody is authenticated in that process");
      case table::LookupOutcome::kStale:
        return report(KEYCLIENT_UNKNOWN, "keyd is down: its task table counts for nothing");
      case table::LookupOutcome::kBusy:
        return report(KEYCLIENT_UNKNOWN, "the record is being written; try again");
      case table::LookupOutcome::kOtherNamespace:
        return report(KEYCLIENT_UNSUPPORTED,
                      "keyd lives in another pid namespace: look up by inode or socket");
    }
    fill(*out, view, (*reader)->header());
    if (view.word.state == table::TaskState::kComplete) return KEYCLIENT_OK;
    return report(KEYCLIENT_NOT_AUTHENTICATED,
                  "nobody is authenticated in that process: " + std::string(table::name_of(view.word.state)));
  });
}

}  // namespace

extern "C" {

keyclient_status keyclient_lookup_pid(keyclient_t* client, uint32_t pid, keyclient_identity* out) {
  return lookup(client, out, [pid](const table::TableReader& reader, table::TaskView& view) {
    return reader.find_by_pid(pid, view);
  });
}

keyclient_status keyclient_lookup_inode(keyclient_t* client, uint64_t inode, keyclient_identity* out) {
  return lookup(client, out, [inode](const table::TableReader& reader, table::TaskView& view) {
    return reader.find_by_inode(inode, view);
  });
}

keyclient_status keyclient_lookup_socket(keyclient_t* client, int socket, keyclient_identity* out) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(out))
      return report(KEYCLIENT_INVALID, "no handle, or an identity without its size");
    clear(*out);
    kernel::PeerIdentity peer;
    const auto outcome = kernel::identify_peer(socket, peer);
    switch (outcome) {
      case kernel::PeerOutcome::kOk: break;
      case kernel::PeerOutcome::kGone:
        return report(KEYCLIENT_NOT_AUTHENTICATED, "the process that connected has exited");
      case kernel::PeerOutcome::kUnsupported:
        return report(KEYCLIENT_UNSUPPORTED, "this kernel cannot name a socket's peer");
      case kernel::PeerOutcome::kOtherNamespace:
      case kernel::PeerOutcome::kFailed:
        return report(KEYCLIENT_UNKNOWN,
                      "the socket's peer cannot be named: " + std::string(kernel::name_of(outcome)));
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

keyclient_status keyclient_each(keyclient_t* client, void (*visit)(void*, const keyclient_identity*),
                                void* context) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || visit == nullptr) return report(KEYCLIENT_INVALID, "no handle or no callback");
    const auto reader = client->table.current();
    if (!reader) return report(reader.error());
    if ((*reader)->stale())
      return report(KEYCLIENT_UNKNOWN, "keyd is down: its task table counts for nothing");
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
    if (client == nullptr || !has_size(out))
      return report(KEYCLIENT_INVALID, "no handle, or a structure without its size");
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
    out->completed = header.completed.load(std::memory_order_relaxed);
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

}  // extern "C"
