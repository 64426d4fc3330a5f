// The order of an answer's steps is what makes it true at one moment: that of the look-up. What is asked of the
// kernel is asked after it. Ids that are right afterwards were right then (or had been changed and changed back,
// which nothing but a synchronous strength tells), and a process that lives afterwards lived then. Asked before,
// a change between the two would be missed: but where the record says that it is older than the question.
#include "libkeyclient/src/peer.h"

#include "core/kernel/peer_identity.h"
#include "libkeyclient/src/handle.h"
#include "libkeyclient/src/identity.h"

namespace keyd::client {
namespace {

using table::Standing;

keyclient_status named(kernel::PeerOutcome outcome) {
  switch (outcome) {
    case kernel::PeerOutcome::kOk: return KEYCLIENT_OK;
    case kernel::PeerOutcome::kGone:
      return report(KEYCLIENT_NOT_AUTHENTICATED, "the process that connected has exited");
    case kernel::PeerOutcome::kUnsupported:
      return report(KEYCLIENT_UNSUPPORTED, "this kernel cannot name a socket's peer");
    case kernel::PeerOutcome::kOtherNamespace:
    case kernel::PeerOutcome::kFailed: break;
  }
  return report(KEYCLIENT_UNKNOWN,
                "the socket's peer cannot be named: " + std::string(kernel::name_of(outcome)));
}

bool is_synchronous(table::Revocation revocation) { return revocation == table::Revocation::kSynchronous; }

// Asks the kernel what the table does not learn before the call that causes it returns; nothing where it learns
// all. kAlive: the process lives, as far as that was asked, and `ids` are its own, if they were asked.
kernel::PidfdOutcome contact(const table::Strength& strength, int pidfd, kernel::TaskIds& ids) {
  if (!is_synchronous(strength.credentials)) {
    kernel::PidfdInfo info;
    if (const auto outcome = kernel::query_ids(pidfd, info); outcome != kernel::PidfdOutcome::kAlive)
      return outcome;
    ids = info.ids;
  }
  return !is_synchronous(strength.exit) && kernel::has_exited(pidfd) ? kernel::PidfdOutcome::kGone
                                                                     : kernel::PidfdOutcome::kAlive;
}

keyclient_status cannot_be_asked() {
  return report(KEYCLIENT_UNKNOWN,
                "the process's ids cannot be asked for from here (another pid namespace, or an old kernel)");
}

keyclient_status gone(std::string text) {
  return report(KEYCLIENT_GONE, std::move(text) + "; identify the socket's peer again");
}

keyclient_status told(Standing standing) {
  switch (standing) {
    case Standing::kStands: return KEYCLIENT_OK;
    case Standing::kExpired: return gone("the time of what was authenticated there is over");
    case Standing::kEnded:
      return gone("what was authenticated there has ended, or the process executes another program");
    case Standing::kDown: return gone("keyd has stopped: what it said counts no more");
    case Standing::kStale: break;
  }
  return report(KEYCLIENT_UNKNOWN, "keyd is down: its task table counts for nothing");
}

}  // namespace

namespace {

// A record, what is looked at again of it, the table that holds it, and the ids that its process had where they
// were asked for.
struct Found {
  table::TaskView view;
  table::Sighting seen;
  const MappedTable* table = nullptr;
  kernel::TaskIds ids;
};

// The usual case of an answer that the peer's ids belong to, for one system call less: they are asked for first,
// the pid comes with them, and the record is looked up by that instead of by the inode. Where the kernel itself
// ends a record at exec and exit, and only there. A record from before the question that stands after it is of
// a process that has lived all the while, and one process at a time has a pid: it is the peer's, and was as it
// is when the ids were asked for. Whatever is not that case is false, and for the careful way below.
bool found_by_number(const MappedTable& table, int pidfd, Found& found) {
  const table::TableReader& reader = table.reader;
  const table::Strength& strength = reader.header().strength;
  if (!is_synchronous(strength.exec) || !is_synchronous(strength.exit) || !reader.pids_are_ours())
    return false;
  const BootTime before = boot_now();
  kernel::PidfdInfo info;
  if (kernel::query_ids(pidfd, info) != kernel::PidfdOutcome::kAlive) return false;
  const auto outcome = reader.find_by_pid(info.pid, found.view, &found.seen);
  const table::TaskRecord& record = found.view.record;
  if (outcome != table::LookupOutcome::kFound || found.view.word.state != table::TaskState::kComplete ||
      record.pending_since >= before || record.complete_since >= before) {
    return false;
  }
  found.table = &table;
  found.ids = info.ids;
  return true;
}

keyclient_status other_credentials(keyclient_identity& who) {
  clear(who);
  return report(KEYCLIENT_UNKNOWN, "the process has other credentials than its record");
}

bool same_ids(const Found& found) {
  return found.ids.euid == found.view.record.uid && found.ids.egid == found.view.record.gid;
}

// By the inode, and the ids afterwards where the strength asks for them.
keyclient_status find_by_inode(TableView& view, int pidfd, keyclient_identity& who, Found& found) {
  const auto inode = kernel::pidfs_inode(pidfd);
  if (!inode) return named(kernel::PeerOutcome::kUnsupported);
  const auto outcome = view.look_up([&](const MappedTable& in) {
    found.table = &in;
    return in.reader.find_by_inode(*inode, found.view, found.seen);
  });
  if (!outcome) return report(outcome.error());
  const table::TableHeader& header = found.table->reader.header();
  if (*outcome == table::LookupOutcome::kFound) fill(who, found.view, header);
  if (const keyclient_status status = status_of(*outcome, found.view); status != KEYCLIENT_OK) return status;

  switch (contact(header.strength, pidfd, found.ids)) {
    case kernel::PidfdOutcome::kAlive: break;
    case kernel::PidfdOutcome::kGone:
      clear(who);
      return report(KEYCLIENT_NOT_AUTHENTICATED, "the process that connected has exited");
    default: clear(who); return cannot_be_asked();
  }
  // In another user namespace the numbers differ although nothing changed; then too it is no answer to rely on.
  if (!is_synchronous(header.strength.credentials) && !same_ids(found)) return other_credentials(who);
  return KEYCLIENT_OK;
}

}  // namespace

keyclient_status identify(TableView& view, int socket, keyclient_identity& who,
                          std::unique_ptr<keyclient_peer>* peer) {
  UniqueFd pidfd;
  if (const keyclient_status status = named(kernel::open_peer(socket, pidfd)); status != KEYCLIENT_OK)
    return status;
  const auto known = view.known();
  if (!known) return report(known.error());
  Found found;
  if (!is_synchronous((*known)->reader.header().strength.credentials) &&
      found_by_number(**known, pidfd.get(), found)) {
    if (!same_ids(found)) return other_credentials(who);
    fill(who, found.view, found.table->reader.header());
  } else if (const keyclient_status status = find_by_inode(view, pidfd.get(), who, found);
             status != KEYCLIENT_OK) {
    return status;
  }
  if (peer != nullptr) {
    peer->reset(new keyclient_peer{found.table->shared_from_this(), std::move(pidfd), found.seen, found.ids,
                                   found.seen.expires});
  }
  return KEYCLIENT_OK;
}

keyclient_status glance(const keyclient_peer& peer) { return told(peer.table->reader.glance(peer.seen)); }

keyclient_status check(keyclient_peer& peer) {
  const table::TableReader& reader = peer.table->reader;
  table::Sighting seen = peer.seen;
  seen.expires = peer.expires.load(std::memory_order_relaxed);
  Standing standing = reader.look_again(seen);
  if (standing == Standing::kExpired) {
    // Unless a renewal has moved its end.
    seen.expires = reader.expiry_of(seen);
    standing = reader.look_again(seen);
    if (standing == Standing::kStands) peer.expires.store(seen.expires, std::memory_order_relaxed);
  }
  if (standing != Standing::kStands) return told(standing);

  kernel::TaskIds ids = peer.ids;
  switch (contact(reader.header().strength, peer.pidfd.get(), ids)) {
    case kernel::PidfdOutcome::kAlive: break;
    case kernel::PidfdOutcome::kGone: return gone("the process has exited");
    default: return cannot_be_asked();
  }
  return ids == peer.ids ? KEYCLIENT_OK : gone("the process has other credentials than before");
}

keyclient_status wait(keyclient_peer& peer, std::uint64_t timeout) {
  keyclient_status status = KEYCLIENT_OK;
  const bool ended =
      peer.table->bell.wait_while([&] { return (status = check(peer)) == KEYCLIENT_OK; }, timeout);
  return ended ? status : report(KEYCLIENT_DEADLINE, "nothing changed");
}

}  // namespace keyd::client
