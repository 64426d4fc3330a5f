// What the handlers of admin.sock have in common: refusals, the audit line of a change, and a change of one user from
// the store's thread back to the answer.
#pragma once

#include <string>
#include <string_view>

#include "keyd/connection.h"
#include "keyd/server.h"

namespace keyd::daemon {

void refuse(Connection& connection, wire::RefusalCode code, std::string text);
// With the code that fits the error's.
void refuse(Connection& connection, const Error& error);
void done(Connection& connection);

void audit(Server& server, const Connection& connection, std::string_view event, const std::string& user,
           const std::string& object, const Result<void>& result);
// A change that came to nothing: its audit line, and the refusal.
void change_failed(Server& server, Connection& connection, std::string_view event, const std::string& user,
                   const std::string& object, const Error& error);

// Whether `name` will do as a `what` name; refuses where it will not.
[[nodiscard]] bool name_is_fine(Connection& connection, const std::string& name, const char* what);
[[nodiscard]] std::string no_user(const std::string& name);

enum class Sessions { kKeep, kEnd };

// Runs `job`, a change of one user, on the store's thread, in `queue`; then, durable as it is: cache, sessions, audit,
// answer.
template <typename Job>
void change_user(Server& server, Connection& connection, const char* event, const std::string& name,
                 const std::string& object, Sessions sessions, Job job, AccountId queue) {
  server.store().post(queue, std::move(job),
                      [&server, self = connection.shared_from_this(), event, name, object,
                       sessions](const Result<void>& result) {
                        server.users().forget(name);
                        server.passwords().forget();
                        if (result) server.note_shapes_changed();
                        if (result && sessions == Sessions::kEnd) {
                          server.changes().forget_user(name);
                          server.tasks().revoke_user(name);
                        }
                        audit(server, *self, event, name, object, result);
                        if (self->closed()) return;
                        if (result) {
                          done(*self);
                        } else {
                          refuse(*self, result.error());
                        }
                      });
}

template <typename Job>
void change_user(Server& server, Connection& connection, const char* event, const std::string& name,
                 const std::string& object, Sessions sessions, Job job) {
  change_user(server, connection, event, name, object, sessions, std::move(job), connection.account());
}

}  // namespace keyd::daemon
