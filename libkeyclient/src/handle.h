// What is behind a keyclient_t, and what every function of the C ABI does around its own work: no exception
// leaves, and every failure leaves its line for keyclient_error().
#pragma once

#include <keyclient/keyclient.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>

#include "libkeyclient/src/session.h"
#include "libkeyclient/src/table_view.h"

struct keyclient_handle {
  keyd::client::Target target;
  keyd::client::TableView table{target};
  pid_t owner = ::getpid();
  std::mutex mutex;  // guards what follows
  std::optional<keyd::client::Session> session;
  std::atomic<int> descriptor{-1};
};

namespace keyd::client {

// Keeps the line for the calling thread's keyclient_error() and gives the status back.
keyclient_status report(const Failure& failure);
keyclient_status report(keyclient_status status, std::string text);

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

// Whether the caller's structure has at least the fields of version 0.1, which is all of them so far: a field
// added later is looked at only where `size` reaches it, and this sizeof stays what it is now.
template <typename Structure>
bool has_size(const Structure* structure) {
  return structure != nullptr && structure->size >= sizeof(Structure);
}

// Whatever leaves an answer unread, or both ends in doubt about the channel, ends the session: the next request would
// otherwise be given another one's answer. Under the handle's lock.
inline void end_if_in_doubt(keyclient_t& client, keyclient_status status) {
  const bool over = status == KEYCLIENT_GONE || status == KEYCLIENT_DEADLINE;
  if (client.session && (over || !client.session->link().usable())) {
    client.descriptor = -1;
    client.session.reset();
  }
}

// A session call: in the right process, one at a time, with a session.
template <typename Body>
keyclient_status with_session(keyclient_t* client, Body body) noexcept {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr) return report(KEYCLIENT_INVALID, "no handle");
    if (client->owner != ::getpid())
      return report(KEYCLIENT_FORKED, "the handle belongs to the parent process");
    const std::lock_guard lock(client->mutex);
    if (!client->session)
      return report(KEYCLIENT_NOT_AUTHENTICATED, "no session; call keyclient_authenticate first");
    keyclient_status status = KEYCLIENT_INTERNAL;
    try {
      status = body(*client->session);
    } catch (...) {
      end_if_in_doubt(*client, KEYCLIENT_INTERNAL);
      throw;
    }
    end_if_in_doubt(*client, status);
    return status;
  });
}

}  // namespace keyd::client
