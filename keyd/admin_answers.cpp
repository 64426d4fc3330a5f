#include "keyd/admin_answers.h"

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/base/untrusted_text.h"

namespace keyd::daemon {
namespace {

wire::RefusalCode refusal_code(Code code) {
  switch (code) {
    case Code::kNotFound: return wire::REFUSAL_NOT_FOUND;
    case Code::kRefused: return wire::REFUSAL_ALREADY;
    case Code::kInvalid: return wire::REFUSAL_MALFORMED;
    case Code::kExhausted:
    case Code::kConflict: return wire::REFUSAL_BUSY;
    default: return wire::REFUSAL_INTERNAL;
  }
}

}  // namespace

void refuse(Connection& connection, wire::RefusalCode code, std::string text) {
  wire::AdminReply reply;
  reply.mutable_refused()->set_code(code);
  reply.mutable_refused()->set_text(std::move(text));
  connection.reply(reply);
}

void refuse(Connection& connection, const Error& error) {
  if (refusal_code(error.code) == wire::REFUSAL_INTERNAL) log::error(error.message());
  refuse(connection, refusal_code(error.code), error.message());
}

void done(Connection& connection) {
  wire::AdminReply reply;
  reply.mutable_done();
  connection.reply(reply);
}

void audit(Server& server, const Connection& connection, std::string_view event, const std::string& user,
           const std::string& object, const Result<void>& result) {
  AuditEvent line = event_of(connection, event);
  line.user = user;
  line.object = object;
  if (!result) line.reason = result.error().detail;
  server.audit().write(line);
}

void change_failed(Server& server, Connection& connection, std::string_view event, const std::string& user,
                   const std::string& object, const Error& error) {
  audit(server, connection, event, user, object, std::unexpected(error));
  if (!connection.closed()) refuse(connection, error);
}

bool name_is_fine(Connection& connection, const std::string& name, const char* what) {
  if (is_acceptable_name(name)) return true;
  refuse(
      connection, wire::REFUSAL_MALFORMED,
      fmt::format("\"{}\" is no {} name: 1 to 64 octets of UTF-8, no control characters, no blank at an end, "
                  "no '-' in front",
                  escape(name.substr(0, 80)), what));
  return false;
}

std::string no_user(const std::string& name) { return "no user \"" + escape(name) + "\""; }

}  // namespace keyd::daemon
