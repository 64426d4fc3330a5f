// The process at the other end of a socket, as it was when somebody was found authenticated in it, and the
// check that this still is so.
#pragma once

#include <keyclient/keyclient.h>

#include <atomic>
#include <memory>

#include "core/kernel/pidfd.h"
#include "libkeyclient/src/table_view.h"

// Thread-safe: `expires` alone ever changes. It takes no lock and belongs to no process, so it is of use in a
// forked child too.
struct keyclient_peer {
  std::shared_ptr<const keyd::client::MappedTable> table;
  keyd::UniqueFd pidfd;
  keyd::table::Sighting seen;
  keyd::kernel::TaskIds ids;  // where they are compared on contact
  std::atomic<keyd::BootTime> expires;
};

namespace keyd::client {

// Who is authenticated in the process that connected on `socket`. With KEYCLIENT_OK `who` says so, and `peer`,
// unless it is null, is given a handle.
keyclient_status identify(TableView& view, int socket, keyclient_identity& who,
                          std::unique_ptr<keyclient_peer>* peer);

// By the table alone.
keyclient_status glance(const keyclient_peer& peer);
// By the table, the clock, and on contact what the table does not learn at once.
keyclient_status check(keyclient_peer& peer);
// Sleeps while check() says KEYCLIENT_OK, for at most `timeout` ns: then KEYCLIENT_DEADLINE.
keyclient_status wait(keyclient_peer& peer, std::uint64_t timeout);

}  // namespace keyd::client
