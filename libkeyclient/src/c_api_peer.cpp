// The C ABI: who is authenticated in the process at the other end of a socket, and is it still?
#include "core/base/clock.h"
#include "libkeyclient/src/handle.h"
#include "libkeyclient/src/identity.h"
#include "libkeyclient/src/peer.h"

using namespace keyd;
using namespace keyd::client;

namespace {

template <typename Look>
keyclient_status of_peer(const keyclient_peer_t* peer, Look look) noexcept {
  return guarded(
      [&]() -> keyclient_status { return peer == nullptr ? report(KEYCLIENT_INVALID, "no peer") : look(); });
}

}  // namespace

extern "C" {

keyclient_status keyclient_lookup_socket(keyclient_t* client, int socket, keyclient_identity* out) {
  return guarded([&]() -> keyclient_status {
    if (client == nullptr || !has_size(out))
      return report(KEYCLIENT_INVALID, "no handle, or an identity without its size");
    clear(*out);
    return identify(client->table, socket, *out, nullptr);
  });
}

keyclient_status keyclient_identify(keyclient_t* client, int socket, keyclient_peer_t** peer,
                                    keyclient_identity* out) {
  return guarded([&]() -> keyclient_status {
    if (peer != nullptr) *peer = nullptr;
    if (client == nullptr || peer == nullptr || !has_size(out))
      return report(KEYCLIENT_INVALID, "no handle, no place for the peer, or an identity without its size");
    clear(*out);
    std::unique_ptr<keyclient_peer> made;
    const keyclient_status status = identify(client->table, socket, *out, &made);
    *peer = made.release();
    return status;
  });
}

keyclient_status keyclient_peer_check(keyclient_peer_t* peer) {
  return of_peer(peer, [peer] { return check(*peer); });
}

keyclient_status keyclient_peer_glance(const keyclient_peer_t* peer) {
  return of_peer(peer, [peer] { return glance(*peer); });
}

keyclient_status keyclient_peer_wait(keyclient_peer_t* peer, uint32_t timeout_ms) {
  return of_peer(peer, [peer, timeout_ms] { return wait(*peer, std::uint64_t{timeout_ms} * kMillisecond); });
}

int keyclient_peer_descriptor(const keyclient_peer_t* peer) {
  return peer == nullptr ? -1 : peer->pidfd.get();
}

void keyclient_peer_free(keyclient_peer_t* peer) { delete peer; }

}  // extern "C"
