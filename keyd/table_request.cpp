// The task table's descriptors, for whoever may read it.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "keyd/request_handlers.h"
#include "keyd/server.h"

namespace keyd::daemon {

void handle_table(Server& server, Connection& connection, const ClientRequest&) {
  if (server.config().table_access == TableAccess::kAdministrators && !server.is_administrator(connection)) {
    connection.refuse(wire::REFUSAL_POLICY,
                      "only administrators may read this keyd's task table (table.access)");
    return;
  }
  // Descriptors on their way count against keyd's own limit until they are received: one answer a connection,
  // and a share of all for each account.
  int unread = 0;
  if (::ioctl(connection.socket(), SIOCOUTQ, &unread) != 0 || unread != 0) {
    connection.refuse(wire::REFUSAL_BUSY, "receive the last answer before asking for the table again");
    return;
  }
  auto charge = server.quota().take(Resource::kTableAnswer, connection.peer().ids.euid);
  if (!charge) {
    connection.refuse(wire::REFUSAL_BUSY,
                      "too many tables are on their way; receive them, or try again later");
    return;
  }
  wire::ServerPacket packet;
  const table::TableWriter& table = server.tasks().table();
  packet.mutable_table()->set_size(table.size());
  connection.reply(packet, {table.reader_descriptor(), table.bell_descriptor()}, std::move(*charge));
}

}  // namespace keyd::daemon
