// The C ABI: who is authenticated in a process? Nothing here needs a session.
#include "core/base/clock.h"
#include "core/kernel/pidfd.h"
#include "core/table/task_terms.h"
#include "libkeyclient/src/handle.h"
#include "libkeyclient/src/identity.h"

using namespace keyd;
using namespace keyd::client;

namespace {

template <typename Find>
keyclient_status lookup(keyclient_t* client, keyclient_identity* out, Find find) noexcept {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(out))
      return report(KEYCLIENT_INVALID, "no handle, or an identity without its size");
    clear(*out);
    table::TaskView view;
    const auto outcome = client->table.look_up([&](const MappedTable& table) {
      const table::LookupOutcome found = find(table.reader, view);
      if (found == table::LookupOutcome::kFound) fill(*out, view, table.reader.header());
      return found;
    });
    return outcome ? status_of(*outcome, view) : report(outcome.error());
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

keyclient_status keyclient_whoami(keyclient_t* client, keyclient_identity* out) {
  return guarded([&]() -> keyclient_status {
    if (has_size(out)) clear(*out);
    const auto self = kernel::open_pidfd(::getpid());
    const auto inode = self ? kernel::pidfs_inode(self->get()) : std::nullopt;
    if (!inode) return report(KEYCLIENT_UNSUPPORTED, "this kernel cannot name processes (pidfs, Linux 6.9)");
    return keyclient_lookup_inode(client, *inode, out);
  });
}

keyclient_status keyclient_each(keyclient_t* client, void (*visit)(void*, const keyclient_identity*),
                                void* context) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || visit == nullptr) return report(KEYCLIENT_INVALID, "no handle or no callback");
    const auto table = client->table.current();
    if (!table) return report(table.error());
    const table::TableReader& reader = (*table)->reader;
    if (reader.stale()) return report(KEYCLIENT_UNKNOWN, "keyd is down: its task table counts for nothing");
    reader.for_each([&](const table::TaskView& view) {
      keyclient_identity identity{};
      identity.size = sizeof identity;
      fill(identity, view, reader.header());
      visit(context, &identity);
    });
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_table_info(keyclient_t* client, keyclient_table* out) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(out))
      return report(KEYCLIENT_INVALID, "no handle, or a structure without its size");
    const auto table = client->table.current();
    if (!table) return report(table.error());
    const table::TableReader& reader = (*table)->reader;
    const table::TableHeader& header = reader.header();
    out->version = header.version;
    out->capacity = header.capacity;
    out->used = header.used.load(std::memory_order_relaxed);
    out->stale = reader.stale() ? 1 : 0;
    const std::string_view tier = table::name_of(header.tier);
    out->tier[tier.copy(out->tier, sizeof out->tier - 1)] = '\0';
    out->on_exec = revocation_of(header.strength.exec);
    out->on_exit = revocation_of(header.strength.exit);
    out->on_credentials = revocation_of(header.strength.credentials);
    out->completed = header.completed.load(std::memory_order_relaxed);
    out->kernel_keeps_down = reader.kernel_keeps_down() ? 1 : 0;
    return KEYCLIENT_OK;
  });
}

keyclient_status keyclient_wait_for_change(keyclient_t* client, uint64_t* seen, uint32_t timeout_ms) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || seen == nullptr) return report(KEYCLIENT_INVALID, "no handle or no counter");
    const auto table = client->table.current();
    if (!table) return report(table.error());
    const table::TableReader& reader = (*table)->reader;
    const bool changed = (*table)->bell.wait_while([&] { return reader.changes() == *seen; },
                                                   std::uint64_t{timeout_ms} * kMillisecond);
    *seen = reader.changes();
    return changed ? KEYCLIENT_OK : report(KEYCLIENT_DEADLINE, "nothing changed");
  });
}

}  // extern "C"
