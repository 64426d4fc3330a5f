#include "libkeyclient/src/identity.h"

#include <algorithm>
#include <cstring>

#include "core/table/task_terms.h"
#include "libkeyclient/src/handle.h"

namespace keyd::client {
namespace {

template <std::size_t N>
void copy_text(char (&out)[N], std::string_view text) {
  const std::size_t size = std::min(text.size(), N - 1);
  std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

}  // namespace

// A word that this library does not know promises nothing.
keyclient_revocation revocation_of(table::Revocation revocation) {
  return revocation > table::Revocation::kSynchronous ? KEYCLIENT_NEVER
                                                      : static_cast<keyclient_revocation>(revocation);
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

keyclient_status status_of(table::LookupOutcome outcome, const table::TaskView& view) {
  switch (outcome) {
    case table::LookupOutcome::kFound: break;
    case table::LookupOutcome::kAbsent:
      return report(KEYCLIENT_NOT_AUTHENTICATED, "nobody is authenticated in that process");
    case table::LookupOutcome::kStale:
      return report(KEYCLIENT_UNKNOWN, "keyd is down: its task table counts for nothing");
    case table::LookupOutcome::kBusy:
      return report(KEYCLIENT_UNKNOWN, "the record is being written; try again");
    case table::LookupOutcome::kOtherNamespace:
      return report(KEYCLIENT_UNSUPPORTED, "keyd lives in another pid namespace: look up by inode or socket");
  }
  if (view.word.state == table::TaskState::kComplete) return KEYCLIENT_OK;
  return report(KEYCLIENT_NOT_AUTHENTICATED,
                "nobody is authenticated in that process: " + std::string(table::name_of(view.word.state)));
}

}  // namespace keyd::client
