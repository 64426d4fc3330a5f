#include "keyd/srp_conversation.h"

#include "keyd/exchange_steps.h"
#include "keyd/nested_exchange.h"
#include "keyd/server.h"

namespace keyd::daemon {

SrpConversation::SrpConversation(Server& server, Connection& connection, Place place)
    : server_(&server), connection_(connection.shared_from_this()), place_(place) {}

Exchange* SrpConversation::exchange() const {
  if (connection_->closed()) return nullptr;
  return is_nested() ? nested_exchange(*connection_) : connection_->exchange.get();
}

Exchange* SrpConversation::exchange(std::string_view session_id) const {
  Exchange* const running = exchange();
  return running != nullptr && running->session_id == session_id ? running : nullptr;
}

void SrpConversation::reply(Bytes packet) const {
  if (is_nested()) {
    reply_nested(*connection_, packet);
  } else {
    connection_->reply(std::move(packet));
  }
}

void SrpConversation::deny(std::string_view reason) const {
  if (is_nested()) {
    deny_nested(*server_, *connection_, reason);
  } else {
    daemon::deny(*server_, *connection_, reason);
  }
}

void SrpConversation::refuse(wire::RefusalCode code, std::string text) const {
  if (is_nested()) {
    refuse_nested(*server_, *connection_, code, std::move(text));
  } else {
    refuse_exchange(*server_, *connection_, code, std::move(text));
  }
}

void SrpConversation::refuse_unreadable(const std::string& user, const Error& error) const {
  tell_unreadable(user, error);
  refuse(wire::REFUSAL_INTERNAL, kUnreadable);
}

bool SrpConversation::refuse_if_throttled() const {
  auto refusal = throttled(*server_, *connection_, exchange()->user, exchange()->scheme);
  if (!refusal) return false;
  if (is_nested()) {
    refuse_nested(*server_, *connection_, std::move(*refusal->mutable_refused()));
  } else {
    refuse_exchange(*server_, *connection_, std::move(*refusal));
  }
  return true;
}

void SrpConversation::conclude(const StoredUser& user) const {
  auto& machine = std::get<exchange::SrpServer>(exchange()->machine);
  auto confirmation = machine.confirm();
  if (!confirmation) {
    refuse(wire::REFUSAL_INTERNAL, "keyd cannot confirm the exchange");
    return;
  }
  if (is_nested()) {
    conclude_nested(*server_, *connection_, user, machine, std::move(*confirmation));
    return;
  }
  Established established{machine.take_channel(), std::move(*confirmation)};
  if (machine.choice().can_change_password()) established.change_keys = machine.take_keys();
  establish(*server_, *connection_, user, std::move(established));
}

}  // namespace keyd::daemon
